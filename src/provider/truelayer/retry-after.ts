// Reads `Retry-After` (RFC 9110 section 10.2.3): whole seconds, or an HTTP date measured against the sender's own
// `Date`.
import { DateTime } from 'luxon'

/** The longest delay that an answer can impose on a record, however far in the future the header points. */
export const maxRetryAfterMs = 24 * 60 * 60 * 1000

/** The instant that `read` returns, or undefined when it is invalid, whether luxon is set to throw or not. */
export const instantOr = (read: () => DateTime): DateTime | undefined => {
  try {
    const instant = read()
    return instant.isValid ? instant : undefined
  } catch {
    return undefined
  }
}

/** Milliseconds to wait, 0 for a date that has passed, undefined without a readable header. */
export const retryAfterMs = (
  header: string | undefined,
  sentAt: string | undefined,
  nowMs: number,
): number | undefined => {
  const text = header?.trim()
  if (text === undefined || text === '') return undefined
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, maxRetryAfterMs)
  const until = instantOr(() => DateTime.fromHTTP(text))
  if (until === undefined) return undefined
  // Uses the sender's clock for both dates: ours may be wrong, and only their difference matters.
  const from = sentAt === undefined ? undefined : instantOr(() => DateTime.fromHTTP(sentAt))
  const wait = until.toMillis() - (from?.toMillis() ?? nowMs)
  return Math.min(Math.max(wait, 0), maxRetryAfterMs)
}
