// The run's record of writes, for processes that have a role of their own: the record notes all their writes, and they
// cannot touch it.
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { expect, test } from 'vitest'
import { readWrites, recordWrites } from './writes.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'

test('a write by the role of the application is noted with its process; the book is out of its reach', async () => {
  const ownerUrl = await createDatabase()
  const appUrl = await createAppRole(ownerUrl)
  const sql = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> => {
    const client = new pg.Client({ connectionString: ownerUrl })
    await client.connect()
    try {
      return (await client.query(text, values)).rows as Row[]
    } finally {
      await client.end()
    }
  }
  await recordWrites(sql)
  const id = randomUUID()
  await asOwner(
    ownerUrl,
    `
    INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, expires_at, expires_source,
      refresh_token, next_action_at, created_at, updated_at)
    VALUES ('${id}', '${id}', 'u', 'p', 'GB', 'https://example.com', now(), 'imported', 'v1.k1.a.b', now(), now(),
      now())`,
  )
  const as = async (who: string, ...statements: string[]): Promise<unknown> =>
    asOwner(`${appUrl}?application_name=${who}`, ...statements)
  await as(
    'worker-1-17',
    `UPDATE consents SET fencing_token = fencing_token + 1, lease_until = now() + interval '1 minute'
      WHERE id = '${id}'`,
  )
  await as('worker-2-18', `UPDATE consents SET next_action_at = now() + interval '1 day' WHERE id = '${id}'`)
  expect(await sql('SELECT place, row_id, who, is_claim FROM chaos_writes ORDER BY no')).toEqual([
    { place: 'consents', row_id: id, who: 'worker-1-17', is_claim: true },
    { place: 'consents', row_id: id, who: 'worker-2-18', is_claim: false },
  ])
  expect(await readWrites({ sql })).toMatchObject({ foreign: [{ who: 'worker-2-18', holder: 'worker-1-17' }] })
  await expect(as('worker-2-18', 'DELETE FROM chaos_writes')).rejects.toThrow(
    'permission denied for table chaos_writes',
  )
})
