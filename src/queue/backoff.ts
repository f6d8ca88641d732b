// The back-off before BullMQ retries a job: seconds to minutes, never longer. Longer delays are dates on the record.
import type { BackoffStrategy } from 'bullmq'

/** Milliseconds; also the longest that a server's `Retry-After` can delay a job. */
export const MAX_BACKOFF = 5 * 60_000

/**
 * Starts from the job's own base and doubles each time, with ±20 % jitter. Up to MAX_BACKOFF, never shorter than the
 * server's `Retry-After`.
 */
export const pacedBackoff: BackoffStrategy = (attemptsMade, _type, error, job) => {
  const backoff = job?.opts.backoff
  const base = typeof backoff === 'object' ? (backoff.delay ?? 0) : (backoff ?? 0)
  const jittered = base * 2 ** (attemptsMade - 1) * (0.8 + 0.4 * Math.random())
  const asked = (error as { retryAfterMs?: number } | undefined)?.retryAfterMs ?? 0
  return Math.min(MAX_BACKOFF, Math.round(Math.max(jittered, asked)))
}
