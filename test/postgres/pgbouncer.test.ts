// Behind a PgBouncer with its default settings: every command and role works in transaction mode, time limits hold, the
// settings of other clients have no effect, and what cannot work is refused with the reason.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open-store.ts'
import { isPassing } from '../../src/store/database-errors.ts'
import { environmentFor, run, runHere } from '../commands/reconsent.ts'
import { keyText } from '../crypto/keys.ts'
import { aLine, ndjson } from '../import/rows.ts'
import { startCompany, until } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { type PgBouncer, startPgBouncer } from '../setup/pgbouncer.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'
import { awkwardSettings, settle } from './awkward.ts'

const EXPIRES = '2027-03-28T00:30:00.000Z'
const locked = {
  seal: () => '',
  open: () => new Secret(''),
  startLinkToken: () => '',
  renewalOfToken: () => undefined,
  entityTag: () => '',
}

const folder = async (): Promise<string> => mkdtemp(join(tmpdir(), 'reconsent-pgbouncer-'))

interface Place {
  readonly ownerUrl: string
  readonly appUrl: string
}
const aPlace = async (): Promise<Place> => {
  const ownerUrl = await createDatabase()
  return { ownerUrl, appUrl: await createAppRole(ownerUrl) }
}

/**
 * Leaves settings behind on every server connection of the pool, as an application does that assumes sessions of its
 * own.
 */
const leaveSettings = async (url: string, connections: number): Promise<void> => {
  const clients = Array.from({ length: connections }, () => new pg.Client({ connectionString: url }))
  for (const client of clients) await client.connect()
  await Promise.all(
    clients.map(async (client) => {
      await client.query('BEGIN')
      const awkward = Object.entries(awkwardSettings).filter(
        ([name]) => !['client_encoding', 'idle_session_timeout', 'idle_in_transaction_session_timeout'].includes(name),
      )
      for (const [name, value] of [...awkward, ['search_path', 'nowhere'], ['statement_timeout', '0']] as const)
        await client.query(`SET ${name} TO '${value}'`)
      await client.query('COMMIT').catch(() => undefined)
    }),
  )
  for (const client of clients) await client.end()
}

