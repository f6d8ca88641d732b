// Reads from a BullMQ job what kind of run starts now: an automatic one, or one a person asked for on the board.
import type { Job } from 'bullmq'

export interface Attempt {
  /** A person's retry of a job that had finished, well or badly. */
  readonly manual: boolean
  /** Whether BullMQ will not try again by itself after this run. */
  readonly last: boolean
}

/**
 * BullMQ counts an attempt when a run ends, however it ends, and keeps the failure's reason while it waits to try again
 * by itself. A retry on the board (of a failed or a completed job) removes the reason and keeps the count, on Redis and
 * PostgreSQL alike. So an ended attempt without a reason is a person's retry; a redelivery after a stall has counted
 * nothing and removed nothing. A person's retry gets one attempt: the person is there to see it.
 */
export const attemptOf = (job: Pick<Job, 'attemptsMade' | 'failedReason' | 'opts'>): Attempt => {
  const attempts = job.opts.attempts ?? 1
  const usedUp = job.attemptsMade >= attempts
  const manual = usedUp || (job.attemptsMade > 0 && !job.failedReason)
  return { manual, last: manual || job.attemptsMade + 1 >= attempts }
}
