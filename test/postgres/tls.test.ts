// TLS against a real PostgreSQL: which certificates each sslmode accepts, with a private authority, and what the
// commands report when the certificate is refused.
import { execFile } from 'node:child_process'
import { chmod, chown, copyFile, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { startEmbeddedPostgres, type EmbeddedDatabase } from '../../simulator/embedded/postgres.ts'
import { mayWantTls } from '../../src/postgres/trouble.ts'
import { migrate } from '../../src/store/migrate.ts'
import { environmentFor, run, runHere } from '../commands/reconsent.ts'
import { makeCertificates, type Pair } from '../setup/certificates.ts'
import { startCompany, until } from '../setup/company.ts'
import { startPgBouncer } from '../setup/pgbouncer.ts'
import { asOwner } from '../setup/roles.ts'

let made: Awaited<ReturnType<typeof makeCertificates>>
let ours: Pair
let stranger: Pair
let client: Pair
let server: EmbeddedDatabase
/** The address with the host name that the right certificate is for. */
let url: string

const identity = async (flag: string): Promise<number> =>
  Number((await promisify(execFile)('id', [flag, 'nobody'])).stdout)

const untilSet = async (name: string, value: string): Promise<unknown> =>
  until(
    `${name} ${value}`,
    async () =>
      ((await asOwner(server.url, `SHOW ${name}`)).rows as Record<string, string>[]).some(
        (row) => row[name] === value,
      ) || undefined,
  )

/**
 * Makes the running server use a certificate; PostgreSQL demands that it owns the key and that others cannot read it.
 */
const use = async ({ cert, key }: Pair): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-tls-'))
  await chmod(folder, 0o755)
  const [file, keyFile] = [join(folder, 'server.crt'), join(folder, 'server.key')]
  await Promise.all([copyFile(cert, file), copyFile(key, keyFile)])
  await chmod(file, 0o644)
  await chmod(keyFile, 0o600)
  if (process.getuid?.() === 0) await chown(keyFile, await identity('-u'), await identity('-g'))
  await asOwner(
    server.url,
    `ALTER SYSTEM SET ssl_cert_file = '${file}'`,
    `ALTER SYSTEM SET ssl_key_file = '${keyFile}'`,
    'ALTER SYSTEM SET ssl = on',
    'SELECT pg_reload_conf()',
  )
  await untilSet('ssl_cert_file', file)
}

const list = async (parameters: string, host = 'localhost'): Promise<string> => {
  const { code, stderr } = await runHere(['list'], environmentFor(`${url.replace('localhost', host)}?${parameters}`))
  expect(stderr).not.toContain('embedded')
  return outcome(code, stderr)
}
const works = 'works'
/** The number of consents in the list does not matter here. */
const outcome = (code: number | null, stderr: string): string =>
  code === 0 && /^(?:no|\d+) consents?\n$/.test(stderr) ? works : `${code} ${stderr}`.trim()

beforeAll(async () => {
  made = await makeCertificates()
  ours = await made.authority('ours')
  stranger = await made.authority('stranger')
  client = await made.signed('postgres', ours, {})
  server = await startEmbeddedPostgres()
  await migrate(server.url)
  url = server.url.replace('127.0.0.1', 'localhost')
  await use(await made.signed('localhost', ours, { alt: 'DNS:localhost' }))
})
afterAll(async () => server.stop())

