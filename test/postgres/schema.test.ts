// A schema for Reconsent alone, set by ?schema= or by the role's search_path, in a database where another application
// has tables of the same names.
import { randomBytes } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, inject, test } from 'vitest'
import { environmentFor, runHere } from '../commands/reconsent.ts'
import { keyText } from '../crypto/keys.ts'
import { aLine, ndjson } from '../import/rows.ts'
import { startCompany, until } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner, createRole } from '../setup/roles.ts'

/** An empty database whose schema `public` belongs to another application, with tables named like ours. */
const occupiedDatabase = async (): Promise<string> => {
  const url = new URL(inject('postgresUrl'))
  const name = `occupied_${randomBytes(5).toString('hex')}`
  await asOwner(url.href, `CREATE DATABASE ${name}`)
  url.pathname = `/${name}`
  const tables = ['consents', 'events', 'renewals', 'authorisations', 'notifications', 'sweeps']
  await asOwner(
    url.href,
    ...tables.map((table) => `CREATE TABLE public.${table} (theirs text)`),
    'CREATE TABLE public._prisma_migrations (id varchar(36), checksum varchar(64), finished_at timestamptz, ' +
      'migration_name varchar(255), logs text, rolled_back_at timestamptz, started_at timestamptz, ' +
      'applied_steps_count int)',
    `INSERT INTO public._prisma_migrations (migration_name, checksum, finished_at) VALUES ('theirs', 'x', now())`,
  )
  return url.href
}

const withSchema = (url: string, schema: string): string => `${url}?schema=${schema}`

