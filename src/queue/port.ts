// What the rest of Reconsent needs from a queue: to hand over work by id, and to run it. A queue is a hint: losing it
// loses nothing.
export type QueueName = 'sweep' | 'reauth' | 'notify' | 'exchange'

/** One piece of work: which record, and how often that record has been dispatched (makes the job id, never reused). */
export interface Dispatch {
  readonly id: string
  readonly dispatchNo: number
}

export interface WorkQueue {
  /**
   * Hands over work in bulk; job ids `<id>-<dispatchNo>`. Rejects with a TransientError-like Error when the backend is
   * away.
   */
  add(queue: Exclude<QueueName, 'sweep'>, dispatches: readonly Dispatch[]): Promise<void>
  /** Jobs waiting to be taken, for back-pressure. */
  countWaiting(queue: QueueName): Promise<number>
}
