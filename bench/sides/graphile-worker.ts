// The side `graphile-worker`: the same job as its documentation advises. Jobs are added by SQL in the transaction of
// the data; batching as its page on performance recommends (localQueue of one more than concurrentJobs, jobs completed
// in batches); the sweep by its cron, each minute, and at once when the bench says that consents are due.
import { parseCronItems, run, type TaskList, WorkerPreset } from 'graphile-worker'
import pg from 'pg'
import { runSide } from './order.ts'
import { servePages } from './pages.ts'
import { AT_ONCE, type CommitWithJob, PAGE, renewalSteps, TAKE_DUE } from './steps.ts'

const CONNECTIONS = AT_ONCE + 10
const COMPLETES_EVERY_MS = 250

const SWEEP = `WITH due AS (${TAKE_DUE}), added AS (
    SELECT FROM graphile_worker.add_jobs((
      SELECT array_agg(json_populate_record(NULL::graphile_worker.job_spec, json_build_object(
        'identifier', 'make-link', 'payload', json_build_object('id', id)))) FROM due)))
  SELECT count(*)::int AS count FROM added`

await runSide(async (order) => {
  const pool = new pg.Pool({ connectionString: order.databaseUrl, max: CONNECTIONS })
  const commitWithJob: CommitWithJob = async (statement, values, job) => {
    const { rowCount } = await pool.query(
      `WITH written AS (${statement})
       SELECT FROM written, graphile_worker.add_job('${job}', json_build_object('id', id))`,
      [...values],
    )
    return rowCount === 1
  }
  const steps = renewalSteps(order, pool, commitWithJob)
  const idOf = (payload: unknown): string => (payload as { id: string }).id
  const taskList: TaskList = {
    sweep: async () => {
      for (let count = PAGE; count === PAGE;) count = (await pool.query<{ count: number }>(SWEEP)).rows[0]?.count ?? 0
    },
    'make-link': async (payload) => steps.makeLink(idOf(payload)),
    'send-mail': async (payload) => steps.sendMail(idOf(payload)),
    exchange: async (payload) => steps.exchange(idOf(payload)),
  }
  const runner = await run({
    preset: {
      extends: [WorkerPreset],
      worker: {
        concurrentJobs: AT_ONCE,
        localQueue: { size: AT_ONCE + 1 },
        completeJobBatchDelay: COMPLETES_EVERY_MS,
        failJobBatchDelay: COMPLETES_EVERY_MS,
      },
    },
    pgPool: pool,
    // runSide handles them.
    noHandleSignals: true,
    taskList,
    parsedCronItems: parseCronItems([{ task: 'sweep', match: '* * * * *' }]),
  })
  const pages = await servePages(order, steps)
  return {
    onDue: () => void runner.addJob('sweep', {}),
    stop: async () => {
      await pages.close()
      await runner.stop()
      steps.close()
      await pool.end()
    },
  }
})
