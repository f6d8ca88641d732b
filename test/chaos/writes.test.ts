// Which process wrote what, on a real database: the run must find a write by a process whose fencing token another
// process holds, and must accept the writes that are allowed.
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase } from '../setup/database.ts'
import { faults } from './faults.ts'
import type { Struck } from './struck.ts'
import { holdingsNow, isOvertaken, judgeWrites, readTakeovers, readWrites, recordWrites } from './writes.ts'

const ID = '00000000-0000-4000-8000-000000000001'
let url: string
const as =
  (name: string) =>
  async <Row>(text: string, values: unknown[] = []): Promise<Row[]> => {
    const client = new pg.Client({ connectionString: url, application_name: name })
    await client.connect()
    try {
      return (await client.query(text, values)).rows as Row[]
    } finally {
      await client.end()
    }
  }
const run = as('chaos')
const claim = `UPDATE consents
  SET fencing_token = fencing_token + 1, lease_until = clock_timestamp() + interval '1 minute'`
const names = async (log: readonly Struck[] = []): Promise<string[]> =>
  judgeWrites(await readWrites({ sql: run }), log).violations.map(({ record }) => record)

beforeAll(async () => {
  url = await createDatabase()
  await recordWrites(run)
  await run(`INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, status, expires_at,
    expires_source, refresh_token, next_action_at, next_action_reason, created_at, updated_at)
    VALUES ('${ID}', 'connection', 'user', 'bank', 'GB', 'http://127.0.0.1/callback', 'active', now(), 'imported',
      'sealed', now(), 'due', now(), now())`)
})
afterAll(async () => run('DROP TABLE chaos_writes CASCADE'))

test('a claim says who holds the record, until another takes it over', async () => {
  await as('worker-1')(claim)
  const [holding] = await holdingsNow({ sql: run })
  expect(holding).toMatchObject({ place: 'consents', rowId: ID, fencingToken: 1, who: 'worker-1' })
  if (holding === undefined) throw new Error('nobody holds it')
  expect(await isOvertaken({ sql: run }, holding)).toBe(false)
  await as('worker-2')(claim)
  expect(await isOvertaken({ sql: run }, holding)).toBe(true)
})

test('the holder may write, give its lease back, and be fenced off by whoever closes the record', async () => {
  await as('worker-2')(`UPDATE consents SET next_action_at = now() + interval '1 day'`)
  await as('worker-1')(`UPDATE consents SET fencing_token = fencing_token + 1, lease_until = NULL`)
  expect(await names()).toEqual([])
})

test('a write by the overtaken is named', async () => {
  await as('worker-2')(claim)
  await as('worker-1')(`UPDATE consents SET next_action_at = now() + interval '2 days', lease_until = NULL`)
  expect(await names()).toEqual([`consents ${ID}`])
})

test('so is one by the successor of whoever holds it, in the same seat', async () => {
  await as('worker-1:10')(claim)
  await as('worker-1:11')(`UPDATE consents SET next_action_at = now() + interval '3 days', lease_until = NULL`)
  expect(await names()).toEqual([`consents ${ID}`, `consents ${ID}`])
})

test('so is one by a job that its own process had overtaken: the claim was given back before it', async () => {
  await as('worker-2:10')(claim)
  await as('worker-2:10')(`UPDATE consents SET next_action_at = now() + interval '4 days', lease_until = NULL`)
  expect(await names()).toHaveLength(2)
  await as('worker-2:10')(`UPDATE consents SET next_action_at = now() + interval '5 days', lease_until = NULL`)
  expect(await names()).toHaveLength(3)
  // A worker that has not heard of its first write writes once more: then no other job wrote.
  const now = Date.now()
  const cut: Struck = {
    name: 'cut acknowledgements of commits',
    hinders: ['database'],
    from: now - 5_000,
    to: now + 5_000,
    happened: 1,
    problem: undefined,
  }
  expect(await names([cut])).toHaveLength(2)
  expect(await names([{ ...cut, happened: 0 }])).toHaveLength(3)
  // A database that is only slow loses no answer.
  const late = 'PostgreSQL late'
  expect(await names([{ ...cut, name: late, hinders: faults[late]?.hinders ?? [] }])).toHaveLength(3)
})

test('a stop by hand is not another’s taking over', async () => {
  await as('worker-5:20')(claim)
  const [holding] = await holdingsNow({ sql: run })
  if (holding === undefined) throw new Error('nobody holds it')
  await run(`UPDATE consents SET fencing_token = fencing_token + 1, lease_until = NULL`)
  expect(await isOvertaken({ sql: run }, holding)).toBe(false)
})

test('who took a record over from whom is told; a stop in between makes it nobody’s', async () => {
  await as('worker-3:12')(claim)
  const before = (await readTakeovers({ sql: run })).length
  await as('worker-4:13')(claim)
  await as('worker-4:14')(claim)
  const told = (await readTakeovers({ sql: run })).slice(before)
  expect(told).toMatchObject([
    { row_id: ID, holder: 'worker-3:12' },
    { row_id: ID, holder: 'worker-4:13', at: expect.any(Date) as Date },
  ])
  await run(`UPDATE consents SET fencing_token = fencing_token + 1, lease_until = NULL`)
  await as('worker-3:12')(claim)
  expect((await readTakeovers({ sql: run })).length).toBe(before + 2)
})

test('a token response in hand is excepted, and the cancelling of a message not yet begun', () => {
  const late = { was_leased: true, row_id: ID, who: 'worker-1', holder: 'worker-2', fencingToken: 3, at: new Date(0) }
  const judge = (place: string, from: string, to: string): number =>
    judgeWrites({ fenced: 1, overtakings: 1, foreign: [{ ...late, place, status_before: from, status_after: to }] }, [])
      .violations.length
  expect([
    judge('authorisations', 'in_doubt', 'verifying'),
    judge('authorisations', 'awaiting_date', 'verifying'),
    judge('authorisations', 'exchanging', 'verifying'),
    judge('notifications', 'pending', 'cancelled'),
  ]).toEqual([0, 0, 0, 0])
  expect([
    judge('authorisations', 'exchanging', 'in_doubt'),
    judge('authorisations', 'in_doubt', 'refused'),
    judge('notifications', 'sending', 'sent'),
  ]).toEqual([1, 1, 1])
})