/** Runs every command once; afterwards `public` is unchanged, and all our tables are in `schema`. */
const everyCommand = async (env: Record<string, string>, ownerUrl: string, schema: string): Promise<void> => {
  const line = aLine({ expires_at: '2027-03-28T00:30:00.000Z' })
  const file = join(await mkdtemp(join(tmpdir(), 'reconsent-schema-')), 'consents.ndjson')
  await writeFile(file, ndjson([line]))
  const id = String(line['credentials_id'])
  expect(await runHere(['import', file], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('1 created') as string,
  })
  expect(await runHere(['import', file], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('1 unchanged') as string,
  })
  for (const args of [['show', id], ['explain', id], ['list'], ['sweep'], ['pause', id], ['resume', id]]) {
    const ran = await runHere(args, { ...env, REDIS_URL: inject('redisUrl'), RECONSENT_CONFIG: await policy() })
    expect({ args, ...ran }).toMatchObject({ code: 0 })
  }
  expect(
    await runHere(['keys', 'rotate'], { ...env, ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}` }),
  ).toMatchObject({ code: 0 })
  const rotated = { ...env, ENCRYPTION_KEYS: `k2:${keyText('k2')}` }
  expect(await runHere(['verify'], rotated)).toEqual({ code: 0, stdout: 'every promise is kept\n', stderr: '' })
  expect(await runHere(['migrate'], rotated)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('up to date') as string,
  })
  const doctor = JSON.parse((await runHere(['doctor', '--json'], rotated)).stdout) as {
    findings: { check: string; level: string; detail: string }[]
  }
  for (const check of ['database', 'migrations', 'keys', 'consents', 'schema']) {
    expect(doctor.findings.filter((finding) => finding.check === check)).toMatchObject([{ check, level: 'ok' }])
  }
  expect(doctor.findings.find(({ check }) => check === 'rights')?.level).not.toBe('fail')
  expect(doctor.findings.find(({ check }) => check === 'schema')?.detail).toContain(schema)
  const { rows } = await asOwner(
    ownerUrl,
    `SELECT (SELECT count(*) FROM "${schema}".consents)::int AS ours, (SELECT count(*) FROM ` +
      'public.consents)::int AS theirs',
  )
  expect(rows).toEqual([{ ours: 1, theirs: 0 }])
}

const policy = async (): Promise<string> => {
  const file = join(await mkdtemp(join(tmpdir(), 'reconsent-schema-')), 'worker.config.ts')
  await writeFile(file, "export default { company: { name: 'Brightside' } }\n")
  return file
}

describe.each(['consents_app', 'Consents App-1', "it’s; 'a\\b' %I.$1 日本", 'select'])('?schema=%s', (schema) => {
  test('one role for all', async () => {
    const ownerUrl = await occupiedDatabase()
    const env = environmentFor(withSchema(ownerUrl, encodeURIComponent(schema)))
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
    await everyCommand(env, ownerUrl, schema)
  })

  test('a separate role without rights in public, the owner named without schema', async () => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    await asOwner(ownerUrl, 'REVOKE ALL ON SCHEMA public FROM PUBLIC')
    const env = { ...environmentFor(withSchema(appUrl, encodeURIComponent(schema))), MIGRATE_DATABASE_URL: ownerUrl }
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0, stderr: '' })
    await everyCommand(env, ownerUrl, schema)
  })
})

test('a role that may only use the schema that an administrator made for it', async () => {
  const ownerUrl = await occupiedDatabase()
  const appUrl = await createRole(ownerUrl)
  await asOwner(
    ownerUrl,
    'REVOKE ALL ON SCHEMA public FROM PUBLIC',
    `CREATE SCHEMA consents_app AUTHORIZATION ${new URL(appUrl).username}`,
  )
  const env = environmentFor(withSchema(appUrl, 'consents_app'))
  expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
  await everyCommand(env, ownerUrl, 'consents_app')
})

test('the same with the queue in PostgreSQL: a schema for it too; without one migrate says what it needs', async () => {
  const ownerUrl = await occupiedDatabase()
  const appUrl = await createRole(ownerUrl)
  const role = new URL(appUrl).username
  await asOwner(ownerUrl, `CREATE SCHEMA consents_app AUTHORIZATION ${role}`)
  const env = {
    ...environmentFor(withSchema(appUrl, 'consents_app')),
    QUEUE: 'postgres',
    RECONSENT_CONFIG: await policy(),
  }
  expect(await runHere(['migrate'], env)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /schema "bullmq".*: CREATE SCHEMA bullmq AUTHORIZATION this role, as an administrator/,
    ) as string,
  })
  await asOwner(ownerUrl, `CREATE SCHEMA bullmq AUTHORIZATION ${role}`)
  expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
  expect(await runHere(['sweep'], env)).toMatchObject({ code: 0 })
})

test('a role that may create nothing: PostgreSQL gives it no right in public, and migrate says so', async () => {
  const ownerUrl = new URL(inject('postgresUrl'))
  const name = `bare_${randomBytes(5).toString('hex')}`
  await asOwner(ownerUrl.href, `CREATE DATABASE ${name}`)
  ownerUrl.pathname = `/${name}`
  const env = environmentFor(await createRole(ownerUrl.href))
  const words = /^the role "app_\w+" may not create tables in the schema "public" \(since PostgreSQL 15/
  expect(await runHere(['migrate'], env)).toMatchObject({ code: 1, stderr: expect.stringMatching(words) as string })
  expect(await runHere(['migrate'], { ...env, DATABASE_URL: `${env['DATABASE_URL']}?schema=public` })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(words) as string,
  })
  expect(await runHere(['migrate'], { ...env, DATABASE_URL: `${env['DATABASE_URL']}?schema=mine` })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^the schema "mine" is not there, and the role "app_\w+" may not create it/,
    ) as string,
  })
})

describe('a search_path', () => {
  test.each([
    ["PostgreSQL's own schemas first", 'pg_catalog, pg_temp, consents_app'],
    ['one that is not there first, upper case', 'nowhere, CONSENTS_APP'],
    ['one that the role may not use first', 'theirs, consents_app'],
  ])('with %s', async (_, path) => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    const role = new URL(appUrl).username
    await asOwner(
      ownerUrl,
      'CREATE SCHEMA theirs',
      `CREATE SCHEMA consents_app AUTHORIZATION ${role}`,
      `ALTER ROLE ${role} SET search_path TO ${path}`,
    )
    expect(await runHere(['migrate'], environmentFor(appUrl))).toMatchObject({ code: 0 })
    await everyCommand(environmentFor(appUrl), ownerUrl, 'consents_app')
  })

  test("with PostgreSQL's own schemas first, set for the program's role alone", async () => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    await asOwner(ownerUrl, `ALTER ROLE ${new URL(appUrl).username} SET search_path TO pg_catalog, consents_app`)
    const env = { ...environmentFor(appUrl), MIGRATE_DATABASE_URL: ownerUrl }
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
    await everyCommand(env, ownerUrl, 'consents_app')
  })

  test('set for all roles', async () => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    const role = new URL(appUrl).username
    await asOwner(
      ownerUrl,
      `CREATE SCHEMA consents_app AUTHORIZATION ${role}`,
      `ALTER ROLE ${role} SET search_path TO consents_app, public`,
    )
    const env = environmentFor(appUrl)
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
    await everyCommand(env, ownerUrl, 'consents_app')
  })

  test("set for the program's role alone: the owner puts the tables where the program looks", async () => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    await asOwner(ownerUrl, `ALTER ROLE ${new URL(appUrl).username} SET search_path TO consents_app`)
    const env = { ...environmentFor(appUrl), MIGRATE_DATABASE_URL: ownerUrl }
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
    await everyCommand(env, ownerUrl, 'consents_app')
  })

  test('"$user": a schema named like the role', async () => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    const role = new URL(appUrl).username
    await asOwner(ownerUrl, `CREATE SCHEMA ${role} AUTHORIZATION ${role}`)
    const env = environmentFor(appUrl)
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
    await everyCommand(env, ownerUrl, role)
  })

  test('that names no schema: reported by every command', async () => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    await asOwner(ownerUrl, `ALTER ROLE ${new URL(appUrl).username} SET search_path TO nowhere`)
    for (const args of [['list'], ['verify'], ['migrate']]) {
      const ran = await runHere(args, environmentFor(appUrl))
      expect(ran).toMatchObject({ code: 1, stderr: expect.stringMatching(/search_path names no schema/) as string })
    }
    await asOwner(ownerUrl, `ALTER ROLE ${new URL(appUrl).username} SET search_path TO ''`)
    for (const args of [['list'], ['migrate']]) {
      const ran = await runHere(args, { ...environmentFor(appUrl), MIGRATE_DATABASE_URL: ownerUrl })
      expect(ran).toMatchObject({ code: 1, stderr: expect.stringMatching(/search_path names no schema/) as string })
    }
  })
})

test.each(['its login', 'this database'])(
  "a login that acts as another role, by a setting of %s: that role gets the program's rights",
  async (where) => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = await createRole(ownerUrl)
    const [login, group] = [new URL(appUrl).username, `group_${randomBytes(5).toString('hex')}`]
    const within = where === 'its login' ? '' : `IN DATABASE ${new URL(ownerUrl).pathname.slice(1)}`
    await asOwner(
      ownerUrl,
      `CREATE ROLE ${group}`,
      `GRANT ${group} TO ${login}`,
      `ALTER ROLE ${login} ${within} SET role TO ${group}`,
    )
    const env = { ...environmentFor(withSchema(appUrl, 'consents_app')), MIGRATE_DATABASE_URL: ownerUrl }
    expect(await runHere(['migrate'], env)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`the role ${group} has the rights`) as string,
      stderr: '',
    })
    await everyCommand(env, ownerUrl, 'consents_app')
  },
)

test.each(['redis', 'postgres'] as const)(
  'the whole loop on %s in a schema of its own',
  async (queue) => {
    const ownerUrl = await occupiedDatabase()
    const appUrl = withSchema(await createRole(ownerUrl), 'consents_app')
    const env = {
      ...environmentFor(appUrl),
      MIGRATE_DATABASE_URL: ownerUrl,
      QUEUE: queue,
      REDIS_URL: inject('redisUrl'),
    }
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
    const company = await startCompany({ queue, processes: [['web', 'worker', 'scheduler']], databaseUrl: appUrl })
    const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 5 }) })
    await until('the mail', async () =>
      company.simulator.mails({ to: consent.email ?? '' }).length > 0 ? true : undefined,
    )
    await company.visit(consent, 'approve')
    await until('the renewal', async () =>
      (await company.store.findConsent(consent.id))?.cycle === 2 ? true : undefined,
    )
    expect((await fetch(`${company.publicUrl}/readyz`)).status).toBe(200)
    await company.stop()
  },
  90_000,
)

test('tables that an earlier release put into public are pointed out, once', async () => {
  const ownerUrl = await createDatabase()
  const env = environmentFor(withSchema(ownerUrl, 'consents_app'))
  expect(await runHere(['migrate'], env)).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('#tables-in-another-schema') as string,
  })
  expect(await runHere(['migrate'], env)).toMatchObject({ code: 0, stderr: '' })
})
