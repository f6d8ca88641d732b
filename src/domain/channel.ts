// Whether a user can be reached at all, and why not where not. Pure. Asked by the job, by `explain` and by `show`.
import type { ConsentView } from './model.ts'

/**
 * Whether only mail servers with SMTPUTF8 (RFC 6531) take the address: a domain has a form in ASCII, what stands before
 * the @ has none.
 */
export const needsSmtpUtf8 = (address: string): boolean =>
  !/^[\x20-\x7e]*$/.test(address.slice(0, address.lastIndexOf('@')))

/**
 * Undefined while there is a way. An address that our mail server turned out not to take (the last message ended so)
 * has none, until another one is imported; the next message tries it all the same, because servers learn.
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
