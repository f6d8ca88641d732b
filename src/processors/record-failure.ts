// When the queue has given up on a job, its record gets a later date, so that a fault of ours is retried slowly until
// it is fixed.
import { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { CODE_TTL } from '../domain/exchange.ts'
import { delayOfRecord } from '../domain/outage.ts'
import type { ErrorCode } from '../errors.ts'
import type { QueueName } from '../queue/port.ts'
import { kindOfQueue } from '../records.ts'
import type { Dispatching } from '../store/port.ts'

/**
 * For records that cannot wait: a code while it is valid, and a code or message that may just have been sent and is in
 * doubt.
 */
const URGENT_DELAY = Duration.fromObject({ seconds: 10 })

/** Reauth jobs schedule their consent themselves; the sweep has no record. */
export const recordFailure =
  ({ store, clock }: { store: Pick<Dispatching, 'rescheduleRecord'>; clock: Clock }) =>
  async ({ queue, id, code }: { queue: QueueName; id: string; code: ErrorCode }): Promise<void> => {
    const kind = kindOfQueue(queue)
    if (kind === undefined || kind === 'consent') return
    const now = clock.now()
    await store.rescheduleRecord(
      kind,
      id,
      { now, retryAt: now.plus(delayOfRecord(code)), urgentRetryAt: now.plus(URGENT_DELAY), urgentFor: CODE_TTL },
      code,
    )
  }
