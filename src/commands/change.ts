// The commands that change one consent: `renew`, `pause`, `resume`, `release` and `close`. Each finds the consent,
// changes it, and prints the result.
import { consentJson } from '../presentation/consent-json.ts'
import type { AdministrationAnswer, Request } from '../store/administration-port.ts'
import type { Need } from '../config.ts'
import type { Consent } from '../domain/model.ts'
import { type Call, type Command, json, oneOf, reason } from './command.ts'
import { operator, theConsent, withStore, type Opened } from './open.ts'
import { whenText } from './text.ts'

type Act = (store: Opened<never>['store'], consent: Consent, request: Request) => Promise<AdministrationAnswer>

interface Change extends Pick<Command, 'usage' | 'about' | 'options' | 'examples'> {
  readonly needs?: readonly Need[]
  /** `paused`: the recorded reason is "paused at the command line" when --reason is absent. */
  readonly past: string
  /** Reads the command's own options before the configuration and the database are opened. */
  readonly act: (call: Call) => Act
}

const change = ({ needs = [], past, act, ...help }: Change): Command => ({
  ...help,
  arguments: ['ID'],
  run: async (call) => {
    const acts = act(call)
    return withStore(needs, async ({ store, clock, config }) => {
      const consent = await theConsent(store, call.arg('ID'))
      const now = clock.now()
      const why = call.text('reason') ?? `${past} at the command line`
      const answer = await acts(store, consent, { now, reason: why, by: operator() })
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
  },
})

export const changes = {
  renew: change({
    usage: 'ID --reason TEXT [--resend] [--json]',
    about: `Asks a user now, whatever the ladder says: opens the cycle early if need be, makes a link and queues one
message. Overrides a back-off. Where a message by hand went out in the last 24 hours, --resend is needed
for another. A lapsed consent is opened again if the policy allows a full authentication for its bank
(route 'full'). The next sweep does the work: to do it at once, run reconsent sweep.`,
    options: {
      reason: { ...reason, required: true, help: "why, for the consent's events (required)" },
      resend: { type: 'boolean', help: 'send another message although one by hand went out in the last 24 hours' },
      json,
    },
    examples: [
      'reconsent renew cred-123 --reason "user called"',
      'reconsent renew cred-123 --reason "mail was lost" --resend',
    ],
    past: 'asked for',
    act:
      (call) =>
      async (store, { id }, request) =>
        store.requestRenewal(id, { ...request, resend: call.flag('resend') }),
  }),
  pause: change({
    usage: 'ID [--reason TEXT] [--json]',
    about: `Stops messages and new links of a consent until it is resumed. Its cycle stays open: a code that is in
hand is still exchanged, and a proven renewal opens the consent again. A paused consent is counted and
never silent.`,
    options: { reason, json },
    examples: ['reconsent pause cred-123 --reason "user asked for quiet until June"'],
    past: 'paused',
    act:
      () =>
      async (store, { id }, request) =>
        store.pauseConsent(id, request),
  }),
  resume: change({
    usage: 'ID [--reason TEXT] [--json]',
    about:
      'Goes on with a paused consent: the next sweep looks at it and does what is due. A message that pausing ' +
      'cancelled is not made up for.',
    options: { reason, json },
    examples: ['reconsent resume cred-123'],
    past: 'resumed',
    act:
      () =>
      async (store, { id }, request) =>
        store.resumeConsent(id, request),
  }),
  /** Also out of `unsupported`, once the policy has a route for the bank. */
  release: change({
    usage: 'ID [--reason TEXT] [--json]',
    about: `Takes a consent out of quarantine (three times a different connection was approved, or a stored secret did
not decrypt) and starts counting such mistakes anew. Also takes back an unsupported consent, once the
policy knows a route for its bank. Read its events first: reconsent show ID.`,
    options: { reason, json },
    examples: ['reconsent release cred-123 --reason "user had two accounts at the bank, spoke to them"'],
    needs: ['keys'],
    past: 'released',
    act:
      () =>
      async (store, { id }, request) =>
        store.releaseConsent(id, request),
  }),
  close: change({
    usage: 'ID --as revoked|opted-out [--reason TEXT] [--json]',
    about: `Closes a consent for good: nothing is sent any more, its link is dead, and no code is taken. There is no
way back; when the user consents again, import the new connection.
  revoked    the user withdrew the consent at the bank or with you
  opted-out  the user does not want it renewed`,
    options: {
      as: { type: 'string', value: 'revoked|opted-out', required: true, help: 'why it ends (required)' },
      reason,
      json,
    },
    examples: ['reconsent close cred-123 --as opted-out --reason "closed the account"'],
    past: 'closed',
    act: (call) => {
      const status = oneOf(call, 'as', ['revoked', 'opted-out']) === 'revoked' ? 'revoked' : 'opted_out'
      return async (store, { id }, request) => store.closeForGood(id, status, request)
    },
  }),
}
