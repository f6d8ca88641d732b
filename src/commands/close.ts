// `close ID --as revoked|opted-out`: closes a consent for good.
import { changeConsent } from './change.ts'
import { type Command, json, oneOf, reason, UsageError } from './command.ts'

export const command: Command = {
  usage: 'close ID --as revoked|opted-out [--reason TEXT] [--json]',
  about: `Closes a consent for good: nothing is sent any more, its link is dead, and no code is taken. There is no
way back; when the user consents again, import the new connection.
  revoked    the user withdrew the consent at the bank or with you
  opted-out  the user does not want it renewed`,
  arguments: ['ID'],
  options: { as: { type: 'string', value: 'revoked|opted-out', help: 'why it ends (required)' }, reason, json },
  examples: ['reconsent close cred-123 --as opted-out --reason "closed the account"'],
  run: async (call) => {
    const as = oneOf(call, 'as', ['revoked', 'opted-out'])
    if (as === undefined) throw new UsageError('--as is missing: say --as revoked or --as opted-out')
    const status = as === 'revoked' ? 'revoked' : 'opted_out'
    return changeConsent(call, {
      needs: [],
      reason: 'closed at the command line',
      act: async (store, { id }, request) => store.closeForGood(id, status, request),
    })
  },
}
