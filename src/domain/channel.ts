// Whether a user can be reached at all, and if not, why not. Pure. The job, `explain` and `show` use it.
import type { ConsentView } from './model.ts'

/**
 * Whether only mail servers with SMTPUTF8 (RFC 6531) accept the address: a domain can be written in ASCII, the part
 * before the @ cannot.
 */
export const needsSmtpUtf8 = (address: string): boolean =>
  !/^[\x20-\x7e]*$/.test(address.slice(0, address.lastIndexOf('@')))

/**
 * Undefined while the user can be reached. An address that our mail server did not accept (the last message failed for
 * that reason) counts as unreachable until another address is imported. The next message tries the address all the
 * same, because mail servers are upgraded.
 */
export const channelProblem = ({
  consent,
  notifications,
}: Pick<ConsentView, 'consent' | 'notifications'>): string | undefined => {
  if (consent.email === undefined) return 'there is no usable address for this user'
  const last = notifications.findLast(({ status }) => status !== 'cancelled')
  const wasTurnedDown = last?.status === 'failed' && last.errorCode === 'no-channel' && needsSmtpUtf8(consent.email)
  return wasTurnedDown
    ? 'our mail server takes no address like this user’s: it has letters beyond ASCII before its @, and the ' +
        'server no SMTPUTF8'
    : undefined
}