describe('a server whose certificate a private authority signed', () => {
  test.each<[string, (ca: string) => string, RegExp | string]>([
    ['no parameter', () => '', works],
    ['disable', () => 'sslmode=disable', works],
    ['allow', () => 'sslmode=allow', works],
    ['prefer', () => 'sslmode=prefer', works],
    ['require', () => 'sslmode=require', works],
    ['require with the authority', (ca) => `sslmode=require&sslrootcert=${ca}`, works],
    ['verify-ca with the authority', (ca) => `sslmode=verify-ca&sslrootcert=${ca}`, works],
    ['verify-full with the authority', (ca) => `sslmode=verify-full&sslrootcert=${ca}`, works],
    ['the authority alone', (ca) => `sslrootcert=${ca}`, works],
    [
      'verify-full with the public authorities',
      () => 'sslmode=verify-full',
      /^1 the database server's certificate was signed by an authority that is not trusted: name .* in sslrootcert/,
    ],
    ['verify-full with the system', () => 'sslmode=verify-full&sslrootcert=system', /not trusted/],
  ])('%s', async (_name, parameters, wanted) => {
    const said = await list(parameters(ours.cert))
    if (typeof wanted === 'string') expect(said).toBe(wanted)
    else expect(said).toMatch(wanted)
  })

  test.each(['require', 'verify-ca', 'verify-full'])('%s with another authority is refused', async (mode) => {
    expect(await list(`sslmode=${mode}&sslrootcert=${stranger.cert}`)).toMatch(
      /^1 the database server's certificate was signed by an authority that is not trusted/,
    )
  })

  test('by another name: verify-full refuses, verify-ca does not look', async () => {
    expect(await list(`sslmode=verify-full&sslrootcert=${ours.cert}`, '127.0.0.1')).toMatch(
      /^1 the database server's certificate is for another host than the one in DATABASE_URL/,
    )
    expect(await list(`sslmode=verify-ca&sslrootcert=${ours.cert}`, '127.0.0.1')).toBe(works)
  })

  test('doctor reports what is verified', async () => {
    const aboutTls = async (parameters: string): Promise<unknown> => {
      const { stdout } = await runHere(['doctor', '--json'], environmentFor(`${url}?${parameters}`))
      return (JSON.parse(stdout) as { findings: { check: string }[] }).findings.find(
        ({ check }) => check === 'database tls',
      )
    }
    expect(await aboutTls('')).toMatchObject({ level: 'ok', detail: 'none, and none needed on this machine' })
    expect(await aboutTls('sslmode=require')).toMatchObject({
      level: 'warn',
      detail: expect.stringMatching(/^TLSv1\.\d, but nobody checks/) as string,
    })
    expect(await aboutTls(`sslmode=verify-full&sslrootcert=${ours.cert}`)).toMatchObject({
      level: 'ok',
      detail: expect.stringMatching(/certificate and host name verified/) as string,
    })
  })

  test.each(['redis', 'postgres'] as const)(
    'the whole loop with verify-full and QUEUE=%s: every connection is encrypted',
    async (queue) => {
      const company = await startCompany({
        queue,
        processes: [['web', 'worker', 'scheduler']],
        databaseUrl: `${url}?sslmode=verify-full&sslrootcert=${ours.cert}`,
      })
      const consent = await company.addConsent({ expiresAt: company.clock.now().plus({ days: 5 }) })
      await until('the mail', async () =>
        company.simulator.mails({ to: consent.email ?? '' }).length > 0 ? true : undefined,
      )
      const { rows } = await asOwner(
        server.url,
        'SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = ' +
          'current_database() AND pid <> pg_backend_pid()',
      )
      expect(rows).toEqual([{ ssl: true }])
      await company.stop()
    },
    60_000,
  )
})