describe.each([
  ['its defaults', {}],
  [
    'what people let it ignore',
    {
      ignore_startup_parameters:
        'extra_float_digits,options,search_path,IntervalStyle,' +
        'statement_timeout,lock_timeout,idle_in_transaction_session_timeout',
    },
  ],
])('pool_mode=transaction with %s', (_name, settings) => {
  let bouncer: PgBouncer
  let place: Place
  let env: Record<string, string>
  beforeAll(async () => {
    place = await aPlace()
    bouncer = await startPgBouncer({
      urls: [place.ownerUrl, place.appUrl],
      poolMode: 'transaction',
      settings: { default_pool_size: 2, ...settings },
    })
    env = { ...environmentFor(bouncer.through(place.appUrl)), MIGRATE_DATABASE_URL: bouncer.through(place.ownerUrl) }
  })
  afterAll(async () => bouncer.stop())

  test('every command, on connections that another application has left its settings on', async () => {
    await leaveSettings(bouncer.through(place.appUrl), 2)
    const line = aLine({ expires_at: EXPIRES })
    const file = join(await folder(), 'consents.ndjson')
    await writeFile(file, ndjson([line]))
    const id = String(line['credentials_id'])
    const policy = join(await folder(), 'worker.config.ts')
    await writeFile(policy, "export default { company: { name: 'Brightside' } }\n")
    const all = { ...env, REDIS_URL: inject('redisUrl'), RECONSENT_CONFIG: policy }
    for (const args of [
      ['migrate'],
      ['import', file],
      ['import', file],
      ['list'],
      ['show', id],
      ['explain', id],
      ['sweep'],
      ['pause', id],
      ['resume', id],
    ]) {
      expect({ args, ...(await runHere(args, all)) }).toMatchObject({ code: 0 })
    }
    expect((await runHere(['show', id, '--json'], all)).stdout).toContain(EXPIRES)
    expect(
      await runHere(['keys', 'rotate'], { ...all, ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}` }),
    ).toMatchObject({ code: 0 })
    const rotated = { ...all, ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}` }
    expect(await runHere(['verify'], rotated)).toEqual({ code: 0, stdout: 'every promise is kept\n', stderr: '' })
    const { findings } = JSON.parse((await runHere(['doctor', '--json'], rotated)).stdout) as {
      findings: { check: string; level: string; detail: string }[]
    }
    for (const check of [
      'database',
      'schema',
      'sessions',
      'clock',
      'migrations',
      'rights',
      'keys',
      'consents',
      'queue',
    ]) {
      expect(findings.filter((finding) => finding.check === check)).toMatchObject([{ check, level: 'ok' }])
    }
    expect(findings.find(({ check }) => check === 'sessions')?.detail).toContain('through a pooler')
    const { rows } = await asOwner(
      place.ownerUrl,
      `SELECT expires_at = '${EXPIRES}'::timestamptz AS right FROM consents`,
    )
    expect(rows).toEqual([{ right: true }])
  })

  test('the whole loop, with several processes on two connections', async () => {
    const company = await startCompany({
      queue: 'redis',
      processes: [
        ['web', 'worker', 'scheduler'],
        ['worker', 'scheduler'],
      ],
      databaseUrl: bouncer.through(place.appUrl),
    })
    const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 5 }) })
    await until('the mail', async () =>
      company.simulator.mails({ to: consent.email ?? '' }).length > 0 ? true : undefined,
    )
    await leaveSettings(bouncer.through(place.appUrl), 1)
    await company.visit(consent, 'approve')
    await until('the renewal', async () =>
      (await company.store.findConsent(consent.id))?.cycle === 2 ? true : undefined,
    )
    expect(company.simulator.mails({ to: consent.email ?? '' })).toHaveLength(1)
    expect((await fetch(`${company.publicUrl}/readyz`)).status).toBe(200)
    await company.stop()
  }, 90_000)

  test('our settings do not reach other clients', async () => {
    const other = new pg.Client({ connectionString: bouncer.through(place.appUrl) })
    const { store, db, close } = openStore({
      url: new Secret(bouncer.through(place.appUrl)),
      vault: locked,
      connections: 2,
      statementMs: 1_000,
    })
    await Promise.all([store.sinceLastSweep(), store.sinceLastSweep(), db.prisma.sweep.count()])
    await close()
    await other.connect()
    const { rows } = await other.query<Record<string, string>>(
      "SELECT current_setting('statement_timeout') AS timeout, " +
        "current_setting('default_transaction_isolation') AS isolation",
    )
    await other.end()
    expect(['0', '1ms']).toContain(rows[0]?.['timeout'])
  })

  test('QUEUE=postgres is refused with the reason: by start with exit code 2, and by doctor', async () => {
    const company = {
      ...env,
      QUEUE: 'postgres',
      TRUELAYER_CLIENT_ID: 'x',
      TRUELAYER_CLIENT_SECRET: 'x',
      PUBLIC_URL: 'http://127.0.0.1:1',
      PORT: '0',
      SMTP_URL: 'smtp://127.0.0.1:1',
      MAIL_FROM: 'a@example.com',
    }
    const policy = join(await folder(), 'worker.config.ts')
    await writeFile(policy, "export default { company: { name: 'Brightside' } }\n")
    const ran = await run(['start'], {
      env: { ...company, RECONSENT_CONFIG: policy, ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}` },
    })
    expect(ran.code).toBe(2)
    expect(ran.stderr + ran.stdout).toMatch(/QUEUE=postgres needs sessions of its own.*LISTEN.*pool_mode=transaction/)
    const doctor = JSON.parse(
      (await runHere(['doctor', '--json'], { ...company, RECONSENT_CONFIG: policy })).stdout,
    ) as { findings: { check: string; level: string; detail: string }[] }
    expect(doctor.findings.find(({ check }) => check === 'queue')).toMatchObject({
      level: 'fail',
      detail: expect.stringMatching(/LISTEN.*pool_mode=transaction/) as string,
    })
  })
})

describe('time limits hold behind pool_mode=transaction', () => {
  let bouncer: PgBouncer
  let place: Place
  beforeAll(async () => {
    place = await aPlace()
    bouncer = await startPgBouncer({
      urls: [place.ownerUrl, place.appUrl],
      poolMode: 'transaction',
      settings: { default_pool_size: 1 },
    })
    await asOwner(place.ownerUrl, `INSERT INTO sweeps (name, last_good_at) VALUES ('one', now())`)
  })
  afterAll(async () => bouncer.stop())

  const holding = async <T>(work: () => Promise<T>): Promise<T> => {
    const holder = new pg.Client({ connectionString: place.ownerUrl })
    await holder.connect()
    await holder.query('BEGIN')
    await holder.query('LOCK TABLE sweeps IN ACCESS EXCLUSIVE MODE')
    try {
      return await work()
    } finally {
      await holder.query('ROLLBACK')
      await holder.end()
    }
  }
  const waiting = async (): Promise<number> => {
    const { rows } = await asOwner(
      place.ownerUrl,
      'SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND ' +
        "wait_event_type = 'Lock'",
    )
    return (rows as { count: number }[])[0]?.count ?? -1
  }

  test.each(['alone', 'in a transaction'])(
    'a statement that waits for a lock is ended, on the server too (%s), and its connection stays usable',
    async (how) => {
      const { db, close } = openStore({
        url: new Secret(bouncer.through(place.appUrl)),
        vault: locked,
        connections: 1,
        statementMs: 500,
      })
      const error: unknown = await holding(async () => {
        const asked = how === 'alone' ? db.prisma.sweep.count() : db.prisma.$transaction(async (tx) => tx.sweep.count())
        const answer = await asked.then(
          () => undefined,
          (reason: unknown) => reason,
        )
        expect(await waiting()).toBe(0)
        return answer
      })
      expect(isPassing(error)).toBe(true)
      expect(JSON.stringify([error, (error as Error).message])).toContain('57014')
      expect(await db.prisma.sweep.count()).toBe(1)
      expect(await db.prisma.$transaction(async (tx) => tx.sweep.count())).toBe(1)
      await close()
    },
  )

  test('a transaction whose process is frozen is ended by PostgreSQL: lock and connection are free again', async () => {
    const script = join(await folder(), 'frozen.ts')
    const source = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).pathname)
    await writeFile(
      script,
      `import { connectTo } from ${source('postgres/client.ts')}
       import { Secret } from ${source('secret.ts')}
       const client = await connectTo(new Secret(process.env.AT), { applicationName: 'frozen', statementMs: 2000,
         idleInTransactionMs: 1500 })
       await client.query('BEGIN')
       await client.query("UPDATE sweeps SET last_good_at = now() WHERE name = 'one'")
       console.log('holds')
       setInterval(() => undefined, 1000)`,
    )
    const child = spawn(process.execPath, [script], {
      env: { PATH: process.env['PATH'], AT: bouncer.through(place.appUrl) },
    })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    child.kill('SIGSTOP')
    const { db, close } = openStore({ url: new Secret(bouncer.through(place.appUrl)), vault: locked, connections: 1 })
    const started = Date.now()
    expect(await db.prisma.$executeRaw`UPDATE sweeps SET last_good_at = now() WHERE name = 'one'`).toBe(1)
    expect(Date.now() - started).toBeLessThan(20_000)
    await close()
    child.kill('SIGKILL')
  })

  test('a pooler that falls silent is given up, and used again when it answers', async () => {
    const { db, close } = openStore({
      url: new Secret(bouncer.through(place.appUrl)),
      vault: locked,
      connections: 1,
      statementMs: 500,
    })
    expect(await db.prisma.sweep.count()).toBe(1)
    bouncer.process.kill('SIGSTOP')
    const error: unknown = await db.prisma.sweep.count().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    bouncer.process.kill('SIGCONT')
    expect(isPassing(error)).toBe(true)
    expect(await until('an answer', async () => db.prisma.sweep.count().catch(() => undefined))).toBe(1)
    await close()
  })

  test('a statement that fails leaves nothing behind: the next one has a transaction of its own', async () => {
    const { db, close } = openStore({ url: new Secret(bouncer.through(place.appUrl)), vault: locked, connections: 1 })
    await expect(db.prisma.$queryRaw`SELECT 1 / 0`).rejects.toThrow(/22012/)
    await expect(db.prisma.sweep.create({ data: { name: 'one', lastGoodAt: new Date() } })).rejects.toMatchObject({
      code: 'P2002',
    })
    expect(await db.prisma.sweep.count()).toBe(1)
    await db.prisma.$executeRaw`INSERT INTO sweeps (name, last_good_at) VALUES ('two', now())`
    expect((await asOwner(place.ownerUrl, `DELETE FROM sweeps WHERE name = 'two'`)).rowCount).toBe(1)
    await close()
  })
})

test('a schema of the role behind pool_mode=transaction, whatever search_path other clients leave', async () => {
  const place = await aPlace()
  await asOwner(
    place.ownerUrl,
    'CREATE SCHEMA elsewhere',
    `ALTER ROLE ${new URL(place.appUrl).username} SET search_path TO consents_app`,
  )
  const bouncer = await startPgBouncer({
    urls: [place.ownerUrl, place.appUrl],
    poolMode: 'transaction',
    settings: { default_pool_size: 1 },
  })
  const env = {
    ...environmentFor(bouncer.through(place.appUrl)),
    MIGRATE_DATABASE_URL: bouncer.through(place.ownerUrl),
  }
  expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
  await leaveSettings(bouncer.through(place.appUrl), 1)
  const file = join(await folder(), 'consents.ndjson')
  await writeFile(file, ndjson([aLine({ expires_at: EXPIRES })]))
  expect(await runHere(['import', file], env)).toMatchObject({ code: 0 })
  expect(await runHere(['verify'], env)).toMatchObject({ code: 0 })
  expect((await asOwner(place.ownerUrl, 'SELECT FROM consents_app.consents')).rowCount).toBe(1)
  await bouncer.stop()
})

test.each(['', '?schema=consents_app'])(
  'other things that clients leave on a session: a role, tables of our names (%s)',
  async (parameters) => {
    const { ownerUrl, appUrl } = await aPlace()
    const [login, group] = [new URL(appUrl).username, `others_${randomBytes(5).toString('hex')}`]
    await asOwner(ownerUrl, `CREATE ROLE ${group}`, `GRANT ${group} TO ${login}`)
    const bouncer = await startPgBouncer({
      urls: [ownerUrl, appUrl],
      poolMode: 'transaction',
      settings: { default_pool_size: 1 },
    })
    const env = {
      ...environmentFor(`${bouncer.through(appUrl)}${parameters}`),
      MIGRATE_DATABASE_URL: bouncer.through(ownerUrl),
    }
    for (const url of [ownerUrl, appUrl]) {
      const tables = ['consents', 'events', 'event_positions', 'unsequenced_events', '_prisma_migrations'].map(
        (table) => `CREATE TEMP TABLE ${table} (theirs text)`,
      )
      await asOwner(
        bouncer.through(url),
        ...tables,
        'PREPARE ours AS SELECT 1',
        ...(url === appUrl ? [`SET ROLE ${group}`] : []),
      )
    }
    expect(await runHere(['migrate'], env)).toMatchObject({ code: 0 })
    const line = aLine({ expires_at: EXPIRES })
    const file = join(await folder(), 'consents.ndjson')
    await writeFile(file, ndjson([line]))
    expect(await runHere(['import', file], env)).toMatchObject({ code: 0 })
    expect(await runHere(['pause', String(line['credentials_id'])], env)).toMatchObject({ code: 0 })
    expect(await runHere(['verify'], env)).toEqual({ code: 0, stdout: 'every promise is kept\n', stderr: '' })
    await bouncer.stop()
  },
)

describe('pool_mode=session', () => {
  test.each(['redis', 'postgres'] as const)(
    'the whole loop with QUEUE=%s, for a role with awkward settings',
    async (queue) => {
      const place = await aPlace()
      await settle(place.ownerUrl, `ROLE ${new URL(place.appUrl).username}`, {
        ...awkwardSettings,
        idle_session_timeout: '0',
        statement_timeout: '100ms',
      })
      const bouncer = await startPgBouncer({
        urls: [place.appUrl],
        poolMode: 'session',
        settings: { default_pool_size: 90 },
      })
      const company = await startCompany({
        queue,
        processes: [['web', 'worker', 'scheduler']],
        databaseUrl: bouncer.through(place.appUrl),
      })
      const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 5 }) })
      await until('the mail', async () =>
        company.simulator.mails({ to: consent.email ?? '' }).length > 0 ? true : undefined,
      )
      await company.visit(consent, 'approve')
      await until('the renewal', async () =>
        (await company.store.findConsent(consent.id))?.cycle === 2 ? true : undefined,
      )
      await company.stop()
      await bouncer.stop()
    },
    90_000,
  )
})

describe('mistakes are reported with their reason', () => {
  let place: Place
  beforeAll(async () => {
    place = await aPlace()
  })
  const through = async (
    change: (url: URL) => void,
    options: Omit<Parameters<typeof startPgBouncer>[0], 'urls'> & { urls?: readonly string[] },
  ): Promise<string> => {
    const bouncer = await startPgBouncer({ urls: [place.appUrl], ...options })
    const url = new URL(bouncer.through(place.appUrl))
    change(url)
    const { code, stderr } = await runHere(['list'], environmentFor(url.href))
    await bouncer.stop()
    expect(code).toBe(1)
    expect(stderr).not.toContain(url.password === '' ? 'of-tests' : url.password)
    return stderr
  }
  const same = (): void => undefined

  test.each<[string, (url: URL) => void, Omit<Parameters<typeof startPgBouncer>[0], 'urls'>, RegExp]>([
    [
      'a database it does not know',
      (url) => void (url.pathname = '/nowhere'),
      { poolMode: 'transaction' },
      /^the pooler knows no database of the name in DATABASE_URL \(08P01\)\n$/,
    ],
    [
      'a wrong password',
      (url) => void (url.password = 'wrong'),
      { poolMode: 'transaction' },
      /^the database refused our user or password/,
    ],
    [
      'pool_mode=statement',
      same,
      { poolMode: 'statement' },
      /pool_mode=statement\), which allows no transactions: set pool_mode=transaction or session/,
    ],
    [
      'no connection left',
      same,
      { poolMode: 'transaction', settings: { max_client_conn: 0 } },
      /^no connection is left for us/,
    ],
  ])('%s', async (_name, change, options, words) => {
    expect(await through(change, options)).toMatch(words)
  })

  test('a PostgreSQL behind it that is unavailable', async () => {
    const bouncer = await startPgBouncer({
      urls: [place.appUrl.replace(/:\d+\//, ':1/')],
      poolMode: 'transaction',
      settings: { query_wait_timeout: 2 },
    })
    const { stderr } = await runHere(['list'], environmentFor(bouncer.through(place.appUrl)))
    await bouncer.stop()
    expect(stderr).toMatch(
      /^the pooler (?:had no connection to PostgreSQL free in time|could not (?:reach|log in to) PostgreSQL) /,
    )
  })
})
