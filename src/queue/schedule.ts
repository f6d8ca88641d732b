// The job scheduler that wakes the sweep by cron: one, under one fixed id, registered by any number of processes at any
// time.
import type { Backend } from './backend.ts'
import { jobOptions } from './catalogue.ts'
import { checkCron } from './cron.ts'
import { callBackend } from './deadline.ts'

const SCHEDULER_ID = 'sweep'
/** Milliseconds for one call to the backend. */
const CALL_TIMEOUT = 2_000

/** States from which the next job still makes its successor. */
const ARMED = new Set<string>(['delayed', 'waiting', 'prioritized', 'active'])

export interface SweepSchedule {
  /**
   * Makes the scheduler be there with this pattern (UTC). Rejects with TransientError('queue-unavailable'), or an Error
   * on a bad pattern.
   */
  registerSweep(cron: string): Promise<void>
  /** Whether the scheduler is there and will fire. */
  isRegistered(): Promise<boolean>
}

export const makeSweepSchedule = (backend: Backend): SweepSchedule => {
  const queue = backend.queue('sweep')
  const plan = backend.plans.sweep
  const logError = (error: unknown): void => backend.logError({ queue: 'sweep', end: 'producer' }, error)

  /**
   * The pattern that will fire next. Undefined also when the scheduler is there but its next job is gone: it would
   * never fire again.
   */
  const armedPattern = async (): Promise<string | undefined> => {
    const scheduler = await queue.getJobScheduler(SCHEDULER_ID)
    if (scheduler?.next === undefined || scheduler.next === null || scheduler.pattern === undefined) return undefined
    const state = await queue.getJobState(`repeat:${SCHEDULER_ID}:${scheduler.next}`)
    return ARMED.has(state) ? scheduler.pattern : undefined
  }

  const register = async (cron: string): Promise<void> => {
    // Registering anew would drop a sweep that is due this moment.
    if ((await armedPattern()) === cron) return
    try {
      const { jobId: _none, ...opts } = jobOptions(plan)
      await queue.upsertJobScheduler(SCHEDULER_ID, { pattern: cron, tz: 'UTC' }, { name: plan.job, data: {}, opts })
    } catch (error) {
      // Two processes registering at once on PostgreSQL: the slower one is refused (code -10) although the state is
      // right.
      if ((await armedPattern()) !== cron) throw error
    }
  }

  return {
    registerSweep: async (cron) => {
      const problem = checkCron(cron)
      if (problem !== undefined) throw new Error(`sweep.cron: ${problem}`)
      await callBackend(CALL_TIMEOUT, () => register(cron.trim()), logError)
    },
    isRegistered: () => callBackend(CALL_TIMEOUT, async () => (await armedPattern()) !== undefined, logError),
  }
}
