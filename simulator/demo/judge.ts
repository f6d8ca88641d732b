// Reports for each consent of the demo its end state and whether that is right, from our database and the simulator's
// ledger.
import type { ConsentView } from '../../src/domain/model.ts'
import type { Store } from '../../src/store/port.ts'
import type { Simulator } from '../src/start-simulator.ts'
import { mailsOf } from './act.ts'
import type { Role } from './cast.ts'

export interface Verdict {
  readonly role: Role
  readonly endState: string
  readonly reason: string
  /** What is wrong; empty when the end state is the right one. */
  readonly wrong: readonly string[]
}

interface Ended {
  /** The consent and its current cycle. */
  readonly view: ConsentView
  /** Statuses of the first cycle's attempts. */
  readonly authorisationStatuses: readonly string[]
  readonly rungs: readonly string[]
  readonly renewedAtProvider: number
  readonly mails: number
  readonly rotations: number
  readonly tokenWorks: boolean
}

type Check = readonly [right: boolean, otherwise: string]

const open = ({ view: { consent } }: Ended): Check => [
  consent.status === 'active' && consent.cycle === 1 && consent.nextActionAt !== undefined,
  `should be open in its first cycle with a next date, is ${consent.status} in cycle ${consent.cycle}`,
]
const noMail = ({ mails }: Ended): Check => [mails === 0, `${mails} mails were sent, none was due`]

const renewedOnce = ({ view: { consent }, renewedAtProvider, authorisationStatuses }: Ended): Check[] => [
  [
    consent.status === 'active' && consent.cycle === 2,
    `should be in its second cycle, is ${consent.status} in cycle ${consent.cycle}`,
  ],
  [
    authorisationStatuses.filter((status) => status === 'renewed').length === 1,
    'should have exactly one renewed authorisation',
  ],
  [renewedAtProvider === 1, `the provider renewed it ${renewedAtProvider} times`],
]

/** Whether the provider has kept the token or replaced it, the one that works must be stored. */
const tokenChecks = ({ rotates }: Role, { tokenWorks, renewedAtProvider, rotations }: Ended): Check[] => [
  [tokenWorks, 'the stored token is not the one that works at the provider'],
  [!rotates || renewedAtProvider === 0 || rotations > 0, 'the provider renewed it and kept its token'],
]

const checks = (role: Role, ended: Ended): Check[] => {
  switch (role.deed) {
    case 'approves':
    case 'approves from an old mail':
    case 'clicks twice':
      return renewedOnce(ended)
    case 'denies':
    case 'closes the tab':
      return [open(ended), [ended.renewedAtProvider === 0, 'the provider renewed it']]
    case 'approves as somebody else':
      return [open(ended), [ended.authorisationStatuses.includes('mismatched'), 'no authorisation is mismatched']]
    case 'ignores':
      return [
        open(ended),
        [ended.rungs.length >= 2, `should have been asked on the next rung, was asked on ${ended.rungs.join(', ')}`],
      ]
    case 'is not asked':
      return notAsked(role, ended)
  }
}

const notAsked = (role: Role, ended: Ended): Check[] => {
  const { status } = ended.view.consent
  if (role.phase === 'healthy') return [open(ended), noMail(ended)]
  return [[status === role.phase, `should be ${role.phase}, is ${status}`], noMail(ended)]
}

export const judge = async (
  role: Role,
  store: Store,
  simulator: Simulator,
  firstCycle: (consentId: string) => Promise<{ statuses: string[]; rungs: string[] }>,
): Promise<Verdict> => {
  const consent = await store.findConsent(role.credentialsId)
  const view = consent === undefined ? undefined : await store.getView(consent.id)
  if (consent === undefined || view === undefined)
    return { role, endState: 'missing', reason: '', wrong: ['was not imported'] }
  const { statuses, rungs } = await firstCycle(consent.id)
  const ended: Ended = {
    view,
    authorisationStatuses: statuses,
    rungs,
    renewedAtProvider: simulator.ledger.count({ what: 'renewed', credentials_id: role.credentialsId }),
    mails: mailsOf(simulator, role).length,
    rotations: simulator.ledger.count({ what: 'rotated', credentials_id: role.credentialsId }),
    tokenWorks:
      (await store.readRefreshToken(consent.id)).token.reveal() ===
      simulator.connection(role.credentialsId)?.refreshToken,
  }
  return {
    role,
    ...endOf(ended),
    wrong: [...checks(role, ended), ...tokenChecks(role, ended)].flatMap(([right, otherwise]) =>
      right ? [] : [otherwise],
    ),
  }
}

const endOf = ({ view: { consent }, authorisationStatuses }: Ended): { endState: string; reason: string } => {
  if (consent.status !== 'active')
    return {
      endState: consent.status,
      reason: consent.status === 'lapsed' ? 'the grace window had ended' : 'no route of the policy fits this bank',
    }
  const until = consent.expiresAt.toISODate()
  if (consent.cycle > 1) return { endState: `renewed until ${until}`, reason: 'proven by a new date at the provider' }
  const next = `next on ${consent.nextActionAt?.toISODate()}: ${consent.nextActionReason ?? ''}`
  return { endState: authorisationStatuses.includes('mismatched') ? 'open, mismatched' : 'open', reason: next }
}
