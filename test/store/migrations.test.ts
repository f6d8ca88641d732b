// Upgrades: a database at any earlier migration, with rows in it, is brought up to date; and what the later ones are for.
import { randomUUID } from 'node:crypto'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { migrate, readMigrations, shippedFolder } from '../../src/store/migrate.ts'
import { asOwner } from '../setup/roles.ts'

const emptyDatabase = async (): Promise<string> => {
  const url = new URL(inject('postgresUrl'))
  const name = `upgrade_${randomUUID().replaceAll('-', '')}`
  await asOwner(url.href, `CREATE DATABASE ${name}`)
  url.pathname = `/${name}`
  return url.href
}

/** The folder as an earlier release shipped it. */
const firstMigrations = async (names: readonly string[]): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'migrations-'))
  for (const name of names) await cp(join(shippedFolder, name), join(folder, name), { recursive: true })
  return folder
}

const CONSENTS = `
  INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, expires_at, expires_source, refresh_token, next_action_at, created_at, updated_at)
  SELECT gen_random_uuid(), 'cred-' || n, 'user', 'bank', 'GB', 'https://example.com', now(), 'imported', 'x', now(), now(), now() FROM generate_series(1, 2000) AS n`
const RENEWALS = `
  INSERT INTO renewals (id, consent_id, cycle, opened_by, reason, opened_at, previous_expires_at)
  SELECT gen_random_uuid(), id, 1, 'system', 'a test', now(), now() FROM consents`
const AUTHORISATIONS = `
  INSERT INTO authorisations (id, consent_id, renewal_id, route, status, state_hash, done_id, redirect_uri, issued_at, expires_at)
  SELECT gen_random_uuid(), consent_id, id, 'reauth', 'expired', decode(md5(n || id::text), 'hex'), n || id::text, 'https://example.com', now(), now()
  FROM renewals, generate_series(1, 3) AS n`
const MESSAGES = `
  INSERT INTO notifications (id, consent_id, renewal_id, cycle, rung, channel, status, situation, created_at)
  SELECT gen_random_uuid(), consent_id, id, 1, '-' || n || 'd', 'email', 'sent', 'reminder', now() FROM renewals, generate_series(1, 3) AS n`

const names = (await readMigrations()).map(({ name }) => name)

test.each(names.slice(0, -1).map((name, at) => [name, at + 1] as const))('from %s, with rows', async (_name, count) => {
  const url = await emptyDatabase()
  const folder = await firstMigrations(names.slice(0, count))
  expect(await migrate(url, folder)).toEqual(names.slice(0, count))
  for (const rows of [CONSENTS, RENEWALS, AUTHORISATIONS, MESSAGES]) await asOwner(url, rows)
  expect(await migrate(url)).toEqual(names.slice(count))
  expect(await migrate(url)).toEqual([])
  await rm(folder, { recursive: true })
})

describe('what is read follows an index', () => {
  let client: pg.Client
  beforeAll(async () => {
    const url = await emptyDatabase()
    await migrate(url)
    for (const rows of [CONSENTS, RENEWALS, AUTHORISATIONS, MESSAGES, 'ANALYZE']) await asOwner(url, rows)
    client = new pg.Client({ connectionString: url })
    await client.connect()
  })
  afterAll(async () => client.end())

  const planOf = async (sql: string, values: readonly unknown[]): Promise<string> =>
    (await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${sql}`, [...values])).rows.map((row) => row['QUERY PLAN']).join('\n')

  test('the authorisations of one consent', async () => {
    const { rows } = await client.query<{ id: string }>('SELECT id FROM consents LIMIT 1')
    expect(await planOf('SELECT * FROM authorisations WHERE consent_id IN ($1::uuid) ORDER BY issued_at', [rows[0]?.id])).toContain('authorisations_consent_id_idx')
  })

  test('the number of uncertain messages, its status a parameter as Prisma has it', async () => {
    const asPrisma = 'SELECT count(*) FROM (SELECT id FROM notifications WHERE status = $1 OFFSET $2) AS sub'
    expect(await planOf(asPrisma, ['uncertain', 0])).toContain('notifications_uncertain')
  })
})
