// Migration 20261129000000_common_language on rows in every state: each stored value that has a new name gets it, and
// nothing else changes. The expected rows are made from the rows before, by the table of names below.
import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { authorisationCells, openCell } from '../../src/store/authorisation-row.ts'
import { listEvents } from '../../src/store/events.ts'
import { migrate, readMigrations } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/open-store.ts'
import { ringOf } from '../crypto/keys.ts'
import { createEmptyDatabase } from '../setup/database.ts'
import { earlierMigrations } from '../setup/earlier-migrations.ts'
import { asOwner } from '../setup/roles.ts'

const NAME = '20261129000000_common_language'

const codes: Readonly<Record<string, string>> = {
  'provider-paused': 'provider-circuit-open',
  'exchange-unknown': 'exchange-in-doubt',
  'token-dead': 'token-invalid',
  'mail-away': 'message-unavailable',
  'mail-refused': 'message-refused',
  'mail-too-large': 'message-too-large',
  'mail-deferred': 'message-deferred',
  'mail-uncertain': 'message-uncertain',
  'on-hold': 'consent-suspended',
  'cell-unreadable': 'decryption-failed',
  fenced: 'cycle-closed',
}
/** Old codes, and one that keeps its name. */
const CODES = [...Object.keys(codes), 'not-proven']
const columns: Readonly<Record<string, string>> = {
  epoch: 'fencing_token',
  asked: 'poll_count',
  new_refresh_token: 'pending_refresh_token',
}

type Row = Readonly<Record<string, unknown>>

const codeColumns = ['error_code', 'last_error_code']
const renamed = (row: Row): Row =>
  Object.fromEntries(
    Object.entries(row).map(([column, value]) => {
      const name = columns[column] ?? column
      if (codeColumns.includes(column)) return [name, codes[String(value)] ?? value]
      if (column === 'status' && value === 'unknown') return [name, 'in_doubt']
      return [name, column === 'token_owner' && value === 'beside' ? 'pending' : value]
    }),
  )

const CONSENT_STATUSES = [
  'active',
  'paused',
  'quarantined',
  'lapsed',
  'revoked',
  'opted_out',
  'superseded',
  'unsupported',
]
const OPEN_ATTEMPTS = ['issued', 'code_received', 'exchanging', 'verifying', 'unknown']
const ATTEMPT_STATUSES = [...OPEN_ATTEMPTS, 'renewed', 'refused', 'mismatched', 'expired', 'superseded']
const MESSAGE_STATUSES = ['pending', 'sending', 'sent', 'uncertain', 'failed', 'cancelled']

const list = (values: readonly string[]): string => `(VALUES ${values.map((value) => `('${value}')`).join(', ')})`

/** One consent for each pair of a status and a code, with one cycle and messages and attempts in every state. */
const ROWS = [
  `INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, status, expires_at,
     expires_source, refresh_token, next_action_at, epoch, last_error_code, created_at, updated_at)
   SELECT gen_random_uuid(), s || '-' || c, 'user', 'bank', 'GB', 'https://example.com', s, now(), 'imported', 'x',
     CASE WHEN s = 'active' THEN now() END, 7, c, now(), now()
   FROM ${list(CONSENT_STATUSES)} AS a (s), ${list(CODES)} AS b (c)`,
  `INSERT INTO renewals (id, consent_id, cycle, opened_by, reason, opened_at, previous_expires_at)
   SELECT gen_random_uuid(), id, 1, 'system', 'a test', now(), now() FROM consents`,
  // One of each in one cycle would break "one exchange a consent" and "one success a cycle": a cycle each.
  `INSERT INTO authorisations (id, consent_id, renewal_id, route, status, state_hash, done_id, redirect_uri, issued_at,
     expires_at, next_action_at, token_owner, error_code, asked, epoch, new_refresh_token, lease_until)
   SELECT gen_random_uuid(), r.consent_id, r.id, 'reauth', s, sha256(convert_to(r.id || s || o, 'UTF8')),
     r.id || s || o, 'https://example.com', now(), now(),
     CASE WHEN s IN (SELECT * FROM ${list(OPEN_ATTEMPTS)} AS open) THEN now() END, nullif(o, 'none'),
     (SELECT last_error_code FROM consents WHERE id = r.consent_id), 3, 5, 'sealed',
     now() - interval '1 minute'
   FROM renewals AS r, ${list(ATTEMPT_STATUSES)} AS a (s), ${list(['none', 'ours', 'beside'])} AS b (o)
   WHERE NOT (s IN ('exchanging', 'renewed') AND o <> 'ours')`,
  `INSERT INTO notifications (id, consent_id, renewal_id, cycle, rung, channel, status, situation, created_at,
     next_action_at, error_code, epoch)
   SELECT gen_random_uuid(), r.consent_id, r.id, 1, s, 'email', s, 'reminder', now(),
     CASE WHEN s IN ('pending', 'sending') THEN now() END,
     (SELECT last_error_code FROM consents WHERE id = r.consent_id), 2
   FROM renewals AS r, ${list(MESSAGE_STATUSES)} AS a (s)`,
  `INSERT INTO provider_strikes VALUES ('link-rejected', 'one', now())`,
  `INSERT INTO provider_holds (name, since, code, probe_at)
   VALUES ('client-rejected', now(), 'client-rejected', now() + interval '1 minute')`,
  `INSERT INTO events (consent_id, seq, type, at, actor, reason, data, hash)
   SELECT id, n, t, now(), 'system', 'exchange-unknown: in doubt', '{"code": "exchange-unknown"}',
     encode(sha256(convert_to(id || t, 'UTF8')), 'hex')
   FROM consents, (VALUES (1, 'authorisation.exchanging'), (2, 'authorisation.unknown')) AS e (n, t)`,
]

