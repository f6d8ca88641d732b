// `doctor` against real services: a PostgreSQL, a Redis, the simulator's mail server and provider.
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { startSimulator, type Simulator } from '../../simulator/src/start-simulator.ts'
import type { Finding } from '../../src/doctor/finding.ts'
import { keyText } from '../crypto/keys.ts'
import { aLine, ndjson } from '../import/rows.ts'
import { connectProxy, withLogin } from '../provider/truelayer/connect-proxy.ts'
import { selfSigned } from '../provider/truelayer/self-signed.ts'
import { createDatabase } from '../setup/database.ts'
import { startCluster, startPair, startTlsRedis } from '../setup/redis-topologies.ts'
import { startRedisServer } from '../setup/redis.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'
import { runHere, run } from './reconsent.ts'

let simulator: Simulator
let env: Record<string, string>
let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'reconsent-doctor-'))
  const policy = join(cwd, 'worker.config.ts')
  await writeFile(policy, "export default { company: { name: 'Brightside' } }\n")
  simulator = await startSimulator({
    clientId: 'client',
    clientSecret: 'the-client-secret',
    redirectUris: ['http://127.0.0.1:3000/callback'],
  })
  env = {
    RECONSENT_CONFIG: policy,
    DATABASE_URL: await createDatabase(),
    REDIS_URL: inject('redisUrl'),
    ENCRYPTION_KEYS: `k1:${keyText('k1')}`,
    TRUELAYER_AUTH_URL: simulator.url,
    TRUELAYER_API_URL: simulator.url,
    TRUELAYER_CLIENT_ID: 'client',
    TRUELAYER_CLIENT_SECRET: 'the-client-secret',
    SMTP_URL: simulator.smtpUrl,
    MAIL_FROM: 'consents@example.com',
    PUBLIC_URL: simulator.url,
  }
  const file = join(cwd, 'consents.ndjson')
  await writeFile(file, ndjson([aLine({ expires_at: new Date(Date.now() + 5e9).toISOString() })]))
  await runHere(['import', file], env)
})
afterAll(async () => simulator.close())

interface Diagnosis {
  readonly ok: boolean
  readonly failed: number
  readonly findings: Finding[]
}
const diagnose = async (
  over: Record<string, string | undefined> = {},
): Promise<Diagnosis & { code: number | null }> => {
  const { code, stdout } = await runHere(['doctor', '--json'], { ...env, ...over })
  return { code, ...(JSON.parse(stdout) as Diagnosis) }
}
const failures = ({ findings }: Diagnosis): Finding[] => findings.filter(({ level }) => level === 'fail')

