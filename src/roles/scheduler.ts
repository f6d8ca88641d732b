// The role `scheduler`: finds what is due, and gives each event its place in the feed. Part of the composition root: it
// constructs objects and decides nothing.
import { Duration } from 'luxon'
import { runEvery } from '../processors/run-every.ts'
import { placeEvents } from '../processors/place-events.ts'
import { sweep, sweepUrgent } from '../processors/sweep.ts'
import { watchEvery, watchSweep } from '../processors/watch-sweep.ts'
import { intervalOf } from '../queue/cron.ts'
import { startWorkers } from '../queue/runner.ts'
import { makeSweepSchedule } from '../queue/schedule.ts'
import { type Services, runnerTimings, type Stop, stopWaits } from './services.ts'

// Nobody waits for these rounds: a read that comes to the end of the feed gives places itself. They keep what such a
// read has to do small. At rest, they are most of what the database is asked.
const PLACES_EVERY = Duration.fromObject({ seconds: 5 })

export const startSchedulerRole = (services: Services): Stop => {
  const { backend, wrap, log, store, queue, clock, config } = services
  const { timing } = config
  const { pageSize, maxWaiting, queuedFor, codeTimer, jobDeadline: tickWithin } = timing
  const { cron } = config.policy.sweep
  const interval = intervalOf(cron)
  const deps = { store, queue, clock, log, pageSize, maxWaiting, queuedFor }
  const [sweepAll, sweepNow] = [sweep(deps), sweepUrgent(deps)]
  const schedule = wrap('schedule', makeSweepSchedule(backend))
  const registerSchedule = async (): Promise<void> => schedule.registerSweep(cron)
  const workers = startWorkers({
    backend,
    handlers: wrap('jobs', { sweep: async () => sweepAll() }),
    onEnd: services.metrics.recordJob,
    timings: runnerTimings(services),
  })
  const watchdog = runEvery({
    name: 'watchdog',
    every: watchEvery(interval),
    tickWithin,
    log,
    tick: watchSweep({ store, sweep: sweepAll, registerSchedule, interval, log }),
  })
  const urgent = runEvery({
    name: 'urgent',
    every: codeTimer,
    tickWithin,
    log,
    tick: async () => void (await sweepNow()),
  })
  const places = runEvery({
    name: 'feed',
    every: PLACES_EVERY,
    tickWithin,
    log,
    tick: placeEvents({ store }),
  })
  // Registered at every start, not only when the watchdog finds it missing, so that a changed pattern takes effect.
  // While the queue is unavailable, the watchdog repeats it.
  void registerSchedule().catch((error: unknown) =>
    log.warn({ err: error }, 'the sweep could not be scheduled yet: the watchdog tries again'),
  )
  return async () => {
    const waits = stopWaits(timing)
    const ended = await Promise.all([workers.close(), watchdog.stop(waits), urgent.stop(waits), places.stop(waits)])
    return ended.every(Boolean)
  }
}
