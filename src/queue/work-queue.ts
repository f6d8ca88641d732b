// Enqueues work by id. Answers within seconds, whatever the backend does; the next sweep finds what could not be
// enqueued.
import type { JobType } from 'bullmq'
import type { Dispatch } from '../records.ts'
import type { Backend } from './backend.ts'
import { jobIdOf } from './catalogue.ts'
import { callBackend } from './call-backend.ts'
import type { QueueName, WorkQueue } from './port.ts'

/** Milliseconds for one call to the backend. */
const CALL_TIMEOUT = 2_000
/** Jobs per call: far below what a slow backend takes in CALL_TIMEOUT. */
const BATCH = 250

const checkId = (id: string): void => {
  // BullMQ gives a meaning of its own to a colon in a job id. The ids here are UUIDs.
  if (!/^[A-Za-z0-9-]+$/.test(id)) throw new Error('a dispatched id may hold letters, digits and hyphens only')
}

/**
 * On PostgreSQL BullMQ counts the waiting jobs of a paused queue under a separate type, `paused`, which its TypeScript
 * types no longer include.
 */
const waitingTypes = ({ kind }: Backend): JobType[] =>
  kind === 'postgres' ? ['waiting', 'prioritized', 'paused' as JobType] : ['waiting', 'prioritized']

const logErrorOf =
  ({ logError }: Backend, queue: QueueName) =>
  (error: unknown): void =>
    logError({ queue, end: 'producer' }, error)

export const makeWorkQueue = (backend: Backend): WorkQueue => ({
  add: async (name, dispatches) => {
    const plan = backend.plans[name]
    const field = plan.idField
    if (field === undefined) throw new Error(`queue ${name} takes no ids`)
    const toJob = (dispatch: Dispatch) => {
      checkId(dispatch.id)
      return { name: plan.job, data: { [field]: dispatch.id }, opts: { jobId: jobIdOf(dispatch) } }
    }
    const jobs = dispatches.map(toJob)
    const [only] = jobs
    if (only !== undefined && jobs.length === 1) {
      // ioredis copies some hundred commands into each pipeline, so one job goes without.
      const { name: job, data, opts } = only
      await callBackend(CALL_TIMEOUT, () => backend.queue(name).add(job, data, opts), logErrorOf(backend, name))
      return
    }
    for (let start = 0; start < jobs.length; start += BATCH) {
      await callBackend(
        CALL_TIMEOUT,
        () => backend.queue(name).addBulk(jobs.slice(start, start + BATCH)),
        logErrorOf(backend, name),
      )
    }
  },

  countWaiting: async (name) => {
    const counts = await callBackend(
      CALL_TIMEOUT,
      () => backend.queue(name).getJobCounts(...waitingTypes(backend)),
      logErrorOf(backend, name),
    )
    return Object.values(counts).reduce((sum, count) => sum + count, 0)
  },
})
