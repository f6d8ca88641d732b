// What the rest of Reconsent needs from a queue: to enqueue work by id, and to run it. A queue is only a hint: if its
// contents are lost, no work is lost.
export type QueueName = 'sweep' | 'reauth' | 'notify' | 'exchange'

/**
 * One piece of work: the record's id, and how often that record has been dispatched (part of the job id, so that a job
 * id is never reused).
 */
export interface Dispatch {
  readonly id: string
  readonly dispatchNo: number
}

export interface WorkQueue {
  /**
   * Enqueues work in bulk, with job ids `<id>-<dispatchNo>`. Rejects with a TransientError-like Error when the backend
   * is unavailable.
   */
  add(queue: Exclude<QueueName, 'sweep'>, dispatches: readonly Dispatch[]): Promise<void>
  /** Jobs waiting to be taken, for back-pressure. */
  countWaiting(queue: QueueName): Promise<number>
}
