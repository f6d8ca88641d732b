// When the queue has given up on a job: its record gets a later date, so that a fault of ours burns slowly until it is mended.
import { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { ErrorCode } from '../errors.ts'
import type { QueueName } from '../queue/port.ts'
import type { Dispatching, RecordKind } from '../store/port.ts'

const RESTS = Duration.fromObject({ minutes: 15 })
const kindOf: Partial<Record<QueueName, RecordKind>> = { exchange: 'authorisation', notify: 'notification' }

/** Reauth jobs date their consent themselves; the sweep has no record. */
export const recordFailure =
  ({ store, clock }: { store: Pick<Dispatching, 'postponeRecord'>; clock: Clock }) =>
  async ({ queue, id, code }: { queue: QueueName; id: string; code: ErrorCode }): Promise<void> => {
    const kind = kindOf[queue]
    if (kind !== undefined) await store.postponeRecord(kind, id, clock.now().plus(RESTS), code)
  }
