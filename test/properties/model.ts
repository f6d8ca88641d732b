// The model of a life: it tells from the actions and their answers alone what must be true, whatever the order of the
// steps. It never looks at how the system got there.
import type { World } from '../setup/world.ts'
import type { Consent } from '../../src/domain/model.ts'

/** `paused`, `revoked` and `opted_out` stop the consent: from then on no message and no link to the bank is made. */
type Stand = 'runs' | 'paused' | 'revoked' | 'opted_out'

/** The counts of what a stop forbids, taken at the end of the command in which the consent was stopped. */
interface Stopped {
  readonly mails: number
  readonly links: number
}

export interface Model {
  stand: Stand
  /** Undefined until the end of the command in which the consent was stopped. */
  stopped: Stopped | undefined
  /** How often this connection's own user approved at the bank and was sent back with a code. */
  approvals: number
  /** How often the bank renewed the connection for the company itself. */
  elsewhere: number
  /** How many imports were answered with `repaired`. */
  repaired: number
  /** How many cycles had been renewed at the last check. */
  renewed: number
  /** The number of the bank's answers that a browser brought, and that an action may bring again. */
  callbacks: number
}

export const newModel = (): Model => ({
  stand: 'runs',
  stopped: undefined,
  approvals: 0,
  elsewhere: 0,
  repaired: 0,
  renewed: 0,
  callbacks: 0,
})

/** An operator's request was granted. Each request is one step, so their order is the order of their answers. */
export const becomes = (model: Model, stand: Stand): void => {
  model.stand = stand
  model.stopped = undefined
}

/** What contradicts the model after a command; the model also learns here that a renewal ended a pause. */
export const contradictions = async (
  model: Model,
  world: World,
  { id, email, expiresAt }: Consent,
): Promise<string[]> => {
  const consent = await world.db.prisma.consent.findUniqueOrThrow({ where: { id } })
  const [renewals, links] = [await world.renewalsOf(id), (await world.authorisationsOf(id)).length]
  const count = (status: string): number => renewals.filter((renewal) => renewal.status === status).length
  const [renewed, mails] = [
    count('renewed'),
    world.simulator.ledger.count({ what: 'mail', outcome: 'ok', to: email ?? '' }),
  ]
  const wrong: string[] = []
  // An imported date may be wrong by days. So a date with its full validity proves a renewal, but not by whom: the
  // company itself may have renewed some days before the issue.
  if (renewed > model.approvals + model.elsewhere)
    wrong.push(`${renewed} renewals, and the bank has made ${model.approvals + model.elsewhere} at most`)
  if (model.repaired > model.elsewhere)
    wrong.push(
      `${model.repaired} imports were told that they repaired it, and it was renewed elsewhere ` +
        `${model.elsewhere} times`,
    )
  if (count('repaired') > model.repaired)
    wrong.push(`${count('repaired')} cycles are repaired, and ${model.repaired} imports did that`)
  if (model.approvals + model.elsewhere === 0 && consent.expiresAt.getTime() !== expiresAt.toMillis())
    wrong.push('its date has moved, and nobody renewed it')

  // Only a proven renewal ends a pause.
  if (model.stand === 'paused' && consent.status === 'active' && renewed > model.renewed) becomes(model, 'runs')
  model.renewed = renewed
  if (model.stand === 'runs') return wrong
  const allowed = model.stand === 'paused' ? ['paused', 'quarantined'] : [model.stand]
  if (!allowed.includes(consent.status)) wrong.push(`${consent.status}, although it is to be ${model.stand}`)
  model.stopped ??= { mails, links }
  if (mails > model.stopped.mails) wrong.push(`mails while it was ${model.stand}`)
  if (links > model.stopped.links) wrong.push(`a link to the bank while it was ${model.stand}`)
  return wrong
}
