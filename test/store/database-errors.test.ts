// What an error says about the database; and a database that really becomes unavailable: which error the store reports,
// and that the process survives.
import { DateTime, Duration } from 'luxon'
import pg from 'pg'
import { afterEach, expect, inject, test } from 'vitest'
import { startFaultProxy } from '../chaos/fault-proxy.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import { TransientError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { classify, isPassing } from '../../src/store/database-errors.ts'
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

const raw = (code: string, cause: object): Error =>
  Object.assign(new Error('refused'), { code, meta: { driverAdapterError: Object.assign(new Error('x'), { cause }) } })

test.each([
  ['a code of Prisma for an unreachable database', Object.assign(new Error('x'), { code: 'P1001' }), 'outage'],
  ['a driver’s error without a code', new Error('Connection terminated unexpectedly'), 'outage'],
  ['a certificate that is not trusted', Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' }), 'outage'],
  ['an SQLSTATE inside a raw query’s error', raw('P2010', { kind: 'postgres', originalCode: '57P01' }), 'outage'],
  ['the adapter’s own name for it', raw('P2010', { kind: 'SocketTimeout' }), 'outage'],
  ['a deadlock', raw('P2010', { kind: 'postgres', originalCode: '40P01' }), 'conflict'],
  ['a write conflict that Prisma names itself', Object.assign(new Error('x'), { code: 'P2034' }), 'conflict'],
  ['a unique key', raw('P2002', { kind: 'UniqueConstraintViolation', originalCode: '23505' }), 'duplicate-key'],
  ['a table that does not exist', raw('P2010', { kind: 'postgres', originalCode: '42P01' }), 'no-tables'],
  ['a column that does not exist', raw('P2010', { kind: 'postgres', originalCode: '42703' }), undefined],
  ['a bug of ours', new TypeError('x is not a function'), undefined],
  ['no error at all', 'Connection terminated', undefined],
])('%s', (_name, error, kind) => {
  expect(classify(error)).toBe(kind)
})

const NOW_AND_UNQUEUED = { now: DateTime.utc(), queuedFor: Duration.fromMillis(0) }

test('a database that refuses connections is an outage for statements and transactions until it is back', async () => {
  const { store, proxy } = await openBehindProxy()
  expect(await store.getView(ID)).toBeUndefined()
  await proxy.set({ kind: 'refuse' })
  for (let round = 0; round < 3; round += 1) {
    expect(await codeOf(store.claim('consent', ID, Duration.fromMillis(1000)))).toBe('database-unavailable')
    expect(await codeOf(store.getView(ID))).toBe('database-unavailable')
    expect(await codeOf(store.receiveCode(new Secret('state'), new Secret('code'), NOW_AND_UNQUEUED))).toBe(
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
      (error: unknown) => isPassing(error),
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
      (error: unknown) => isPassing(error),
    ),
  ).toBe(false)
  expect(isPassing(new TypeError('x is not a function'))).toBe(false)
  expect(isPassing('Connection terminated')).toBe(false)
})

test('a database that accepts all and answers nothing is an outage in time; connections are given up', async () => {
  const { store, db, proxy } = await openBehindProxy({ statementMs: 300 })
  expect(await store.getView(ID)).toBeUndefined()
  const connections = proxy.open()
  await proxy.set({ kind: 'blackhole' })
  const began = performance.now()
  const answers = Promise.all([
    codeOf(store.getView(ID)),
    codeOf(store.receiveCode(new Secret('state'), new Secret('code'), NOW_AND_UNQUEUED)),
    codeOf(
      listing(db)
        .statusCounts(DateTime.utc())
        .catch((error: unknown) =>
          Promise.reject(isPassing(error) ? new TransientError('database-unavailable') : error),
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
    (error: unknown) => isPassing(error),
  )
  expect(await slow).toBe(true)
  expect(await db.prisma.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
})

test('without a limit, as for an import, a statement takes as long as it needs', async () => {
  const { db } = await openBehindProxy()
  expect(await db.prisma.$queryRaw`SELECT current_setting('statement_timeout') AS limit`).toEqual([{ limit: '0' }])
})
