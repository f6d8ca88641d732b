// The second trigger of the sweep. When the last successful sweep is too old, whatever the reason (Redis lost its
// scheduler, its queue was paused, its worker crashed), this process sweeps itself and registers the job scheduler
// again.
import { Duration } from 'luxon'
import type { Log } from '../log.ts'
import type { Dispatching } from '../store/port.ts'
import type { Outcome } from './outcome.ts'

const AT_MOST = Duration.fromObject({ hours: 1 })
const INTERVALS = 2.5

/** The age from which the last sweep is too old: two and a half intervals of the cron pattern, at most an hour. */
export const tooOldAfter = (interval: Duration): Duration => {
  const own = Duration.fromMillis(interval.toMillis() * INTERVALS)
  return own.toMillis() < AT_MOST.toMillis() ? own : AT_MOST
}

export const watchSweep =
  ({
    store,
    sweep,
    registerSchedule,
    interval,
    log,
  }: {
    store: Pick<Dispatching, 'sinceLastSweep'>
    sweep: () => Promise<Outcome>
    registerSchedule: () => Promise<void>
    interval: Duration
    log: Log
  }) =>
  async (): Promise<void> => {
    const age = await store.sinceLastSweep()
    if (age !== undefined && age.toMillis() <= tooOldAfter(interval).toMillis()) return
    log.warn(
      { alert: 'sweep-late', age_seconds: age?.as('seconds') ?? null },
      'the last successful sweep is too old: sweeping here and registering the schedule again',
    )
    // The schedule comes first: if the queue is unavailable this fails, and the dispatch would fail as well.
    await registerSchedule()
    await sweep()
  }

/** How often the watchdog checks: often enough to notice a late sweep in time, whatever the pattern. */
export const watchEvery = (interval: Duration): Duration =>
  Duration.fromMillis(Math.min(Math.max(interval.toMillis() / 2, 500), 30_000))
