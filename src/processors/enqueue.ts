// Hands one record that has just become due to the queue at once. This is only a short cut: if it fails, the next sweep
// finds the record.
import type { Duration } from 'luxon'
import type { Log } from '../log.ts'
import type { WorkQueue } from '../queue/port.ts'
import { type RecordKind, recordJobs } from '../records.ts'
import type { Dispatching } from '../store/port.ts'

export type Enqueue = (kind: RecordKind, id: string) => Promise<void>

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
  async (kind, id) => {
    const { queue: name } = recordJobs[kind]
    const dispatched = await store.dispatchOne(kind, id, queuedFor).catch(() => undefined)
    if (dispatched === undefined) return
    try {
      await queue.add(name, [dispatched])
    } catch {
      log.warn({ queue: name }, 'the queue took no work: the next sweep hands it over')
      await store.undispatch(kind, [dispatched]).catch(() => undefined)
    }
  }