test.each<[string, { alt: string; from?: number; to?: number }, RegExp]>([
  [
    'one that has expired',
    { alt: 'DNS:localhost', from: -20, to: -2 },
    /^1 the database server's certificate, or its authority's, has expired \(CERT_HAS_EXPIRED\)/,
  ],
  [
    'one that is not valid yet',
    { alt: 'DNS:localhost', from: 2 },
    /^1 the database server's certificate is not valid yet/,
  ],
  ['one for another host', { alt: 'DNS:db.example.com' }, /^1 the database server's certificate is for another host/],
])('%s is refused by verify-full', async (name, times, words) => {
  await use(await made.signed(name.replaceAll(' ', '-'), ours, times))
  expect(await list(`sslmode=verify-full&sslrootcert=${ours.cert}`)).toMatch(words)
  expect(await list('sslmode=require')).toBe(works)
  await use(await made.signed('again', ours, { alt: 'DNS:localhost' }))
})

describe('pg_hba.conf', () => {
  const withHba = async <T>(lines: readonly string[], work: () => Promise<T>): Promise<T> => {
    const { rows } = await asOwner(server.url, 'SHOW hba_file')
    const file = (rows as { hba_file: string }[])[0]?.hba_file ?? ''
    const before = await readFile(file, 'utf8')
    const admin = `host all postgres 127.0.0.1/32 scram-sha-256\n`
    await writeFile(file, `${admin}${lines.join('\n')}\n`)
    await asOwner(server.url, 'SELECT pg_reload_conf()')
    await until(
      'the new file',
      async () =>
        ((await asOwner(server.url, `SELECT FROM pg_hba_file_rules WHERE 'app' = ANY (user_name)`)).rowCount ?? 0) >
          0 || undefined,
    )
    try {
      return await work()
    } finally {
      await writeFile(file, before)
      await asOwner(server.url, 'SELECT pg_reload_conf()')
    }
  }
  const asApp = async (parameters: string): Promise<string> => {
    const { code, stderr } = await runHere(
      ['list'],
      environmentFor(`${url.replace('postgres:embedded@localhost', 'app:of-tests@127.0.0.1')}?${parameters}`),
    )
    return outcome(code, stderr)
  }

  test('that demands TLS, and a client certificate', async () => {
    const mine = await made.signed('app', ours, {})
    await asOwner(
      server.url,
      `CREATE ROLE app LOGIN PASSWORD 'of-tests'`,
      'GRANT USAGE ON SCHEMA public TO app',
      'GRANT SELECT ON ALL TABLES IN SCHEMA public TO app',
    )
    await withHba(['hostssl all app 127.0.0.1/32 scram-sha-256'], async () => {
      expect(await asApp('')).toMatch(
        /^1 the database server has no pg_hba\.conf entry for us without TLS: add sslmode=verify-full .* DATABASE_URL/,
      )
      for (const mode of ['allow', 'prefer', 'require']) expect(await asApp(`sslmode=${mode}`)).toBe(works)
    })
    const caFile = join(await mkdtemp(join(tmpdir(), 'reconsent-tls-')), 'ca.crt')
    await chmod(join(caFile, '..'), 0o755)
    await copyFile(ours.cert, caFile)
    await chmod(caFile, 0o644)
    await asOwner(server.url, `ALTER SYSTEM SET ssl_ca_file = '${caFile}'`, 'SELECT pg_reload_conf()')
    await untilSet('ssl_ca_file', caFile)
    await withHba(['hostssl all app 127.0.0.1/32 scram-sha-256 clientcert=verify-full'], async () => {
      expect(await asApp('sslmode=require')).toMatch(
        /^1 the database server demands a client certificate: name it in sslcert and sslkey/,
      )
      expect(await asApp(`sslmode=require&sslcert=${mine.cert}&sslkey=${mine.key}`)).toBe(works)
      expect(await asApp(`sslmode=require&sslcert=${client.cert}&sslkey=${client.key}`)).toMatch(
        /^1 the database server's user does not fit the client certificate|^1 the database refused our user/,
      )
      const foreign = await made.signed('app', stranger, {})
      expect(await asApp(`sslmode=require&sslcert=${foreign.cert}&sslkey=${foreign.key}`)).toMatch(
        /^1 the database server refused our client certificate/,
      )
    })
  })
})

test('pg_hba.conf that demands TLS is recognised in any language of the server', () => {
  const error = { code: '28000', file: 'auth.c', routine: 'ClientAuthentication' }
  const german = 'kein pg_hba.conf-Eintrag für Host »127.0.0.1«, Benutzer »app«, Datenbank »r«, keine Verschlüsselung'
  expect(mayWantTls(Object.assign(new Error(german), error))).toBe(true)
  expect(
    mayWantTls(
      Object.assign(new Error('Rolle »app« existiert nicht'), { ...error, routine: 'InitializeSessionUserId' }),
    ),
  ).toBe(false)
})

test('a server without TLS: an sslmode that demands TLS reports it', async () => {
  const plain = inject('postgresUrl')
  for (const mode of ['require', 'verify-full']) {
    const { code, stderr } = await runHere(['list'], environmentFor(`${plain}?sslmode=${mode}`))
    expect([code, stderr]).toEqual([
      1,
      'the database server offers no TLS, which the sslmode of DATABASE_URL demands\n',
    ])
  }
  const owner = await runHere(['migrate'], {
    ...environmentFor(plain),
    MIGRATE_DATABASE_URL: `${plain}?sslmode=require`,
  })
  expect(owner.stderr).toContain('which the sslmode of MIGRATE_DATABASE_URL demands')
})

test('a pooler that speaks only TLS', async () => {
  const pair = await made.signed('bouncer', ours, { alt: 'IP:127.0.0.1' })
  await chmod(made.folder, 0o755)
  await chmod(pair.key, 0o644)
  const bouncer = await startPgBouncer({
    urls: [server.url],
    poolMode: 'transaction',
    settings: {
      client_tls_sslmode: 'require',
      client_tls_key_file: pair.key,
      client_tls_cert_file: pair.cert,
      server_tls_sslmode: 'disable',
    },
  })
  const through = async (parameters: string): Promise<string> => {
    const { code, stderr } = await runHere(['list'], environmentFor(`${bouncer.through(server.url)}?${parameters}`))
    return outcome(code, stderr)
  }
  expect(await through('')).toMatch(
    /^1 the pooler takes only connections with TLS: add sslmode=verify-full \(or require\) to DATABASE_URL/,
  )
  for (const parameters of [
    'sslmode=prefer',
    'sslmode=allow',
    'sslmode=require',
    `sslmode=verify-full&sslrootcert=${ours.cert}`,
  ])
    expect(await through(parameters)).toBe(works)
  await bouncer.stop()
})

describe('files', () => {
  test.each<[string, () => string, RegExp]>([
    [
      'an authority that is not there',
      () => 'sslmode=verify-full&sslrootcert=/nowhere/ca.crt',
      /^2 .*DATABASE_URL: sslrootcert names a file that cannot be read \(ENOENT\)/s,
    ],
    [
      'a folder',
      () => 'sslmode=verify-full&sslrootcert=/tmp',
      /^2 .*DATABASE_URL: sslrootcert names a file that cannot be read \(EISDIR\)/s,
    ],
    [
      'a key for an authority',
      () => `sslmode=verify-full&sslrootcert=${ours.key}`,
      /^2 .*DATABASE_URL: sslrootcert names a file that holds no certificates in PEM/s,
    ],
    [
      'a certificate without its key',
      () => `sslmode=require&sslcert=${client.cert}`,
      /^2 .*DATABASE_URL: sslcert and sslkey go together/s,
    ],
    [
      'the key of another certificate',
      () => `sslmode=require&sslcert=${client.cert}&sslkey=${stranger.key}`,
      /^2 .*DATABASE_URL: sslkey is not the key of the certificate in sslcert/s,
    ],
    [
      'verify-ca without an authority',
      () => 'sslmode=verify-ca',
      /^2 .*DATABASE_URL: sslmode=verify-ca needs the authority in sslrootcert/s,
    ],
    [
      'a misspelt mode',
      () => 'sslmode=verifyfull',
      /^2 .*DATABASE_URL: sslmode must be one of .*did you mean verify-full\?/s,
    ],
  ])('%s', async (_name, parameters, words) => {
    expect(await list(parameters())).toMatch(words)
  })

  test('start reports it, too, and does not begin', async () => {
    const env = {
      ...environmentFor(`${url}?sslmode=verify-full&sslrootcert=/nowhere/ca.crt`),
      REDIS_URL: inject('redisUrl'),
    }
    expect(await run(['start', '--roles', 'scheduler'], { env })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('sslrootcert names a file that cannot be read (ENOENT)') as string,
    })
  })
})
