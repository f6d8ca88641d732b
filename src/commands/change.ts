// Shared by the commands that change one consent: finds the consent, changes it, and prints the result.
import { consentJson } from '../presentation/consent-json.ts'
import type { AdministrationAnswer, Request } from '../store/administration-port.ts'
import type { Need } from '../config.ts'
import type { Consent } from '../domain/model.ts'
import type { Call } from './command.ts'
import { operator, theConsent, withStore, type Opened } from './open.ts'
import { whenText } from './text.ts'

export interface Change<N extends Need> {
  readonly needs: readonly N[]
  /** The reason that is recorded when --reason is absent. */
  readonly reason: string
  readonly act: (store: Opened<N>['store'], consent: Consent, request: Request) => Promise<AdministrationAnswer>
}

export const changeConsent = async <const N extends Need>(
  call: Call,
  { needs, reason, act }: Change<N>,
): Promise<number> =>
  withStore(needs, async ({ store, clock, config }) => {
    const consent = await theConsent(store, call.arg('ID'))
    const now = clock.now()
    const answer = await act(store, consent, { now, reason: call.text('reason') ?? reason, by: operator() })
    const after = await theConsent(store, consent.id)
    if (call.flag('json')) {
      await call.terminal.json({
        result: answer.kind,
        detail: answer.detail,
        consent: consentJson(after, clock.now(), config.policy),
      })
    } else if (answer.kind === 'refused') {
      call.terminal.note(`refused: ${answer.detail}`)
    } else {
      await call.terminal.line(answer.kind === 'unchanged' ? `nothing changed: ${answer.detail}` : answer.detail)
      await call.terminal.line(
        `${after.id} is ${after.status}` +
          (after.nextActionAt === undefined ? '' : `; next looked at ${whenText(after.nextActionAt, now)}`),
      )
    }
    return answer.kind === 'refused' ? 1 : 0
  })
