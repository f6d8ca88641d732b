// `token ID`: prints the refresh token that would be tried first. The only command that prints a secret; it records an
// event first.
import { consentId, type Define, examples, json, reason } from './command.ts'
import { getConsent, operatorName, orNoSuchConsent, withStore } from './open.ts'

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Prints the refresh token of a consent that would be tried first, and nothing else, so that it can be piped. If
that is one of an import which the provider has not judged yet, standard error says so. Who asked and why is
written into the consent's events (token.shown) before it is printed.`,
    )
    .argument(...consentId)
    .addOption(reason)
    .addOption(json)
    .addHelpText('after', examples('reconsent token cred-123 --reason "moving the connection by hand"'))
    .action(
      exits(async (id, options) =>
        withStore(['keys'], async ({ store, clock }) => {
          const consent = await getConsent(store, id)
          const { token, isCandidate } = orNoSuchConsent(
            await store.showToken(consent.id, {
              now: clock.now(),
              reason: options.reason ?? 'shown at the command line',
              by: operatorName(),
            }),
          )
          if (options.json)
            await terminal.json({
              id: consent.id,
              credentials_id: consent.credentialsId,
              refresh_token: token.reveal(),
              candidate: isCandidate,
            })
          else await terminal.line(token.reveal())
          if (isCandidate) terminal.note('an import brought this token, and the provider has not accepted it yet')
          return 0
        }),
      ),
    )
