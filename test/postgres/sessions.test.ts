// Each command means the same on any server, database or role, whatever they set for time zones, styles, isolation and
// time limits.
import { randomBytes } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DateTime } from 'luxon'
import pg from 'pg'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { openDatabase } from '../../src/store/database.ts'
import { openStore } from '../../src/store/open-store.ts'
import { environmentFor, runHere } from '../commands/reconsent.ts'
import { keyText } from '../crypto/keys.ts'
import { aLine, ndjson } from '../import/rows.ts'
import { startCompany, until } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'
import { awkwardSettings, createAwkwardRole, settle } from './awkward.ts'

const EXPIRES = '2027-03-28T00:30:00.000Z'
const locked = {
  seal: () => '',
  open: () => new Secret(''),
  startLinkToken: () => '',
  renewalOfToken: () => undefined,
  entityTag: () => '',
}

const aFile = async (lines: readonly Record<string, unknown>[]): Promise<string> => {
  const file = join(await mkdtemp(join(tmpdir(), 'reconsent-sessions-')), 'consents.ndjson')
  await writeFile(file, ndjson(lines))
  return file
}

/** Runs each command once, on a database with one consent; the output must not depend on the server. */
const everyCommand = async (env: Record<string, string>): Promise<void> => {
  const line = aLine({ expires_at: EXPIRES })
  const id = String(line['credentials_id'])
  const file = await aFile([line])
  expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
  expect(await runHere(['import', file], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('1 created') as string,
  })
  expect(await runHere(['import', file], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('1 unchanged') as string,
  })
  const shown = await runHere(['show', id, '--json'], env)
  expect(shown.stdout).toContain(EXPIRES)
  expect(await runHere(['list', '--json'], env)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(EXPIRES) as string,
  })
  expect(await runHere(['explain', id], env)).toMatchObject({ code: 0 })
  expect(
    await runHere(['keys', 'rotate'], { ...env, ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}` }),
  ).toMatchObject({ code: 0, stderr: '' })
  const rotated = { ...env, ENCRYPTION_KEYS: `k2:${keyText('k2')}` }
  expect(await runHere(['verify'], rotated)).toEqual({ code: 0, stdout: 'every promise is kept\n', stderr: '' })
  const doctor = JSON.parse((await runHere(['doctor', '--json'], rotated)).stdout) as {
    findings: { check: string; level: string; detail: string }[]
  }
  for (const check of ['database', 'clock', 'migrations', 'keys', 'consents']) {
    expect(doctor.findings.filter((finding) => finding.check === check)).toMatchObject([{ check, level: 'ok' }])
  }
}

describe.each(['America/New_York', 'Asia/Kolkata', 'Pacific/Kiritimati', 'Europe/London'])(
  'a database in the zone %s',
  (zone) => {
    test('every command means the same', async () => {
      const url = await createDatabase()
      await settle(url, `DATABASE ${new URL(url).pathname.slice(1)}`, { TimeZone: zone })
      await everyCommand(environmentFor(url))
      const { rows } = await asOwner(url, `SELECT expires_at = '${EXPIRES}'::timestamptz AS right FROM consents`)
      expect(rows).toEqual([{ right: true }])
    })
  },
)

describe('a role with every awkward setting at once', () => {
  let ownerUrl: string
  let url: string
  beforeAll(async () => {
    ownerUrl = await createDatabase()
    url = await createAwkwardRole(ownerUrl)
  })

  test('every command means the same', async () =>
    everyCommand({ ...environmentFor(url), MIGRATE_DATABASE_URL: ownerUrl }))

  test('every command means the same where the owner has these settings, too, before any migration', async () => {
    const fresh = new URL(inject('postgresUrl'))
    const name = `awkward_${Date.now()}`
    await asOwner(fresh.href, `CREATE DATABASE ${name}`)
    fresh.pathname = `/${name}`
    await settle(fresh.href, `DATABASE ${name}`)
    await everyCommand(environmentFor(fresh.href))
  })

  test('each setting is what we rely on, and none needs a query', async () => {
    const { db, close } = openStore({ url: new Secret(url), vault: locked, connections: 1, statementMs: 20_000 })
    const names = Object.keys(awkwardSettings)
    const rows = await db.prisma.$queryRaw<
      { name: string; value: string }[]
    >`SELECT name, current_setting(name) AS value FROM unnest(${names}::text[]) AS name`
    await close()
    expect(Object.fromEntries(rows.map(({ name, value }) => [name, value]))).toEqual({
      TimeZone: 'UTC',
      DateStyle: 'ISO, MDY',
      IntervalStyle: 'iso_8601',
      client_encoding: 'UTF8',
      extra_float_digits: '1',
      bytea_output: 'hex',
      xmlbinary: 'base64',
      standard_conforming_strings: 'on',
      array_nulls: 'on',
      transform_null_equals: 'off',
      default_transaction_isolation: 'read committed',
      default_transaction_read_only: 'off',
      default_transaction_deferrable: 'off',
      row_security: 'on',
      exit_on_error: 'off',
      lock_timeout: '0',
      statement_timeout: '20s',
      idle_in_transaction_session_timeout: '20s',
      idle_session_timeout: '0',
    })
  })

  test('a renewal from the first mail to the proof, on either queue', async () => {
    for (const queue of ['redis', 'postgres'] as const) {
      const company = await startCompany({ queue, processes: [['web', 'worker', 'scheduler']], databaseUrl: url })
      const expiresAt = company.clock.now().plus({ days: 5 })
      const consent = await company.addConsent({ expiresAt })
      await until('the mail', async () =>
        company.simulator.mails({ to: consent.email ?? '' }).length > 0 ? true : undefined,
      )
      await company.visit(consent, 'approve')
      const renewed = await until('the renewal', async () => {
        const found = await company.store.findConsent(consent.id)
        return found !== undefined && found.cycle === 2 ? found : undefined
      })
      expect(renewed.expiresAt.toMillis()).toBeGreaterThan(expiresAt.plus({ days: 80 }).toMillis())
      expect(company.simulator.mails({ to: consent.email ?? '' })).toHaveLength(1)
      await company.stop()
    }
    expect(
      await runHere(['verify', '--quick'], {
        ...environmentFor(url),
        ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}`,
      }),
    ).toMatchObject({ code: 0, stderr: '' })
  }, 120_000)
})

