// Upgrades: a database at any earlier migration, with rows in it, is brought up to date; and what the later migrations
// are for.
import { rm } from 'node:fs/promises'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { feedChain, NO_HASH } from '../../src/store/event-hash.ts'
import { listing } from '../../src/store/listing.ts'
import { migrate, readMigrations } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/open-store.ts'
import { ringOf } from '../crypto/keys.ts'
import { createEmptyDatabase } from '../setup/database.ts'
import { earlierMigrations } from '../setup/earlier-migrations.ts'
import { asOwner, createRole } from '../setup/roles.ts'

const CONSENTS = `
  INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, expires_at, expires_source,
    refresh_token, next_action_at, created_at, updated_at)
  SELECT gen_random_uuid(), 'cred-' || n, 'user', 'bank', 'GB', 'https://example.com', now(), 'imported', 'x', now(),
    now(), now() FROM generate_series(1, 2000) AS n`
const RENEWALS = `
  INSERT INTO renewals (id, consent_id, cycle, opened_by, reason, opened_at, previous_expires_at)
  SELECT gen_random_uuid(), id, 1, 'system', 'a test', now(), now() FROM consents`
const AUTHORISATIONS = `
  INSERT INTO authorisations (id, consent_id, renewal_id, route, status, state_hash, done_id, redirect_uri, issued_at,
    expires_at)
  SELECT gen_random_uuid(), consent_id, id, 'reauth', 'expired', decode(md5(n || id::text), 'hex'), n || id::text,
    'https://example.com', now(), now()
  FROM renewals, generate_series(1, 3) AS n`
const MESSAGES = `
  INSERT INTO notifications (id, consent_id, renewal_id, cycle, rung, channel, status, situation, created_at)
  SELECT gen_random_uuid(), consent_id, id, 1, '-' || n || 'd', 'email', 'sent', 'reminder', now() FROM renewals,
    generate_series(1, 3) AS n`

const names = (await readMigrations()).map(({ name }) => name)

test.each(names.slice(0, -1).map((name, at) => [name, at + 1] as const))('from %s, with rows', async (_name, count) => {
  const url = await createEmptyDatabase()
  const folder = await earlierMigrations(names.slice(0, count))
  expect(await migrate(url, folder)).toEqual(names.slice(0, count))
  for (const rows of [CONSENTS, RENEWALS, AUTHORISATIONS, MESSAGES]) await asOwner(url, rows)
  expect(await migrate(url)).toEqual(names.slice(count))
  expect(await migrate(url)).toEqual([])
  await rm(folder, { recursive: true })
})

