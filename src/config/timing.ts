// Time limits, intervals and numbers of parallel jobs: the policy key `timing`. The defaults suit production; tests and
// large sites change them.
import type { Duration } from 'luxon'

export interface Timing {
  /**
   * How long a worker's lease on a record lasts before another worker may claim the record. Longer than `jobDeadline`.
   */
  readonly lease: Duration
  /** How long the sweep leaves a dispatched row in the queue before it dispatches the row again. */
  readonly queuedFor: Duration
  /** How often the program looks for codes that wait for their exchange, whatever the queue does. */
  readonly codeTimer: Duration
  /** How long a job may run before it is aborted. */
  readonly jobDeadline: Duration
  /** How long a graceful stop may take in all. */
  readonly stopWithin: Duration
  /**
   * How long a stopping web role reports that it is not ready, while still answering, before it stops listening.
   * Shorter than `stopWithin`.
   */
  readonly unreadyFor: Duration
  /** The longest one call to the provider or the mail server may take. */
  readonly requestTimeout: Duration
  /** Rows per page of a sweep, 1 to 1000. */
  readonly pageSize: number
  /** The sweep stops dispatching to a queue in which more jobs than this are waiting. */
  readonly maxWaiting: number
  /** How many jobs one worker process runs at once, by queue. */
  readonly concurrency: { readonly reauth: number; readonly notify: number; readonly exchange: number }
  /** The queue's own retries. After the last one the record is rescheduled, minutes to days later. */
  readonly retry: {
    /** The number of runs, the first included. */
    readonly attempts: number
    /** The delay before the second run; it doubles each time. */
    readonly firstDelay: Duration
  }
}