test.each<[string, Record<string, string>]>([
  [
    'of TLS',
    {
      PGSSLNEGOTIATION: 'direct',
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: '/nowhere',
      PGSSLCERT: '/nowhere',
      PGSSLKEY: '/nowhere',
      PGCHANNELBINDING: 'require',
    },
  ],
  [
    'of another server',
    {
      PGHOST: 'nowhere.invalid',
      PGPORT: '1',
      PGDATABASE: 'nothing',
      PGUSER: 'nobody',
      PGPASSWORD: 'wrong',
      PGSERVICE: 'nothing',
      PGTARGETSESSIONATTRS: 'standby',
    },
  ],
  [
    'of sessions',
    {
      PGOPTIONS: '-c timezone=Asia/Tokyo -c search_path=nowhere',
      PGTZ: 'Asia/Tokyo',
      PGDATESTYLE: 'SQL,DMY',
      PGCLIENTENCODING: 'LATIN1',
      PGREPLICATION: 'database',
      PGBINARY: 'true',
      TZ: 'Asia/Kolkata',
    },
  ],
])("libpq's environment variables %s change nothing", async (_, variables) => {
  await everyCommand({ ...environmentFor(await createDatabase()), ...variables })
})

test('a login that takes longer than the transaction_timeout of its role', async () => {
  const ownerUrl = await createDatabase()
  const appUrl = await createAppRole(ownerUrl)
  await settle(ownerUrl, `ROLE ${new URL(appUrl).username}`, { transaction_timeout: '20ms' })
  await asOwner(
    ownerUrl,
    `CREATE FUNCTION public.linger() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); END $$`,
    'CREATE EVENT TRIGGER lingers ON login EXECUTE FUNCTION public.linger()',
  )
  expect(await runHere(['list'], environmentFor(appUrl))).toMatchObject({ code: 0 })
  expect(await runHere(['migrate'], { ...environmentFor(appUrl), MIGRATE_DATABASE_URL: ownerUrl })).toMatchObject({
    code: 0,
  })
})