describe('the order of the feed', () => {
  const before = names.indexOf('20261126010000_event_positions')
  const first = `(SELECT id FROM consents ORDER BY credentials_id LIMIT 1)`
  const second = `(SELECT id FROM consents ORDER BY credentials_id OFFSET 1 LIMIT 1)`
  /** An event as the previous release writes it; with `transaction`, as if that transaction had written it. */
  const event = (consent: string, seq: number, reason: string, transaction?: number): string =>
    `INSERT INTO events (consent_id, seq, type, at, actor, reason,
      hash${transaction === undefined ? '' : ', transaction_id'})
     VALUES (${consent}, ${seq}, 'consent.updated', now(), 'company', '${reason}', encode(sha256('${reason}'),
       'hex')${transaction === undefined ? '' : `, ${transaction}`})`
  const ageBy = (transactions: number): string =>
    `DO $$ BEGIN FOR i IN 1..${transactions} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`

  let url: string
  let folder: string
  let opened: ReturnType<typeof openStore>
  beforeEach(async () => {
    url = await createEmptyDatabase()
    folder = await earlierMigrations(names.slice(0, before))
    await migrate(url, folder)
    await asOwner(url, CONSENTS)
    opened = openStore({ url: new Secret(url), vault: makeVault({ keys: ringOf('k1') }), connections: 3 })
    return async () => {
      await opened.close()
      await rm(folder, { recursive: true })
    }
  })
  const reasons = async (after?: string) => (await listing(opened.db).listFeed(after, 1000)).map(({ reason }) => reason)
  const oldCursorOf = async (reason: string): Promise<string> =>
    (await asOwner(url, `SELECT transaction_id || '.' || position AS cursor FROM events WHERE reason = '${reason}'`))
      .rows[0]?.cursor ?? ''

  test('is that of the previous release: each of its cursors goes on where it stood', async () => {
    for (let seq = 1; seq <= 5; seq += 1)
      await asOwner(url, event(first, seq, `first ${seq}`), event(second, seq, `second ${seq}`))
    const { rows } = await asOwner(
      url,
      'SELECT reason, transaction_id, position FROM events ORDER BY transaction_id, position',
    )
    await migrate(url)
    expect(await reasons()).toEqual(rows.map(({ reason }) => reason))
    for (const [at, { reason }] of rows.entries())
      expect(await reasons(await oldCursorOf(reason))).toEqual(rows.slice(at + 1).map((row) => row.reason))
  })

  test('keeps a consent’s order where the previous release did not', async () => {
    await asOwner(url, ageBy(10), event(first, 1, 'one'), event(first, 2, 'two', 5))
    await migrate(url)
    expect(await reasons()).toEqual(['one', 'two'])
    expect(await reasons(await oldCursorOf('two'))).toEqual(['one', 'two'])
    expect(await reasons(await oldCursorOf('one'))).toEqual(['two'])
  })

  test('has another server’s events before this one’s: a feed silent since a restore goes on', async () => {
    await asOwner(
      url,
      event(first, 1, 'there 1', 5),
      event(second, 1, 'there 2', 4_000_000_000),
      event(first, 2, 'there 3', 4_000_000_001),
    )
    const seen = await oldCursorOf('there 3')
    await asOwner(url, event(first, 3, 'here 1'), event(second, 2, 'here 2'))
    await migrate(url)
    expect(await reasons()).toEqual(['there 1', 'there 2', 'there 3', 'here 1', 'here 2'])
    expect(await reasons(seen)).toEqual(['here 1', 'here 2'])
  })

  test('includes what processes of the previous release write meanwhile and afterwards, with few rights', async () => {
    const appUrl = await createRole(url)
    const role = new URL(appUrl).username
    await asOwner(
      url,
      `GRANT SELECT, INSERT ON events, consents TO ${role}`,
      `GRANT USAGE ON SEQUENCE events_position_seq TO ${role}`,
      event(first, 1, 'early'),
    )
    const writer = new pg.Client({ connectionString: appUrl })
    await writer.connect()
    await writer.query('BEGIN')
    await writer.query(event(second, 1, 'meanwhile'))
    const migrated = migrate(url)
    // The migration waits for open writers, and later writers wait for the migration no longer than that.
    await expect
      .poll(
        async () =>
          (
            await asOwner(
              url,
              `SELECT count(*)::int AS waiting FROM pg_locks WHERE relation = 'events'::regclass AND NOT granted`,
            )
          ).rows[0]?.waiting,
      )
      .toBe(1)
    await writer.query('COMMIT')
    await migrated
    await writer.query(event(first, 2, 'afterwards'))
    expect(await reasons()).toEqual(['early', 'meanwhile', 'afterwards'])
    // The process of the previous release reads its own feed as before.
    const readOld = async (): Promise<readonly string[]> => {
      const { rows } = await writer.query<{ reason: string }>(`
        SELECT event.*, consent.credentials_id FROM events AS event JOIN consents AS consent ON consent.id =
          event.consent_id
        WHERE (event.transaction_id, event.position) > (0, 0) AND event.transaction_id <
          pg_snapshot_xmin(pg_current_snapshot())::text::bigint
        ORDER BY event.transaction_id, event.position LIMIT 100`)
      return rows.map(({ reason }) => reason)
    }
    // It waits for every open transaction of the server, those of other tests' databases too.
    await expect.poll(readOld).toEqual(['early', 'meanwhile', 'afterwards'])
    await writer.end()
  })

  test('is not made while a dump has events open: every writer would wait behind the migration', async () => {
    await asOwner(url, event(first, 1, 'before'))
    const dump = new pg.Client({ connectionString: url })
    await dump.connect()
    await dump.query('BEGIN')
    await dump.query('SELECT FROM events')
    await expect(migrate(url)).rejects.toThrow(
      /migration 20261126010000_event_positions failed: a transaction \(a dump\?\) has had the table events open/,
    )
    await asOwner(url, event(first, 2, 'meanwhile'))
    await dump.end()
    expect(await migrate(url)).toEqual(['20261126010000_event_positions', ...names.slice(before + 1)])
    expect(await reasons()).toEqual(['before', 'meanwhile'])
  })

  test('has the chain with which the program goes on', async () => {
    await asOwner(url, ...Array.from({ length: 30 }, (_, seq) => event(first, seq + 1, `event ${seq}`)))
    await migrate(url)
    const { rows } = await asOwner(
      url,
      'SELECT chain, hash FROM event_positions AS feed JOIN events USING (consent_id, seq) ORDER BY feed.position',
    )
    let chain = NO_HASH
    for (const row of rows) expect(row.chain).toBe((chain = feedChain(chain, row.hash)))
    expect(rows).toHaveLength(30)
  })
})

describe('an index serves', () => {
  let client: pg.Client
  beforeAll(async () => {
    const url = await createEmptyDatabase()
    await migrate(url)
    for (const rows of [CONSENTS, RENEWALS, AUTHORISATIONS, MESSAGES, 'ANALYZE']) await asOwner(url, rows)
    client = new pg.Client({ connectionString: url })
    await client.connect()
  })
  afterAll(async () => client.end())

  const planOf = async (sql: string, values: readonly unknown[]): Promise<string> =>
    (await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`, [...values])).rows
      .map((row) => row['QUERY PLAN'])
      .join('\n')

  test('the authorisations of one consent', async () => {
    const { rows } = await client.query<{ id: string }>('SELECT id FROM consents LIMIT 1')
    expect(
      await planOf('SELECT * FROM authorisations WHERE consent_id IN ($1::uuid) ORDER BY issued_at', [rows[0]?.id]),
    ).toContain('authorisations_consent_id_idx')
  })

  test('the number of uncertain messages, with the status as a parameter, as Prisma sends it', async () => {
    const asPrisma = 'SELECT count(*) FROM (SELECT id FROM notifications WHERE status = $1 OFFSET $2) AS sub'
    expect(await planOf(asPrisma, ['uncertain', 0])).toContain('notifications_uncertain')
  })
})
