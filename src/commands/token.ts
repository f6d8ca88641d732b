// `token ID`: prints the current refresh token. The only command that prints a secret; it records an event first.
import { CommandFailed, type Command, json, reason } from './command.ts'
import { operator, theConsent, withStore } from './open.ts'

export const command: Command = {
  usage: 'ID [--reason TEXT] [--json]',
  about: `Prints the current refresh token of a consent, and nothing else, so that it can be piped on. Who asked and
why is written into the consent's events (token.shown) before it is printed.`,
  arguments: ['ID'],
  options: { reason, json },
  examples: ['reconsent token cred-123 --reason "moving the connection by hand"'],
  run: async (call) =>
    withStore(['keys'], async ({ store, clock }) => {
      const consent = await theConsent(store, call.arg('ID'))
      const token = await store.showToken(consent.id, {
        now: clock.now(),
        reason: call.text('reason') ?? 'shown at the command line',
        by: operator(),
      })
      if (token === undefined) throw new CommandFailed('there is no consent with this id or credentials_id')
      if (call.flag('json'))
        await call.terminal.json({
          id: consent.id,
          credentials_id: consent.credentialsId,
          refresh_token: token.reveal(),
        })
      else await call.terminal.line(token.reveal())
      return 0
    }),
}
