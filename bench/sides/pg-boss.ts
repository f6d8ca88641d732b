// The side `pg-boss`: the same job as its documentation advises. Jobs are added in the transaction of the data by the
// option `db`; workers fetch batches, settle each job by itself, and are woken by NOTIFY; the sweep by its schedule,
// each minute, and at once when the bench says that consents are due.
import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { runSide } from './order.ts'
import { servePages } from './pages.ts'
import { AT_ONCE, type CommitWithJob, PAGE, renewalSteps, TAKE_DUE } from './steps.ts'

const CONNECTIONS = 10
const WORKERS = 2
const STOPS_WITHIN_MS = 10_000

interface Data {
  readonly id: string
}

await runSide(async (order) => {
  const pool = new pg.Pool({ connectionString: order.databaseUrl, max: CONNECTIONS })
  const boss = new PgBoss({ connectionString: order.databaseUrl, useListenNotify: true })
  boss.on('error', (error) => console.error(error))
  await boss.start()

  /** In one transaction; `db` is what pg-boss takes to add its jobs in it. */
  const inTransaction = async <Result>(
    work: (db: { executeSql(text: string, values?: unknown[]): Promise<pg.QueryResult> }) => Promise<Result>,
  ): Promise<Result> => {
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      const result = await work({ executeSql: async (text, values) => client.query(text, values) })
      await client.query('COMMIT')
      return result
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }

  const commitWithJob: CommitWithJob = async (statement, values, job) =>
    inTransaction(async (db) => {
      const [written] = (await db.executeSql(statement, [...values])).rows as readonly Data[]
      if (written === undefined) return false
      await boss.send(job, { id: written.id }, { db })
      return true
    })
  const steps = renewalSteps(order, pool, commitWithJob)

  const sweep = async (): Promise<void> => {
    for (let count = PAGE; count === PAGE;)
      count = await inTransaction(async (db) => {
        const due = (await db.executeSql(TAKE_DUE)).rows as readonly Data[]
        if (due.length > 0)
          await boss.insert(
            'make-link',
            due.map(({ id }) => ({ data: { id } })),
            { db },
          )
        return due.length
      })
  }

  const workOn = async (queue: string, work: (id: string) => Promise<void>): Promise<void> => {
    await boss.createQueue(queue, { notify: true })
    const options = {
      batchSize: AT_ONCE / WORKERS,
      localConcurrency: WORKERS,
      perJobResults: true,
      burstWhenBatchFull: true,
    } as const
    await boss.work<Data, unknown, typeof options>(queue, options, async (jobs) =>
      Promise.all(
        jobs.map(async ({ id, data }) =>
          work(data.id).then(
            () => ({ id, status: 'completed' as const }),
            (error: unknown) => ({ id, status: 'failed' as const, output: { error: String(error) } }),
          ),
        ),
      ),
    )
  }
  await workOn('make-link', steps.makeLink)
  await workOn('send-mail', steps.sendMail)
  await workOn('exchange', steps.exchange)
  await boss.createQueue('sweep', { notify: true })
  await boss.work('sweep', sweep)
  await boss.schedule('sweep', '* * * * *')

  const pages = await servePages(order, steps)
  return {
    onDue: () => void boss.send('sweep'),
    stop: async () => {
      await pages.close()
      await boss.stop({ graceful: true, timeout: STOPS_WITHIN_MS })
      steps.close()
      await pool.end()
    },
  }
})
