// `release ID`: takes a consent out of quarantine, or out of `unsupported` once the policy has a route for its bank.
import { changeConsent } from './change.ts'
import { type Command, json, reason } from './command.ts'

export const command: Command = {
  usage: 'release ID [--reason TEXT] [--json]',
  about: `Takes a consent out of quarantine (three times a different connection was approved, or a stored secret did
not decrypt) and starts counting such mistakes anew. Also takes back an unsupported consent, once the
policy knows a route for its bank. Read its events first: reconsent show ID.`,
  arguments: ['ID'],
  options: { reason, json },
  examples: ['reconsent release cred-123 --reason "user had two accounts at the bank, spoke to them"'],
  run: async (call) =>
    changeConsent(call, {
      needs: ['keys'],
      reason: 'released at the command line',
      act: async (store, { id }, request) => store.releaseConsent(id, request),
    }),
}
