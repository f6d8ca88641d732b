// `renew ID --reason TEXT [--resend]`: notifies one user now.
import { changeConsent } from './change.ts'
import { type Command, json, reason, UsageError } from './command.ts'

export const command: Command = {
  usage: 'renew ID --reason TEXT [--resend] [--json]',
  about: `Asks a user now, whatever the ladder says: opens the cycle early if need be, makes a link and queues one
message. Overrides a back-off. Where a message by hand went out in the last 24 hours, --resend is needed
for another. A lapsed consent is opened again if the policy allows a full authentication for its bank
(route 'full'). The next sweep does the work: to do it at once, run reconsent sweep.`,
  arguments: ['ID'],
  options: {
    reason: { ...reason, help: "why, for the consent's events (required)" },
    resend: { type: 'boolean', help: 'send another message although one by hand went out in the last 24 hours' },
    json,
  },
  examples: [
    'reconsent renew cred-123 --reason "user called"',
    'reconsent renew cred-123 --reason "mail was lost" --resend',
  ],
  run: async (call) => {
    const why = call.text('reason')
    if (why === undefined) throw new UsageError("--reason is missing: it is kept in the consent's events")
    return changeConsent(call, {
      needs: [],
      reason: why,
      act: async (store, { id }, request) => store.requestRenewal(id, { ...request, resend: call.flag('resend') }),
    })
  },
}
