// The commands that change one consent: `renew`, `pause`, `resume`, `release` and `close`. Each finds the consent,
// changes it, and prints the result.
import { routesPastGrace } from '../domain/renewal-request.ts'
import { consentJson } from '../presentation/consent-json.ts'
import type { AdministrationAnswer, Request } from '../store/administration-port.ts'
import type { Need } from '../config.ts'
import { consentId, type Define, examples, json, oneOf, reason, text } from './command.ts'
import { getConsent, operatorName, withStore, type Opened } from './open.ts'
import type { Terminal } from './terminal.ts'
import { whenText } from './text.ts'

interface Change {
  /** The consent's id, as it was given. */
  readonly given: string
  readonly reason: string
  readonly json?: true
  readonly needs?: readonly Need[]
  readonly act: (store: Opened<never>['store'], id: string, request: Request) => Promise<AdministrationAnswer>
}

const change = async (terminal: Terminal, { given, needs = [], act, ...options }: Change): Promise<number> =>
  withStore(needs, async ({ store, clock, config }) => {
    const { id } = await getConsent(store, given)
    const now = clock.now()
    const answer = await act(store, id, { now, reason: options.reason, by: operatorName() })
    const after = await getConsent(store, id)
    if (options.json) {
      await terminal.json({
        result: answer.kind,
        detail: answer.detail,
        consent: consentJson(after, clock.now(), config.policy),
      })
    } else if (answer.kind === 'refused') {
      terminal.note(`refused: ${answer.detail}`)
    } else {
      await terminal.line(answer.kind === 'unchanged' ? `nothing changed: ${answer.detail}` : answer.detail)
      await terminal.line(
        `${after.id} is ${after.status}` +
          (after.nextActionAt === undefined ? '' : `; next looked at ${whenText(after.nextActionAt, now)}`),
      )
    }
    return answer.kind === 'refused' ? 1 : 0
  })

export const changes = {
  renew: (command, { terminal, exits }) =>
    command
      .description(
        `Asks a user now, whatever the ladder says: opens the cycle early if need be, makes a link and queues one
message. Overrides a back-off. If a message by hand went out in the last 24 hours, another one needs
--resend. A lapsed consent is opened again if the policy has a route for its bank that still works then
(${routesPastGrace}). The next sweep does the work; to do it at once, run reconsent sweep.`,
      )
      .argument(...consentId)
      .requiredOption('--reason <TEXT>', "why, for the consent's events (required)", text)
      .option('--resend', 'send another message although one by hand went out in the last 24 hours')
      .addOption(json)
      .addHelpText(
        'after',
        examples(
          'reconsent renew cred-123 --reason "user called"',
          'reconsent renew cred-123 --reason "mail was lost" --resend',
        ),
      )
      .action(
        exits(async (given, options) =>
          change(terminal, {
            given,
            ...options,
            act: async (store, id, request) => store.requestRenewal(id, { ...request, resend: options.resend }),
          }),
        ),
      ),
  pause: (command, { terminal, exits }) =>
    command
      .description(
        `Stops messages and new links of a consent until it is resumed. Its cycle stays open: a code that has arrived
is still exchanged, and a proven renewal makes the consent active again. Paused consents are counted in the
metrics.`,
      )
      .argument(...consentId)
      .addOption(reason)
      .addOption(json)
      .addHelpText('after', examples('reconsent pause cred-123 --reason "user asked for quiet until June"'))
      .action(
        exits(async (given, options) =>
          change(terminal, {
            given,
            reason: 'paused at the command line',
            ...options,
            act: async (store, id, request) => store.pauseConsent(id, request),
          }),
        ),
      ),
  resume: (command, { terminal, exits }) =>
    command
      .description(
        `Takes up a paused consent again: the next sweep looks at it and does what is due. A message that the pause
cancelled is not sent later.`,
      )
      .argument(...consentId)
      .addOption(reason)
      .addOption(json)
      .addHelpText('after', examples('reconsent resume cred-123'))
      .action(
        exits(async (given, options) =>
          change(terminal, {
            given,
            reason: 'resumed at the command line',
            ...options,
            act: async (store, id, request) => store.resumeConsent(id, request),
          }),
        ),
      ),
  release: (command, { terminal, exits }) =>
    command
      .description(
        `Takes a consent out of quarantine (a different connection was approved three times, or a stored secret did
not decrypt), and counts such mistakes from zero again. Also takes back an unsupported consent, once the
policy has a route for its bank. Read its events first: reconsent show ID.`,
      )
      .argument(...consentId)
      .addOption(reason)
      .addOption(json)
      .addHelpText(
        'after',
        examples('reconsent release cred-123 --reason "user had two accounts at the bank, spoke to them"'),
      )
      .action(
        exits(async (given, options) =>
          change(terminal, {
            given,
            reason: 'released at the command line',
            ...options,
            needs: ['keys'],
            act: async (store, id, request) => store.releaseConsent(id, request),
          }),
        ),
      ),
  close: (command, { terminal, exits }) =>
    command
      .description(
        `Closes a consent for good: nothing is sent any more, its link stops working, and no code is accepted. This
cannot be undone; when the user consents again, import the new connection.
  revoked    the user withdrew the consent at the bank or with you
  opted-out  the user does not want it renewed`,
      )
      .argument(...consentId)
      .requiredOption('--as <revoked|opted-out>', 'why it ends (required)', oneOf(['revoked', 'opted-out']))
      .addOption(reason)
      .addOption(json)
      .addHelpText('after', examples('reconsent close cred-123 --as opted-out --reason "closed the account"'))
      .action(
        exits(async (given, options) =>
          change(terminal, {
            given,
            reason: 'closed at the command line',
            ...options,
            act: async (store, id, request) =>
              store.closeForGood(id, options.as === 'revoked' ? 'revoked' : 'opted_out', request),
          }),
        ),
      ),
} satisfies Record<string, Define>
