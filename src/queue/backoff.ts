// How long BullMQ waits before it tries a job again: seconds to minutes, never longer. Longer waits are dates on the
// record.
import type { BackoffStrategy } from 'bullmq'

/** Milliseconds; also the most that a `Retry-After` can hold a job back. */
export const MAX_BACKOFF = 5 * 60_000

/** Doubles from the job's own base with ±20 % jitter, and never sooner than the other side asked for. */
export const pacedBackoff: BackoffStrategy = (attemptsMade, _type, error, job) => {
  const backoff = job?.opts.backoff
  const base = typeof backoff === 'object' ? (backoff.delay ?? 0) : (backoff ?? 0)
  const jittered = base * 2 ** (attemptsMade - 1) * (0.8 + 0.4 * Math.random())
  const asked = (error as { retryAfterMs?: number } | undefined)?.retryAfterMs ?? 0
  return Math.min(MAX_BACKOFF, Math.round(Math.max(jittered, asked)))
}
