// Every duration of the queue's workers, in milliseconds. They are parameters so that tests need not wait.
export interface QueueTimings {
  /** How long a worker's lock on a running job lasts; the worker renews it at half time. */
  readonly lockDuration: number
  /**
   * How often BullMQ looks for jobs whose worker crashed; it finds such a job on the second look after the lock
   * expired.
   */
  readonly stalledInterval: number
  /** A run that takes longer has its signal aborted. */
  readonly jobDeadline: number
  /**
   * How long a run may take to end after its signal was aborted. After that the job is failed without waiting for the
   * run.
   */
  readonly settle: number
  /** How long a stop waits for running jobs before it aborts their signals. */
  readonly stopDeadline: number
  /** The delay between two attempts to reach an unavailable backend. */
  readonly reconnectDelay: number
}

/** The timings that the queue sets itself. The other three come from the policy's `timing`. */
export type OwnTimings = Pick<QueueTimings, 'lockDuration' | 'stalledInterval' | 'reconnectDelay'>
export const ownTimings: OwnTimings = { lockDuration: 30_000, stalledInterval: 30_000, reconnectDelay: 2_000 }