let before: string
/** With this migration as the last one: what later ones add is not its doing. */
let upToThis: string
beforeAll(async () => {
  const names = (await readMigrations()).map(({ name }) => name)
  before = await earlierMigrations(names.filter((name) => name < NAME))
  upToThis = await earlierMigrations(names.filter((name) => name <= NAME))
})
afterAll(async () => {
  for (const folder of [before, upToThis]) await rm(folder, { recursive: true })
})

const oldDatabase = async (...statements: readonly string[]): Promise<string> => {
  const url = await createEmptyDatabase()
  await migrate(url, before)
  if (statements.length > 0) await asOwner(url, ...statements)
  return url
}
const rowsOf = async (url: string, table: string, order = 'id'): Promise<Row[]> =>
  (await asOwner(url, `SELECT to_jsonb(t) AS row FROM ${table} AS t ORDER BY ${order}`)).rows.map(
    ({ row }: { row: Row }) => row,
  )

describe('with rows in every state', () => {
  let url: string
  const old: Record<string, Row[]> = {}
  beforeAll(async () => {
    url = await oldDatabase(...ROWS)
    for (const table of ['consents', 'renewals', 'authorisations', 'notifications'])
      old[table] = await rowsOf(url, table)
    old['events'] = await rowsOf(url, 'events', 'consent_id, seq')
    old['provider_strikes'] = await rowsOf(url, 'provider_strikes', 'code')
    old['provider_holds'] = await rowsOf(url, 'provider_holds', 'name')
    expect(await migrate(url, upToThis)).toContain(NAME)
  })

  test.each([
    ['consents', CONSENT_STATUSES.length * CODES.length],
    ['renewals', CONSENT_STATUSES.length * CODES.length],
    ['authorisations', CONSENT_STATUSES.length * CODES.length * (ATTEMPT_STATUSES.length * 3 - 4)],
    ['notifications', CONSENT_STATUSES.length * CODES.length * MESSAGE_STATUSES.length],
  ])('%s have the new names, and nothing else has changed', async (table, count) => {
    const rows = old[table] ?? []
    expect(rows).toHaveLength(count)
    expect(await rowsOf(url, table)).toEqual(rows.map(renamed))
  })

  test('no old word is left in a status, an owner or a code', async () => {
    const left = await asOwner(
      url,
      `SELECT status AS word FROM authorisations UNION SELECT token_owner FROM authorisations
       UNION SELECT error_code FROM authorisations UNION SELECT error_code FROM notifications
       UNION SELECT last_error_code FROM consents`,
    )
    const words = left.rows.map(({ word }: { word: string | null }) => word)
    for (const word of ['unknown', 'beside', ...Object.keys(codes)]) expect(words).not.toContain(word)
    for (const word of ['in_doubt', 'pending', ...Object.values(codes)]) expect(words).toContain(word)
  })

  test('failures and open circuits of the provider keep their instants', async () => {
    expect(await rowsOf(url, 'provider_failures', 'code')).toEqual(old['provider_strikes'])
    const [hold] = old['provider_holds'] ?? []
    expect(await rowsOf(url, 'open_circuits', 'name')).toEqual([
      { name: 'client-rejected', since: hold?.['since'], trial_at: hold?.['probe_at'] },
    ])
  })

  test('events are stored as they were, and readers are shown the new type', async () => {
    expect(await rowsOf(url, 'events', 'consent_id, seq')).toEqual(old['events'])
    const { db, close } = openStore({ url: new Secret(url), vault: makeVault({ keys: ringOf('k1') }), connections: 1 })
    const events = await listEvents(db, String(old['consents']?.[0]?.['id']))
    await close()
    expect(events.map(({ type }) => type)).toEqual(['authorisation.exchanging', 'authorisation.in-doubt'])
  })

  test('the database refuses the old words from now on', async () => {
    for (const change of [`status = 'unknown'`, `token_owner = 'beside'`]) {
      await expect(
        asOwner(url, `UPDATE authorisations SET ${change} WHERE status = 'in_doubt' AND token_owner = 'pending'`),
      ).rejects.toThrow(/violates check constraint/)
    }
  })
})

