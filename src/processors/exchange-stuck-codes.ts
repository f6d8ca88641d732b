// Codes are valid for five minutes. Codes that no exchange job took in time (the queue is unavailable, or was paused on
// the board) are exchanged here, in this process: all of them in one round, ten at a time. Claims keep this process,
// other processes and a late job from exchanging the same code.
import type { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Dispatching } from '../store/port.ts'
import type { Outcome, JobContext } from './outcome.ts'

const AT_ONCE = 10
/** Larger than the number exchanged at once: a slow answer holds up one lane, not the page. */
const PAGE = 100
/**
 * A round older than this begins no further exchange: the next round follows soon, and the ticker takes a round that
 * lasts too long for one that hangs.
 */
const BEGINS_FOR_MS = 20_000

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
    advance: (authorisationId: string, run: JobContext) => Promise<Outcome>
    clock: Clock
    /** A code younger than this is left to its job. */
    waited: Duration
    log: Log
    /** Once aborted, no further exchange is begun. */
    signal: AbortSignal
  }) =>
  async (): Promise<void> => {
    // One `now` for the round: a code that becomes due while the round runs is left to the next one, so that the round
    // ends.
    const now = clock.now()
    const endsAt = performance.now() + BEGINS_FOR_MS
    const mayBegin = (): boolean => !signal.aborted && performance.now() < endsAt
    /** The codes tried in this round: whatever became of them, they are not tried again in it. */
    const tried = new Set<string>()
    const exchange = async (id: string): Promise<void> => {
      try {
        const outcome = await advance(id, { manual: false, isLastTry: true, signal })
        log.info({ authorisation_id: id, outcome: outcome.kind }, 'took a code that no job had taken')
      } catch (error) {
        // The other codes go on; this code is tried again in the next round.
        log.warn({ authorisation_id: id, err: error }, 'a code that no job had taken could not be exchanged yet')
      }
    }
    for (let isShort = false; !isShort && mayBegin();) {
      // Codes that were tried and still wait must not hide the codes behind them.
      const limit = PAGE + tried.size
      const found = await store.findStuckCodes(now.minus(waited), now, limit)
      isShort = found.length < limit
      const waiting = found.filter((id) => !tried.has(id)).values()
      const lane = async (): Promise<void> => {
        for (const id of waiting) {
          if (!mayBegin()) return
          tried.add(id)
          await exchange(id)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, lane))
    }
  }