describe('doctor', () => {
  test('finds no fault in a sound installation', async () => {
    const diagnosis = await diagnose()
    expect(failures(diagnosis)).toEqual([])
    expect(diagnosis).toMatchObject({ code: 0, ok: true })
    const checks = diagnosis.findings.filter(({ level }) => level === 'ok').map(({ check }) => check)
    for (const check of [
      'node',
      'configuration',
      'database',
      'clock',
      'migrations',
      'keys',
      'consents',
      'queue',
      'queue memory',
      'mail',
      'provider',
    ])
      expect(checks).toContain(check)
  })

  test('prints one line for each finding with what to do, and no secret', async () => {
    const { code, stdout } = await run(['doctor'], { env, cwd })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^ok {4}database +PostgreSQL \d/m)
    expect(stdout).toMatch(/^warn {2}sweep +there has been none yet\n +start the role scheduler/m)
    expect(stdout).toMatch(/\n0 failed, \d+ warnings?, \d+ ok\n$/)
    for (const secret of ['the-client-secret', keyText('k1'), 'embedded']) expect(stdout).not.toContain(secret)
  })

  const broken: Record<string, [Record<string, string | undefined>, string, RegExp]> = {
    'a database that is not there': [
      { DATABASE_URL: 'postgres://user:hush@127.0.0.1:1/x' },
      'database',
      /could not be used \(ECONNREFUSED\)/,
    ],
    'a key that is missing': [
      { ENCRYPTION_KEYS: `k2:${keyText('k2')}` },
      'keys',
      /1 stored secrets need the key "k1", which is not in ENCRYPTION_KEYS/,
    ],
    'a key of other bytes': [{ ENCRYPTION_KEYS: `k1:${keyText('other')}` }, 'keys', /the key "k1" does not open/],
    'a Redis that is not there': [
      { REDIS_URL: 'redis://:hush@127.0.0.1:1' },
      'queue',
      /could not be asked \(ECONNREFUSED\)/,
    ],
    'a mail server that is not there': [{ SMTP_URL: 'smtp://127.0.0.1:1' }, 'mail', /./],
    'credentials that are refused': [{ TRUELAYER_CLIENT_SECRET: 'wrong' }, 'provider', /rejected \(invalid_client\)/],
    'configuration that is missing': [
      { SMTP_URL: undefined, MAIL_FROM: undefined },
      'configuration',
      /SMTP_URL is not set/,
    ],
  }
  test.each(Object.entries(broken))('finds %s', async (_, [over, check, words]) => {
    const diagnosis = await diagnose(over)
    expect(diagnosis).toMatchObject({ code: 1, ok: false })
    const [first] = failures(diagnosis)
    expect(first).toMatchObject({ check, detail: expect.stringMatching(words), advice: expect.stringMatching(/./) })
    expect(JSON.stringify(diagnosis)).not.toContain('hush')
    // One finding does not hide the others.
    expect(diagnosis.findings.filter(({ level }) => level === 'ok').length).toBeGreaterThan(4)
  })

  test('counts imported callbacks that are not https: they must not be used in production', async () => {
    const own = { DATABASE_URL: await createDatabase() }
    const file = join(cwd, 'plain.ndjson')
    const expires_at = new Date(Date.now() + 5e9).toISOString()
    await writeFile(
      file,
      ndjson([aLine({ expires_at, redirect_uri: 'http://127.0.0.1:3000/callback' }), aLine({ expires_at })]),
    )
    await runHere(['import', file], { ...env, ...own })
    const about = async (over: Record<string, string>): Promise<Finding | undefined> =>
      (await diagnose({ ...own, ...over })).findings.find(({ check }) => check === 'callbacks')
    expect(await about({})).toMatchObject({ level: 'ok', detail: expect.stringContaining('1 consents') })
    expect(await about({ NODE_ENV: 'production' })).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('1 consents'),
      advice: expect.stringContaining('import'),
    })
  })

  test('finds callbacks on our own host that nothing answers, which an import with PUBLIC_URL refuses', async () => {
    const own = { DATABASE_URL: await createDatabase() }
    const file = join(cwd, 'dead.ndjson')
    const at = (redirect_uri: string) => aLine({ expires_at: new Date(Date.now() + 5e9).toISOString(), redirect_uri })
    await writeFile(
      file,
      ndjson([
        at('https://consents.example.com/cb?tenant=1'),
        at('https://consents.example.com/callback/'),
        at('https://app.example.com/cb'),
      ]),
    )
    const refused = await runHere(['import', file], { ...env, ...own, PUBLIC_URL: 'https://consents.example.com' })
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^line 1: redirect_uri: is on our own host/),
    })
    expect(await runHere(['import', file], { ...env, ...own, PUBLIC_URL: 'consents.example.com' })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('PUBLIC_URL'),
    })
    expect(await runHere(['import', file], { ...env, ...own, PUBLIC_URL: undefined })).toMatchObject({ code: 0 })
    const diagnosis = await diagnose({ ...own, PUBLIC_URL: 'https://consents.example.com' })
    expect(failures(diagnosis)).toMatchObject([
      {
        check: 'callbacks',
        detail: expect.stringContaining('1 consents have the redirect_uri /cb on our own host'),
        advice: expect.stringContaining('https://consents.example.com/callback'),
      },
    ])
    expect(JSON.stringify(diagnosis)).not.toContain('tenant')
  })

  test('reaches the provider through the proxy, and says when the proxy is to blame; hides its password', async () => {
    const front = tls.createServer(selfSigned, (socket) => {
      const behind = connect(Number(new URL(simulator.url).port), '127.0.0.1')
      behind.on('error', () => socket.destroy())
      socket.on('error', () => behind.destroy())
      socket.pipe(behind).pipe(socket)
    })
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void front.close())
    const ca = join(cwd, 'ca.pem')
    await writeFile(ca, selfSigned.cert)
    const proxy = await connectProxy()
    const url = `https://127.0.0.1:${(front.address() as AddressInfo).port}`
    const secure = {
      ...env,
      TRUELAYER_AUTH_URL: url,
      TRUELAYER_API_URL: url,
      NODE_EXTRA_CA_CERTS: ca,
      HTTPS_PROXY: withLogin(proxy, 'user:hush'),
    }
    const about = async (over: Record<string, string> = {}): Promise<Finding | undefined> => {
      const { stdout } = await run(['doctor', '--json'], { env: { ...secure, ...over }, cwd })
      expect(stdout).not.toContain('hush')
      return (JSON.parse(stdout) as Diagnosis).findings.find(({ check }) => check === 'provider')
    }
    const host = new URL(proxy.url).host
    expect(await about()).toMatchObject({
      level: 'ok',
      detail: expect.stringMatching(new RegExp(`; through the proxy ${host}$`)),
    })
    expect(proxy.received()).toContain('CONNECT 127.0.0.1:')
    const before = proxy.connections()
    expect(await about({ no_proxy: '127.0.0.1' })).toMatchObject({
      level: 'ok',
      detail: expect.stringMatching(/; asked directly, past HTTPS_PROXY$/),
    })
    expect(proxy.connections()).toBe(before)
    const strict = await connectProxy({
      instead: (client) => void client.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n'),
    })
    expect(await about({ https_proxy: withLogin(strict, 'user:hush') })).toMatchObject({
      level: 'fail',
      detail: expect.stringMatching(/^could not be found out: the proxy in HTTPS_PROXY .*through the proxy/),
      advice: expect.stringContaining('HTTPS_PROXY and NO_PROXY'),
    })
  })

  test('an unsealed token is not taken for a key’s name: neither doctor nor keys list shows a part of it', async () => {
    const own = { DATABASE_URL: await createDatabase() }
    const file = join(cwd, 'in-clear.ndjson')
    await writeFile(file, ndjson([aLine({ expires_at: new Date(Date.now() + 5e9).toISOString() })]))
    await runHere(['import', file], { ...env, ...own })
    const client = new pg.Client({ connectionString: own.DATABASE_URL })
    await client.connect()
    await client.query(`UPDATE consents SET refresh_token = 'eyJhbGciOiJub25lIn0.pl4in.t0ken'`)
    await client.end()
    const diagnosis = await diagnose(own)
    const keys = await runHere(['keys', 'list'], { ...env, ...own })
    expect(failures(diagnosis)).toMatchObject([
      { check: 'keys', detail: expect.stringContaining('1 stored secrets need the key no key') },
    ])
    expect(keys).toMatchObject({ code: 1, stdout: expect.stringContaining('(none)') })
    expect(JSON.stringify([diagnosis, keys])).not.toMatch(/pl4in|t0ken/)
  })

  test('finds a database that was not migrated', async () => {
    const admin = new pg.Client({ connectionString: inject('postgresUrl') })
    await admin.connect()
    const name = `unmigrated_${Date.now()}`
    await admin.query(`CREATE DATABASE ${name}`)
    await admin.end()
    const url = new URL(env['DATABASE_URL'] ?? '')
    url.pathname = `/${name}`
    expect(failures(await diagnose({ DATABASE_URL: url.href }))).toMatchObject([
      { check: 'migrations', detail: 'none is applied', advice: 'run: reconsent migrate' },
    ])
  })

  test('accepts a queue on PostgreSQL', async () => {
    const { findings, code } = await diagnose({ QUEUE: 'postgres', REDIS_URL: undefined })
    expect(code).toBe(0)
    expect(findings).toContainEqual({ check: 'queue', level: 'ok', detail: 'on PostgreSQL', advice: null })
  })

  describe('tries the Redis that it is given', () => {
    const found = async (url: string, over: Record<string, string> = {}) => {
      const diagnosis = await diagnose({ REDIS_URL: url, ...over })
      expect(JSON.stringify(diagnosis)).not.toContain('hush')
      return { code: diagnosis.code, failed: failures(diagnosis).filter(({ check }) => check.startsWith('queue')) }
    }
    const refused = (detail: RegExp, advice: RegExp) => ({
      code: 1,
      failed: [{ check: 'queue', detail: expect.stringMatching(detail), advice: expect.stringMatching(advice) }],
    })

    test('a replica', async () => {
      const pair = await startPair({ password: 'hush' })
      onTestFinished(() => pair.stop())
      expect(await found(`redis://:hush@127.0.0.1:${pair.second.port}`)).toMatchObject(
        refused(/\(READONLY\): REDIS_URL points at a replica/, /primary/),
      )
      expect(await found(`redis://:hush@127.0.0.1:${pair.first.port}`)).toEqual({ code: 0, failed: [] })
    })

    test('one node of a cluster, and the cluster', async () => {
      const cluster = await startCluster()
      onTestFinished(() => cluster.stop())
      for (const { url } of cluster.primaries)
        expect(await found(url)).toMatchObject(refused(/\(MOVED\)/, /redis-cluster:\/\//))
      expect(await found(cluster.url)).toEqual({ code: 0, failed: [] })
    }, 60_000)

    test('a Redis that is full, cannot save, or grants too little', async () => {
      const server = await startRedisServer({ settings: { save: '900 1' } })
      onTestFinished(() => server.stop())
      await server.ask((client) => client.config('SET', 'maxmemory', '1'))
      expect(await found(server.url)).toMatchObject(refused(/\(OOM\): Redis is full/, /memory/))
      await server.ask((client) => client.config('SET', 'maxmemory', '0'))
      await server.ask(async (client) => {
        await client.set('some', 'thing')
        // Redis renames its finished dump to dump.rdb; the rename fails because a folder has that name.
        await mkdir(join(server.folder, 'dump.rdb'))
        await client.bgsave()
        await expect.poll(async () => client.info('persistence')).toContain('rdb_last_bgsave_status:err')
      })
      expect(await found(server.url)).toMatchObject(refused(/\(MISCONF\)/, /disk/))
      await server.ask(async (client) => {
        await client.config('SET', 'stop-writes-on-bgsave-error', 'no')
        await client.call(
          'ACL',
          'SETUSER',
          'app',
          'on',
          '>hush',
          '~{reconsent}*',
          '&{reconsent}*',
          '+@all',
          '-@dangerous',
        )
      })
      const url = server.url.replace('://', '://app:hush@')
      expect(await found(url)).toEqual({ code: 0, failed: [] })
      await server.ask((client) => client.call('ACL', 'SETUSER', 'app', '-xadd'))
      expect(await found(url)).toMatchObject(refused(/\(NOPERM\): .*xadd/, /ACL SETUSER/))
    }, 30_000)

    test('a Redis whose certificate it does not trust', async () => {
      const redis = await startTlsRedis()
      onTestFinished(() => redis.stop())
      expect(await found(redis.url)).toMatchObject(refused(/authority that is not trusted/, /\?ca=/))
      expect(await found(`${redis.url}?ca=${redis.files.ca}`)).toEqual({ code: 0, failed: [] })
    }, 30_000)
  })

  test('reports rights that PostgreSQL refuses on the queue’s tables', async () => {
    const own = await createDatabase()
    const app = await createAppRole(own)
    const found = async () =>
      (await diagnose({ QUEUE: 'postgres', REDIS_URL: undefined, DATABASE_URL: app })).findings.filter(({ check }) =>
        check.startsWith('queue'),
      )
    expect(await found()).toEqual([{ check: 'queue', level: 'ok', detail: 'on PostgreSQL', advice: null }])
    await asOwner(own, `REVOKE INSERT ON bullmq.meta FROM ${new URL(app).username}`)
    expect(await found()).toMatchObject([
      { check: 'queue', level: 'fail', detail: expect.stringMatching(/42501.*may not write the queue's tables/) },
    ])
  })

  test('reports what waits for an operator', async () => {
    const client = new pg.Client({ connectionString: env['DATABASE_URL'] })
    await client.connect()
    await client.query(`UPDATE consents SET status = 'quarantined', next_action_at = NULL`)
    await client.query(`INSERT INTO open_circuits (name, since, trial_at) VALUES ('client-rejected', now(), now())`)
    const { findings, code } = await diagnose()
    await client.query('DELETE FROM open_circuits')
    await client.end()
    expect(code).toBe(0)
    expect(findings.filter(({ level }) => level === 'warn').map(({ check }) => check)).toEqual(
      expect.arrayContaining(['quarantine', 'provider calls']),
    )
  })
})