test('what the release before has encrypted opens after the rename: each value under its frozen name', async () => {
  const vault = makeVault({ keys: ringOf('k1') })
  const id = randomUUID()
  const sealed = (column: string) =>
    vault.seal(new Secret(`secret of ${column}`), { table: 'authorisations', column, rowId: id, version: 1 })
  const url = await oldDatabase(
    ROWS[0] ?? '',
    ROWS[1] ?? '',
    `INSERT INTO authorisations (id, consent_id, renewal_id, route, status, state_hash, done_id, redirect_uri,
       issued_at, expires_at, verifier, link, code, access_token, new_refresh_token)
     SELECT '${id}', consent_id, id, 'reauth', 'refused', '\\x00', 'done', 'https://example.com', now(), now(),
       '${sealed('verifier')}', '${sealed('link')}', '${sealed('code')}', '${sealed('access_token')}',
       '${sealed('new_refresh_token')}'
     FROM renewals LIMIT 1`,
  )
  await migrate(url)
  const [row] = await rowsOf(url, 'authorisations')
  const opened = authorisationCells.map((column) => openCell(vault, column, id, String(row?.[column])).reveal())
  expect(opened).toEqual(
    ['verifier', 'link', 'code', 'access_token', 'new_refresh_token'].map((column) => `secret of ${column}`),
  )
})

describe('while a process of the release before is at work', () => {
  test.each(['consents', 'authorisations', 'notifications'])(
    'a lease on a row of %s stops the migration, with all tables as they were',
    async (table) => {
      const url = await oldDatabase(
        ...ROWS,
        `UPDATE ${table} SET lease_until = clock_timestamp() + interval '1 minute'
         WHERE id = (SELECT id FROM ${table} ORDER BY id LIMIT 1)`,
      )
      await expect(migrate(url)).rejects.toThrow(
        /^migration 20261129000000_common_language failed: processes of the release before are at work on 1 record/,
      )
      await asOwner(
        url,
        `SELECT epoch FROM ${table}`,
        'SELECT asked FROM authorisations',
        'SELECT * FROM provider_holds',
      )
      await asOwner(url, `UPDATE ${table} SET lease_until = clock_timestamp()`)
      expect(await migrate(url)).toContain(NAME)
    },
  )

  test('a claim that is committed while the migration waits for its lock stops it as well', async () => {
    const url = await oldDatabase(...ROWS.slice(0, 2))
    const worker = new pg.Client({ connectionString: url })
    await worker.connect()
    await worker.query('BEGIN')
    await worker.query(
      `UPDATE consents SET epoch = epoch + 1, lease_until = clock_timestamp() + interval '1 minute'
       WHERE id = (SELECT id FROM consents LIMIT 1)`,
    )
    const migrated = migrate(url).then(
      () => 'migrated',
      (error: Error) => error.message,
    )
    await expect
      .poll(async () => (await asOwner(url, 'SELECT FROM pg_locks WHERE NOT granted')).rowCount, { timeout: 20_000 })
      .toBeGreaterThan(0)
    await worker.query('COMMIT')
    await worker.end()
    expect(await migrated).toMatch(/at work on 1 record/)
  })
})
