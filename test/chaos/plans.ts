// What each kind of user does with the mails of a cycle. Pure.
import type { Decision } from '../../simulator/src/bank.ts'
import type { User } from './population.ts'

/** What the user does on the `nth` mail of a cycle; undefined where the user does nothing. */
export const intends = (user: Pick<User, 'kind'>, nth: number): Decision | undefined => {
  switch (user.kind) {
    case 'ignores':
      return undefined
    case 'renews':
    case 'clicks-twice':
      return 'approve'
    case 'comes-late':
      return nth >= 2 ? 'approve' : undefined
    case 'denies-first':
      return nth === 1 ? 'deny' : 'approve'
    case 'closes-tab-first':
      return nth === 1 ? 'close' : 'approve'
    case 'somebody-else-first':
      return nth === 1 ? 'somebody-else' : 'approve'
    case 'always-somebody-else':
      return 'somebody-else'
  }
}
