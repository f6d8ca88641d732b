// How long things take and how many run at once: policy key `timing`. Defaults suit production; tests and large sites
// change them.
import type { Duration } from 'luxon'

export interface Timing {
  /** How long a worker may hold a record before another may take it over. Longer than `jobDeadline`. */
  readonly lease: Duration
  /** How long a dispatched row is left alone, waiting in the queue, before the sweep dispatches it again. */
  readonly queuedFor: Duration
  /** How often codes waiting for their exchange are looked for, whatever the queue does. */
  readonly codeTimer: Duration
  /** When a running job is aborted. */
  readonly jobDeadline: Duration
  /** How long a graceful stop may take, all in all. */
  readonly stopWithin: Duration
  /**
   * How long a stopping web role says that it is unready, and still answers, before it stops listening. Shorter than
   * `stopWithin`.
   */
  readonly unreadyFor: Duration
  /** The longest one call to the provider or the mail server may take. */
  readonly requestTimeout: Duration
  /** Rows per page of a sweep, 1 to 1000. */
  readonly pageSize: number
  /** The sweep stops dispatching while more jobs than this wait. */
  readonly maxWaiting: number
  /** Jobs running at once in one worker process, by queue. */
  readonly concurrency: { readonly reauth: number; readonly notify: number; readonly exchange: number }
  /** The queue's own retries; after them the record rests, for minutes to days. */
  readonly retry: {
    /** Runs in all, the first included. */
    readonly attempts: number
    /** Before the second run; doubles each time. */
    readonly firstDelay: Duration
  }
}
