// `pause ID`: stops messages and new links of one consent.
import { changeConsent } from './change.ts'
import { type Command, json, reason } from './command.ts'

export const command: Command = {
  usage: 'pause ID [--reason TEXT] [--json]',
  about: `Stops messages and new links of a consent until it is resumed. Its cycle stays open: a code that is in
hand is still exchanged, and a proven renewal opens the consent again. A paused consent is counted and
never silent.`,
  arguments: ['ID'],
  options: { reason, json },
  examples: ['reconsent pause cred-123 --reason "user asked for quiet until June"'],
  run: async (call) =>
    changeConsent(call, {
      needs: [],
      reason: 'paused at the command line',
      act: async (store, { id }, request) => store.pauseConsent(id, request),
    }),
}
