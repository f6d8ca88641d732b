// Connections that are lost while no code listens to them, because they are lent out or being closed: the error must
// neither reach the process's output nor end the process.
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test, vi } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import { type Backend, openBackend } from '../../src/queue/backend.ts'
import { startWorkers } from '../../src/queue/runner.ts'
import { Secret } from '../../src/secret.ts'
import { createDatabase } from '../setup/database.ts'
import { type OwnRedis, startOwnRedis } from '../setup/redis.ts'
import { aLog, aPrefix, fastTimings, plans } from './setup.ts'

let redis: OwnRedis
let proxy: FaultProxy
beforeAll(async () => {
  redis = await startOwnRedis()
  proxy = await startFaultProxy({ targets: () => [Number(new URL(redis.url).port)] })
})
afterAll(async () => {
  await proxy.close()
  await redis.stop()
})

test('a connection that is reset after it was closed prints nothing', async () => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  const backend = await openBackend(
    { kind: 'redis', url: new Secret(`redis://127.0.0.1:${proxy.port}`) },
    { log: aLog().log, plans, prefix: aPrefix() },
  )
  const workers = startWorkers({
    backend,
    handlers: { reauth: async () => ({ kind: 'done', what: 'nothing' }) },
    timings: { ...fastTimings, stopDeadline: 300, settle: 100 },
  })
  await workers.ready
  await backend.queue('reauth').waitUntilReady()
  await proxy.set({ kind: 'blackhole' })
  await workers.close()
  await backend.close()
  proxy.cut()
  await proxy.set({ kind: 'pass' })
  // A connection that comes back shows that the client noticed the last reset.
  for (let time = 0; time < 3; time += 1) {
    await vi.waitFor(() => expect(proxy.open()).toBeGreaterThan(0), { timeout: 10_000 })
    proxy.cut()
  }
  expect(
    printed.mock.calls
      .flat()
      .map(String)
      .filter((line) => line.includes('Unhandled error event')),
  ).toEqual([])
  printed.mockRestore()
})

describe('a PostgreSQL that ends its connections', () => {
  let ours: pg.Client
  let postgres: FaultProxy
  let backend: Backend
  const uncaught: unknown[] = []
  const keep = (error: unknown): void => void uncaught.push(error)

  /** Ends connections of the workers and queues, chosen by their current activity. */
  const end = async (which: string): Promise<number> => {
    const { rowCount } = await ours.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> ' +
        `pg_backend_pid() AND ${which}`,
    )
    return rowCount ?? 0
  }

  beforeEach(async () => {
    uncaught.length = 0
    process.prependListener('uncaughtException', keep)
    const url = new URL(await createDatabase())
    ours = new pg.Client({ connectionString: url.href })
    await ours.connect()
    postgres = await startFaultProxy({ targets: () => [Number(new URL(inject('postgresUrl')).port)] })
    url.port = String(postgres.port)
    backend = await openBackend(
      { kind: 'postgres', url: new Secret(url.href) },
      { log: aLog().log, plans, prefix: aPrefix() },
    )
  })
  afterEach(async () => {
    await backend.close()
    await postgres.close()
    await ours.end()
    process.off('uncaughtException', keep)
  })

  test('while one runs a query, it rejects that query and nothing more', async () => {
    const queue = backend.queue('reauth')
    await queue.add('reauth', { id: 'one' })
    const { rows } = await ours.query<{ name: string }>(
      `SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'bullmq'`,
    )
    await ours.query(
      `BEGIN; LOCK TABLE ${rows.map(({ name }) => `bullmq.${name}`).join(', ')} IN ACCESS EXCLUSIVE MODE`,
    )
    let added = 'waits'
    void queue.add('reauth', { id: 'two' }).then(
      () => (added = 'added'),
      () => (added = 'rejected'),
    )
    // Autovacuum or the queue's own maintenance may be the first to wait for the tables, so every waiting connection is
    // ended until the query has its answer.
    await vi.waitFor(
      async () => {
        await end(`wait_event_type = 'Lock'`)
        expect(added).toBe('rejected')
      },
      { timeout: 10_000 },
    )
    await ours.query('COMMIT')
    await queue.add('reauth', { id: 'three' })
    expect(uncaught).toEqual([])
  })

  test('while they are being closed, it ends nothing else', async () => {
    const worker = backend.worker('reauth', async () => undefined, { autorun: false })
    await worker.waitUntilReady()
    const running = worker.run()
    await vi.waitFor(async () => {
      const { rows } = await ours.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reauth'`,
      )
      expect(rows).toHaveLength(1)
    })
    await worker.pause()
    await running
    await postgres.set({ kind: 'blackhole' })
    const closing = worker.close()
    // By then the clients' Terminate message is under way. The server's error message arrives before its answer to
    // that.
    await vi.waitFor(() => expect(postgres.met()).toBeGreaterThan(0))
    expect(await end('true')).toBeGreaterThan(0)
    await postgres.set({ kind: 'pass' })
    await closing
    expect(uncaught).toEqual([])
  })
})
