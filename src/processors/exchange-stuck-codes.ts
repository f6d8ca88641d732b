// Codes live five minutes: those that no exchange job took in time (the queue is away, or was paused on the board) are exchanged here,
// in this process. Claims keep this and a late job apart.
import type { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Dispatching } from '../store/port.ts'
import type { Outcome, Run } from './outcome.ts'

const AT_ONCE = 10

export const exchangeStuckCodes =
  ({
    store,
    advance,
    clock,
    waited,
    log,
    signal,
  }: {
    store: Pick<Dispatching, 'findStuckCodes'>
    advance: (authorisationId: string, run: Run) => Promise<Outcome>
    clock: Clock
    /** A code younger than this is left to its job. */
    waited: Duration
    log: Log
    signal: AbortSignal
  }) =>
  async (): Promise<void> => {
    const now = clock.now()
    const ids = await store.findStuckCodes(now.minus(waited), now, AT_ONCE)
    await Promise.all(
      ids.map(async (id) => {
        try {
          const outcome = await advance(id, { manual: false, lastAttempt: true, signal })
          log.info({ authorisation_id: id, outcome: outcome.kind }, 'took a code that no job had taken')
        } catch (error) {
          // The others go on; this one is tried again when its lease is over.
          log.warn({ authorisation_id: id, err: error }, 'a code that no job had taken could not be exchanged yet')
        }
      }),
    )
  }
