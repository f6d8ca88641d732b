// A database that really becomes unavailable: which error the store reports, and that the process survives.
import { DateTime, Duration } from 'luxon'
import pg from 'pg'
import { afterEach, expect, inject, test } from 'vitest'
import { startFaultProxy } from '../chaos/fault-proxy.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import { TransientError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { isOutage } from '../../src/store/outage.ts'
import { ringOf } from '../crypto/keys.ts'
import { createDatabase } from '../setup/database.ts'

const ID = '00000000-0000-4000-8000-000000000000'
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

const openBehindProxy = async (options: { statementMs?: number } = {}) => {
  const url = new URL(await createDatabase())
  const target = Number(url.port)
  const proxy = await startFaultProxy({ targets: () => [target] })
  closers.push(proxy.close)
  url.port = String(proxy.port)
  const opened = openStore({
    url: new Secret(url.href),
    vault: makeVault({ keys: ringOf('k1') }),
    connections: 4,
    ...options,
  })
  closers.push(opened.close)
  return { ...opened, proxy, name: url.pathname.slice(1) }
}
const codeOf = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof TransientError ? error.code : error),
  )

test('a database that refuses connections is an outage for statements and transactions until it is back', async () => {
  const { store, proxy } = await openBehindProxy()
  expect(await store.getView(ID)).toBeUndefined()
  await proxy.set({ kind: 'refuse' })
  for (let round = 0; round < 3; round += 1) {
    expect(await codeOf(store.claim('consent', ID, Duration.fromMillis(1000)))).toBe('database-unavailable')
    expect(await codeOf(store.getView(ID))).toBe('database-unavailable')
    expect(await codeOf(store.receiveCode(new Secret('state'), new Secret('code'), DateTime.utc()))).toBe(
      'database-unavailable',
    )
  }
  await proxy.set({ kind: 'pass' })
  expect(await store.getView(ID)).toBeUndefined()
})

test('backends that are terminated while they work are an outage, and never end the process', async () => {
  const { store, db, name } = await openBehindProxy()
  const admin = new pg.Client({ connectionString: inject('postgresUrl') })
  await admin.connect()
  closers.push(async () => admin.end())
  const held = db.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SELECT 1`
    await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name])
    await tx.$executeRaw`SELECT 2`
  })
  expect(
    await held.then(
      () => 'no error',
      (error: unknown) => isOutage(error),
    ),
  ).toBe(true)
  expect(await store.getView(ID)).toBeUndefined()
})

test('a transaction that its process left idle is ended by PostgreSQL', async () => {
  const { db } = await openBehindProxy()
  const [row] = await db.prisma.$queryRaw<
    { idle_in_transaction_session_timeout: string }[]
  >`SHOW idle_in_transaction_session_timeout`
  expect(row?.idle_in_transaction_session_timeout).toBe('20s')
})

test('a mistake of ours is no outage', async () => {
  const { db } = await openBehindProxy()
  const wrong = db.prisma.$queryRaw`SELECT no_such_column FROM consents`
  expect(
    await wrong.then(
      () => 'no error',
      (error: unknown) => isOutage(error),
    ),
  ).toBe(false)
  expect(isOutage(new TypeError('x is not a function'))).toBe(false)
  expect(isOutage('Connection terminated')).toBe(false)
})

test('a database that accepts all and answers nothing is an outage in time; connections are given up', async () => {
  const { store, db, proxy } = await openBehindProxy({ statementMs: 300 })
  expect(await store.getView(ID)).toBeUndefined()
  const connections = proxy.open()
  await proxy.set({ kind: 'blackhole' })
  const began = performance.now()
  const answers = Promise.all([
    codeOf(store.getView(ID)),
    codeOf(store.receiveCode(new Secret('state'), new Secret('code'), DateTime.utc())),
    codeOf(
      listing(db)
        .statusCounts(DateTime.utc())
        .catch((error: unknown) =>
          Promise.reject(isOutage(error) ? new TransientError('database-unavailable') : error),
        ),
    ),
  ])
  expect(new Set(await answers)).toEqual(new Set(['database-unavailable']))
  expect(performance.now() - began).toBeLessThan(14_000)
  expect(connections).toBeGreaterThan(0)
  await proxy.set({ kind: 'pass' })
  expect(await store.getView(ID)).toBeUndefined()
}, 30_000)

test('a statement that takes too long is ended by PostgreSQL, an outage; its connection stays usable', async () => {
  const { db } = await openBehindProxy({ statementMs: 200 })
  const slow = db.prisma.$queryRaw`SELECT pg_sleep(30)`.then(
    () => 'no error',
    (error: unknown) => isOutage(error),
  )
  expect(await slow).toBe(true)
  expect(await db.prisma.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
})

test('without a limit, as for an import, a statement takes as long as it needs', async () => {
  const { db } = await openBehindProxy()
  expect(await db.prisma.$queryRaw`SELECT current_setting('statement_timeout') AS limit`).toEqual([{ limit: '0' }])
})
