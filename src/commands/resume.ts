// `resume ID`: resumes a paused consent.
import { changeConsent } from './change.ts'
import { type Command, json, reason } from './command.ts'

export const command: Command = {
  usage: 'resume ID [--reason TEXT] [--json]',
  about:
    'Goes on with a paused consent: the next sweep looks at it and does what is due. A message that pausing ' +
    'cancelled is not made up for.',
  arguments: ['ID'],
  options: { reason, json },
  examples: ['reconsent resume cred-123'],
  run: async (call) =>
    changeConsent(call, {
      needs: [],
      reason: 'resumed at the command line',
      act: async (store, { id }, request) => store.resumeConsent(id, request),
    }),
}
