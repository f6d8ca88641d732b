// Every duration of the queue's workers, in milliseconds, so that tests need not wait.
export interface QueueTimings {
  /** A running job belongs to its worker this long; renewed at half time. */
  readonly lockDuration: number
  /** How often jobs of dead workers are looked for; one is found on the second look after its lock ran out. */
  readonly stalledInterval: number
  /** A run that takes longer has its signal aborted. */
  readonly jobDeadline: number
  /** How long a run may take to end after its signal was aborted; then it is failed without it. */
  readonly settle: number
  /** How long a stop waits for running jobs before it aborts their signals. */
  readonly stopDeadline: number
  /** Between two attempts to reach a backend that is away. */
  readonly reconnectDelay: number
}

/** Those that are the queue's own business, and no policy's. The other three come from the policy's `timing`. */
export type OwnTimings = Pick<QueueTimings, 'lockDuration' | 'stalledInterval' | 'reconnectDelay'>
export const ownTimings: OwnTimings = { lockDuration: 30_000, stalledInterval: 30_000, reconnectDelay: 2_000 }
