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

/** A stop takes at most `stopDeadline` + `settle` + 3 s, which is under the 25 s that a container is given. */
export const defaultTimings: QueueTimings = {
  lockDuration: 30_000,
  stalledInterval: 30_000,
  jobDeadline: 120_000,
  settle: 5_000,
  stopDeadline: 15_000,
  reconnectDelay: 2_000,
}
