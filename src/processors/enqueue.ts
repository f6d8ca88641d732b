// Hands one record that has just become due to the queue at once. This is only a short cut: if it fails, a sweep finds
// the record, at once or when its mark has run out.
import type { Duration } from 'luxon'
import type { Log } from '../log.ts'
import type { WorkQueue } from '../queue/port.ts'
import { type Dispatch, type RecordKind, recordJobs } from '../records.ts'
import type { Dispatching } from '../store/port.ts'

/** `record`: one that was marked as queued in the commit that made it due, or the id of one that is marked here. */
export type Enqueue = (kind: RecordKind, record: Dispatch | string) => Promise<void>

export const makeEnqueue =
  ({
    store,
    queue,
    log,
    queuedFor,
  }: {
    store: Pick<Dispatching, 'dispatchOne' | 'undispatch'>
    queue: WorkQueue
    log: Log
    queuedFor: Duration
  }): Enqueue =>
  async (kind, record) => {
    const { queue: name } = recordJobs[kind]
    const dispatched =
      typeof record === 'string' ? await store.dispatchOne(kind, record, queuedFor).catch(() => undefined) : record
    if (dispatched === undefined) return
    try {
      await queue.add(name, [dispatched])
    } catch {
      log.warn({ queue: name }, 'the queue took no work: the next sweep hands it over')
      await store.undispatch(kind, [dispatched]).catch(() => undefined)
    }
  }
