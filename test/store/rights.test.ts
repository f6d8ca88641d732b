import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { grantRights, tableRights } from '../../src/store/rights.ts'
import { verify } from '../../src/verify/verify.ts'
import { run, environmentFor } from '../commands/reconsent.ts'
import { startCompany, until } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner, createAppRole, createRole } from '../setup/roles.ts'

const consent = (id: string): string => `
  INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, expires_at, expires_source,
    refresh_token, next_action_at, created_at, updated_at)
  VALUES ('${id}', '${id}', 'u', 'p', 'GB', 'https://example.com', now(), 'imported', 'v1.k1.a.b', now(), now(), now())`
const event = (id: string): string => `
  INSERT INTO events (consent_id, seq, type, at, actor, hash) VALUES ('${id}', 1, 'consent.imported', now(), 'company',
    repeat('0', 64))`

const rewrites = {
  UPDATE: 'UPDATE events SET reason = NULL',
  'UPDATE of no row': 'UPDATE events SET reason = NULL WHERE false',
  DELETE: 'DELETE FROM events',
  TRUNCATE: 'TRUNCATE events',
}

describe('the owner', () => {
  let ownerUrl: string
  beforeAll(async () => {
    ownerUrl = await createDatabase()
    const id = randomUUID()
    await asOwner(ownerUrl, consent(id), event(id))
  })

  test.each(Object.entries(rewrites))('%s of events is refused by the trigger', async (_name, statement) => {
    await expect(asOwner(ownerUrl, statement)).rejects.toThrow(/events are only ever added/)
  })

  test('a session setting allows it, for a repair', async () => {
    await asOwner(
      ownerUrl,
      'BEGIN',
      `SET LOCAL reconsent.rewrite_events = 'allowed'`,
      rewrites.UPDATE,
      rewrites.DELETE,
      rewrites.TRUNCATE,
      'ROLLBACK',
    )
    const { rows } = await asOwner(ownerUrl, 'SELECT count(*)::int AS count FROM events')
    expect(rows).toEqual([{ count: 1 }])
  })
})

describe('a role of its own', () => {
  let ownerUrl: string
  let appUrl: string
  beforeAll(async () => {
    ownerUrl = await createDatabase()
    appUrl = await createAppRole(ownerUrl)
    const id = randomUUID()
    await asOwner(ownerUrl, consent(id), event(id))
  })

  test.each(Object.entries(rewrites))('%s of events is denied, whatever the session says', async (_name, statement) => {
    await expect(asOwner(appUrl, `SET reconsent.rewrite_events = 'allowed'`, statement)).rejects.toThrow(
      'permission denied for table events',
    )
  })

  test.each([
    ['DELETE FROM consents', 'permission denied for table consents'],
    ['DELETE FROM renewals', 'permission denied for table renewals'],
    ['DELETE FROM authorisations', 'permission denied for table authorisations'],
    ['DELETE FROM notifications', 'permission denied for table notifications'],
    ['UPDATE _prisma_migrations SET checksum = checksum', 'permission denied for table _prisma_migrations'],
    ['ALTER TABLE events DISABLE TRIGGER ALL', 'must be owner of table events'],
    ['DROP TRIGGER events_are_only_added ON events', 'must be owner of relation events'],
    ['CREATE TABLE mine (id int)', 'permission denied for schema public'],
    [`SELECT setval('events_position_seq', 1)`, 'permission denied for sequence events_position_seq'],
  ])('%s: %s', async (statement, message) => {
    await expect(asOwner(appUrl, statement)).rejects.toThrow(message)
  })

  test('granting covers every table, and revokes rights that go too far', async () => {
    const { rows } = await asOwner(ownerUrl, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
    expect(rows.map(({ tablename }) => tablename as string)).toEqual(Object.keys(tableRights).toSorted())
    await asOwner(ownerUrl, `GRANT ALL ON ALL TABLES IN SCHEMA public TO ${new URL(appUrl).username}`)
    expect(await grantRights({ ownerUrl, appUrl })).toMatchObject({ kind: 'granted', rewrites: false })
    await expect(asOwner(appUrl, 'DELETE FROM consents')).rejects.toThrow('permission denied')
  })

  test('one that can rewrite events all the same is reported', async () => {
    const superUrl = await createRole(ownerUrl)
    await asOwner(ownerUrl, `ALTER ROLE ${new URL(superUrl).username} SUPERUSER`)
    expect(await grantRights({ ownerUrl, appUrl: superUrl })).toMatchObject({ kind: 'granted', rewrites: true })
    expect(await grantRights({ ownerUrl, appUrl: ownerUrl })).toEqual({ kind: 'same-role' })
  })
})

describe('reconsent migrate', () => {
  test('grants the role of DATABASE_URL, its queue in PostgreSQL included; doctor agrees', async () => {
    const ownerUrl = await createDatabase()
    const appUrl = await createRole(ownerUrl)
    const env = { ...environmentFor(appUrl), MIGRATE_DATABASE_URL: ownerUrl, QUEUE: 'postgres' }
    const migrated = await run(['migrate', '--json'], { env })
    expect(migrated).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(migrated.stdout)).toEqual({
      applied: [],
      application_role: { name: new URL(appUrl).username, can_rewrite_events: false },
    })
    const findings = (
      JSON.parse((await run(['doctor', '--json'], { env })).stdout) as { findings: { check: string; level: string }[] }
    ).findings
    expect(findings.find(({ check }) => check === 'rights')?.level).toBe('ok')
    expect(findings.find(({ check }) => check === 'queue')?.level).toBe('ok')
  })

  test('a role that does not exist: one clean line, exit code 1', async () => {
    const ownerUrl = await createDatabase()
    const appUrl = new URL(ownerUrl)
    appUrl.username = 'nobody_at_all'
    const ran = await run(['migrate'], { env: { ...environmentFor(appUrl.href), MIGRATE_DATABASE_URL: ownerUrl } })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toMatch(/^DATABASE_URL's user "nobody_at_all" is no role of this database: create it/)
  })
})

describe.each(['redis', 'postgres'] as const)('the whole loop on %s with a role of its own', (queue) => {
  let company: Awaited<ReturnType<typeof startCompany>>
  beforeAll(async () => {
    company = await startCompany({
      queue,
      processes: [['web', 'worker', 'scheduler']],
      databaseUrl: await createAppRole(await createDatabase()),
    })
  })
  afterAll(async () => {
    await company.stop()
  })

  test('message, bank, callback, exchange, proof, next cycle', async () => {
    const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 10 }) })
    await until('the mail', async () => company.simulator.mails({ to: consent.email ?? '' })[0])
    await company.visit(consent, 'approve')
    const renewed = await until('the next cycle', async () => {
      const view = await company.store.getView(consent.id)
      return view?.consent.cycle === 2 ? view.consent : undefined
    })
    expect(renewed.status).toBe('active')
    // With the application's own role, while the processes run.
    expect(await verify(company.db, { now: company.clock.now(), deep: true, keys: company.config.keys })).toEqual([])
  })
})