test('a database whose encoding lacks letters: an import that needs one reports it, doctor beforehand', async () => {
  const url = new URL(inject('postgresUrl'))
  const name = `latin1_${randomBytes(5).toString('hex')}`
  await asOwner(url.href, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`)
  url.pathname = `/${name}`
  const env = environmentFor(url.href)
  expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
  expect(await runHere(['import', await aFile([aLine({ name: 'Zoë' })])], env)).toMatchObject({ code: 0 })
  const said = expect.stringMatching(
    /^the database's encoding lacks a character of what is to be stored: .*ENCODING 'UTF8' \(22P05\)/,
  ) as string
  expect(await runHere(['import', await aFile([aLine({ name: 'Łukasz' })])], env)).toMatchObject({
    code: 1,
    stderr: said,
  })
  const doctor = JSON.parse((await runHere(['doctor', '--json'], env)).stdout) as { findings: { check: string }[] }
  expect(doctor.findings.find(({ check }) => check === 'encoding')).toMatchObject({
    level: 'fail',
    detail: expect.stringContaining('LATIN1') as string,
  })
})

test('the one setting that we rely on and cannot make is reported by doctor', async () => {
  const ownerUrl = await createDatabase()
  const appUrl = await createAppRole(ownerUrl)
  await settle(ownerUrl, `ROLE ${new URL(appUrl).username}`, { session_replication_role: 'replica' })
  const doctor = JSON.parse((await runHere(['doctor', '--json'], environmentFor(appUrl))).stdout) as {
    findings: { check: string }[]
  }
  expect(doctor.findings.find(({ check }) => check === 'sessions')).toMatchObject({
    level: 'fail',
    detail: expect.stringMatching(/^session_replication_role is replica/) as string,
  })
})

describe('an instant is protected in two ways', () => {
  const instants = [
    EXPIRES,
    '2026-11-01T05:30:00.000Z',
    '2026-11-01T06:30:00.123Z',
    '2024-02-29T23:59:59.999Z',
    '1970-01-01T00:00:00.000Z',
    '2100-12-31T23:00:00.001Z',
  ]

  test('by how it is written and read, in a session with another zone', async () => {
    const url = await createDatabase()
    const db = openDatabase({ url: new Secret(url), vault: locked, connections: 1 })
    try {
      for (const zone of ['America/New_York', 'Asia/Kathmandu', 'Pacific/Chatham', 'America/St_Johns', 'UTC']) {
        // Set on the pool's only connection, without the program's knowledge.
        await db.prisma.$executeRawUnsafe(`SET TimeZone TO '${zone}'`)
        for (const [at, instant] of instants.entries()) {
          const name = `${zone} ${at}`
          await db.prisma.sweep.create({ data: { name, lastGoodAt: new Date(instant) } })
          const model = await db.prisma.sweep.findUniqueOrThrow({ where: { name } })
          const [raw] = await db.prisma.$queryRaw<{ at: Date; epoch: number; same: boolean; all: Date[] }[]>`
            SELECT last_good_at AS at, extract(epoch FROM last_good_at)::float8 AS epoch, last_good_at =
              ${new Date(instant)} AS same,
              ARRAY[last_good_at] AS all FROM sweeps WHERE name = ${name}`
          const found = await db.prisma.sweep.count({
            where: { name, lastGoodAt: { lte: new Date(instant), gte: new Date(instant) } },
          })
          expect([
            model.lastGoodAt.toISOString(),
            raw?.at.toISOString(),
            (raw?.epoch ?? 0) * 1000,
            raw?.same,
            found,
            raw?.all.map((one) => new Date(one).toISOString()),
          ]).toEqual([instant, instant, Date.parse(instant), true, 1, [instant]])
        }
      }
    } finally {
      await db.prisma.$disconnect()
    }
  })

  test('by the session’s zone: a driver that drops the offset reads and writes correctly all the same', async () => {
    const url = await createDatabase()
    await settle(url, `DATABASE ${new URL(url).pathname.slice(1)}`)
    const { openPool } = await import('../../src/postgres/pool.ts')
    const { pool } = openPool(new Secret(url), { applicationName: 'a test', connections: 1 })
    await pool.query(`INSERT INTO sweeps (name, last_good_at) VALUES ('told', '2027-03-28 00:30:00')`)
    const { rows } = await pool.query<{ text: string }>(
      `SELECT last_good_at::text AS text FROM sweeps WHERE name = 'told'`,
    )
    await pool.end()
    expect(rows).toEqual([{ text: '2027-03-28 00:30:00+00' }])
  })

  test('a session whose dates are in another style is not guessed at', async () => {
    const url = await createDatabase()
    const db = openDatabase({ url: new Secret(url), vault: locked, connections: 1 })
    await db.prisma.sweep.create({ data: { name: 'style', lastGoodAt: DateTime.fromISO(EXPIRES).toJSDate() } })
    await db.prisma.$executeRawUnsafe(`SET DateStyle TO 'SQL, DMY'`)
    await expect(db.prisma.sweep.findMany()).rejects.toThrow(/another style than ISO/)
    await db.prisma.$disconnect()
  })
})

test('a new session costs no query, a statement one round trip', async () => {
  const url = await createDatabase()
  const sent: string[] = []
  const query = pg.Client.prototype.query
  pg.Client.prototype.query = function counted(this: pg.Client, ...given: unknown[]) {
    const [asked] = given as [string | { text: string }]
    sent.push(typeof asked === 'string' ? asked : asked.text)
    return (query as (...all: unknown[]) => unknown).apply(this, given)
  } as typeof query
  try {
    const db = openDatabase({ url: new Secret(`${url}?schema=public`), vault: locked, connections: 1 })
    await db.prisma.$queryRaw`SELECT 1 AS one`
    await db.prisma.$queryRaw`SELECT 2 AS two`
    await db.prisma.$disconnect()
  } finally {
    pg.Client.prototype.query = query
  }
  expect(sent.filter((text) => !text.includes('transaction_timeout'))).toEqual(['SELECT 1 AS one', 'SELECT 2 AS two'])
})
