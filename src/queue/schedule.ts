// The job scheduler that wakes the sweep by cron. There is only one, under a fixed id; any number of processes may
// register it at any time.
import type { Backend } from './backend.ts'
import { jobOptions } from './catalogue.ts'
import { checkCron } from './cron.ts'
import { callBackend } from './call-backend.ts'

const SCHEDULER_ID = 'sweep'
/** Milliseconds for one call to the backend. */
const CALL_TIMEOUT = 2_000

/** States of the scheduler's next job in which BullMQ will still create the job after it. */
const ARMED = new Set<string>(['delayed', 'waiting', 'prioritized', 'active'])

export interface SweepSchedule {
  /**
   * Ensures that the scheduler exists with this pattern (UTC). Rejects with TransientError('queue-unavailable'), or
   * with an Error if the pattern is invalid.
   */
  registerSweep(cron: string): Promise<void>
  /** Whether the scheduler exists and will fire. */
  isRegistered(): Promise<boolean>
}

export const makeSweepSchedule = (backend: Backend): SweepSchedule => {
  const queue = backend.queue('sweep')
  const plan = backend.plans.sweep
  const logError = (error: unknown): void => backend.logError({ queue: 'sweep', end: 'producer' }, error)

  /**
   * The pattern that will fire next. Undefined also when the scheduler exists but its next job is gone, because such a
   * scheduler would never fire again.
   */
  const armedPattern = async (): Promise<string | undefined> => {
    const scheduler = await queue.getJobScheduler(SCHEDULER_ID)
    if (scheduler?.next === undefined || scheduler.next === null || scheduler.pattern === undefined) return undefined
    const state = await queue.getJobState(`repeat:${SCHEDULER_ID}:${scheduler.next}`)
    return ARMED.has(state) ? scheduler.pattern : undefined
  }

  const register = async (cron: string): Promise<void> => {
    // Registering the scheduler again would drop a sweep that is due at this moment.
    if ((await armedPattern()) === cron) return
    try {
      const { jobId: _none, ...opts } = jobOptions(plan)
      await queue.upsertJobScheduler(SCHEDULER_ID, { pattern: cron, tz: 'UTC' }, { name: plan.job, data: {}, opts })
    } catch (error) {
      // When two processes register at once on PostgreSQL, the slower one is refused (code -10) although the scheduler
      // is right.
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
