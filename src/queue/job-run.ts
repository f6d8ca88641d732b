// Reads from a BullMQ job what kind of run starts now: an automatic run, or a retry that an operator asked for on the
// board.
import type { Job } from 'bullmq'
import type { JobContext } from '../processors/outcome.ts'

/** A run's context without its signal. A run is `manual` when it retries a job that had finished, well or badly. */
export type JobRun = Omit<JobContext, 'signal'>

/**
 * BullMQ counts an attempt when a run ends, however it ends, and keeps the failure's reason while the job waits for its
 * automatic retry. A retry on the board (of a failed or a completed job) removes the reason and keeps the count, on
 * Redis and PostgreSQL alike. So a counted attempt without a reason means a retry by an operator; a redelivery after a
 * stall changes neither count nor reason. A retry by an operator gets one attempt, because the operator is there to see
 * the result.
 */
export const jobRunOf = (job: Pick<Job, 'attemptsMade' | 'failedReason' | 'opts'>): JobRun => {
  const attempts = job.opts.attempts ?? 1
  const usedUp = job.attemptsMade >= attempts
  const manual = usedUp || (job.attemptsMade > 0 && !job.failedReason)
  return { manual, isLastTry: manual || job.attemptsMade + 1 >= attempts }
}
