// Whether a user can be reached at all, and if not, why not. Pure. The job, `explain` and `show` use it.
import { addressFor, type ChannelName, reachableBy, traitsOf } from './channels.ts'
import type { ConsentView } from './model.ts'

type Reached = Pick<ConsentView, 'consent' | 'notifications'>

/**
 * Undefined while at least one channel in use reaches the user. An address that our server did not accept (the last
 * message by its channel failed for that reason) counts as unreachable until another address is imported. The next
 * message tries the address all the same, because servers are upgraded.
 */
export const channelProblem = (view: Reached, inUse: readonly ChannelName[]): string | undefined => {
  const names = reachableBy(view.consent, inUse)
  if (names.length === 0) return 'there is no usable address for this user'
  const problems = names.flatMap((name) => whyTurnedDown(view, name) ?? [])
  return problems.length === names.length ? problems.join('; ') : undefined
}

const whyTurnedDown = ({ consent, notifications }: Reached, name: ChannelName): string | undefined => {
  const address = addressFor(consent, name)
  const last = notifications.findLast(({ channel, status }) => channel === name && status !== 'cancelled')
  return address !== undefined && last?.status === 'failed' && last.errorCode === 'no-channel'
    ? traitsOf(name).whyUnreachable(address)
    : undefined
}
