// What the rest of Reconsent needs from a queue: to enqueue work by id, and to run it. A queue is only a hint: if its
// contents are lost, no work is lost.
import type { Dispatch, RecordQueue } from '../records.ts'

export type QueueName = 'sweep' | RecordQueue

export interface WorkQueue {
  /**
   * Enqueues work in bulk, with job ids `<id>-<dispatchNo>`. Rejects with a TransientError-like Error when the backend
   * is unavailable.
   */
  add(queue: RecordQueue, dispatches: readonly Dispatch[]): Promise<void>
  /** Jobs waiting to be taken, for back-pressure. */
  countWaiting(queue: QueueName): Promise<number>
}
