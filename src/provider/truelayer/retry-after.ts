// Reads `Retry-After` (RFC 9110 section 10.2.3): whole seconds, or an HTTP date measured against the sender's own
// `Date`.
import { DateTime } from 'luxon'

/** No answer may hold a record back longer than this, however far in the future the header points. */
export const maxRetryAfterMs = 24 * 60 * 60 * 1000

/** An instant from `read`, or undefined where the text is none, whether luxon is set to throw or not. */
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
  // Both dates by the sender's clock: ours may be off, and a wait is a difference.
  const from = sentAt === undefined ? undefined : instantOr(() => DateTime.fromHTTP(sentAt))
  const wait = until.toMillis() - (from?.toMillis() ?? nowMs)
  return Math.min(Math.max(wait, 0), maxRetryAfterMs)
}
