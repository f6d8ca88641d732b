// The rights that Redis's user needs, and which certificates the connection trusts.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { examineRedis } from '../../src/queue/redis-info.ts'
import { commandsNeeded } from '../../src/queue/trial.ts'
import { Secret } from '../../src/secret.ts'
import { freePort } from '../setup/free-port.ts'
import { type RedisServer, type ServerOptions, startRedisServer } from '../setup/redis.ts'
import { makeCertificates, startTlsRedis } from '../setup/redis-topologies.ts'
import { aCrew } from './crew.ts'
import { aBackend, aPrefix } from './setup.ts'

describe('a user with few rights', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedisServer()
  })
  afterAll(() => server.stop())
  const allow = async (...rules: string[]): Promise<unknown> =>
    server.ask((client) => client.call('ACL', 'SETUSER', 'app', 'reset', 'on', '>of-tests', ...rules))
  const url = () => new Secret(server.url.replace('://', '://app:of-tests@'))
  const trial = async () => (await examineRedis({ url: url() })).trial

  test('without @dangerous, and with only our keys and channels, everything works', async () => {
    const prefix = aPrefix()
    await allow(`~{${prefix}}*`, `&{${prefix}}*`, '+@all', '-@dangerous')
    const crew = await aCrew({ kind: 'redis', url: url() }, prefix)
    await crew.worksWithin(5_000)
    await expect
      .poll(async () => crew.backend.queue('sweep').getCompletedCount(), { timeout: 5_000 })
      .toBeGreaterThan(0)
    expect(await crew.backend.tryOut()).toEqual({ ok: true })
    expect(crew.lines.filter(({ level }) => level === 'warn')).toEqual([])
    const { servers, trial: tried } = await examineRedis({ url: url() }, `{${prefix}}`)
    expect([tried, servers[0]?.info]).toEqual([{ ok: true }, undefined])
  })

  const lacking: Record<string, { readonly rules: readonly string[]; readonly detail: RegExp }> = {
    'other keys': { rules: ['~other*', '&*', '+@all'], detail: /keys/ },
    'our keys without the braces': { rules: ['~reconsent*', '&*', '+@all'], detail: /keys/ },
    'a script': { rules: ['~*', '&*', '+@all', '-@scripting'], detail: /eval/ },
    'two commands of the scripts': { rules: ['~*', '&*', '+@all', '-xadd', '-lpos'], detail: /lpos, xadd/ },
    streams: { rules: ['~*', '&*', '+@all', '-@stream'], detail: /xadd/ },
    blocking: { rules: ['~*', '&*', '+@all', '-@blocking'], detail: /bzpopmin/ },
    writing: { rules: ['~*', '&*', '+@all', '-@write'], detail: /set/ },
  }
  test.each(Object.entries(lacking))('%s: the missing right is named', async (_, { rules, detail }) => {
    await allow(...rules)
    expect(await trial()).toMatchObject({
      ok: false,
      word: 'NOPERM',
      detail: expect.stringMatching(detail),
      advice: expect.stringContaining('ACL SETUSER'),
    })
  })

  test('a right that is revoked and granted again is noticed by the running process', async () => {
    await allow('~*', '&*', '+@all')
    const { backend } = await aBackend({ target: { kind: 'redis', url: url() }, prefix: aPrefix() })
    expect(await backend.tryOut()).toEqual({ ok: true })
    await server.ask((client) => client.call('ACL', 'SETUSER', 'app', '-zadd'))
    expect(await backend.tryOut()).toMatchObject({ ok: false, word: 'NOPERM', detail: expect.stringContaining('zadd') })
    await server.ask((client) => client.call('ACL', 'SETUSER', 'app', '+zadd'))
    expect(await backend.tryOut()).toEqual({ ok: true })
  })

  test('a wrong password, and no password', async () => {
    await allow('~*', '&*', '+@all')
    expect((await examineRedis({ url: new Secret(server.url.replace('://', '://app:hush@')) })).trial).toMatchObject({
      word: 'WRONGPASS',
    })
    await server.ask((client) => client.config('SET', 'requirepass', 'of-tests'))
    expect((await examineRedis({ url: new Secret(server.url) })).trial).toMatchObject({ word: 'NOAUTH' })
  })

  test('every command that BullMQ sends or its scripts call is checked', () => {
    const folder = 'node_modules/bullmq/dist/esm/scripts'
    const scripts = readdirSync(folder)
      .filter((name) => name.endsWith('.js'))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n')
    const called = new Set(
      [...scripts.matchAll(/\br(?:edis\.p?)?call\(\s*["'](\w+)["']/gi)].map(([, name = '']) => name.toLowerCase()),
    )
    expect(called.size).toBeGreaterThan(50)
    expect([...called].filter((name) => !(commandsNeeded as readonly string[]).includes(name))).toEqual([])
  })
})

describe('TLS', () => {
  let redis: Awaited<ReturnType<typeof startTlsRedis>>
  beforeAll(async () => {
    redis = await startTlsRedis()
  }, 30_000)
  afterAll(() => redis.stop())
  const trial = async (url: string) => (await examineRedis({ url: new Secret(url) })).trial

  test('with the authority that signed the certificate, jobs are done', async () => {
    const crew = await aCrew({ kind: 'redis', url: new Secret(`${redis.url}?ca=${redis.files.ca}`) })
    await crew.worksWithin(5_000)
    expect(await crew.backend.tryOut()).toEqual({ ok: true })
    expect(await trial(`rediss://localhost:${redis.port}?ca=${redis.files.ca}`)).toEqual({ ok: true })
  })

  test('without it, with another one, without TLS, under another name: named', async () => {
    const other = await makeCertificates()
    onTestFinished(() => other.remove())
    expect(await trial(redis.url)).toMatchObject({
      ok: false,
      detail: expect.stringMatching(/certificate is signed by an authority that is not trusted/),
      advice: expect.stringContaining('?ca='),
    })
    expect(await trial(`${redis.url}?ca=${other.ca}`)).toMatchObject({
      ok: false,
      detail: expect.stringMatching(/certificate/),
      advice: expect.stringContaining('?ca='),
    })
    expect(await trial(`redis://127.0.0.1:${redis.port}`)).toMatchObject({
      ok: false,
      advice: expect.stringContaining('rediss://'),
    })
    expect(await trial(`${redis.url}?ca=${redis.files.ca}&servername=redis.example.com`)).toMatchObject({
      word: 'ERR_TLS_CERT_ALTNAME_INVALID',
      advice: expect.stringContaining('servername'),
    })
    const plain = await startRedisServer()
    onTestFinished(() => plain.stop())
    expect(await trial(plain.url.replace('redis:', 'rediss:'))).toMatchObject({
      ok: false,
      advice: expect.stringContaining('speaks TLS'),
    })
  })

  test('a server that demands our certificate', async () => {
    const strict = await startTlsRedis({ asksForCertificate: true })
    onTestFinished(() => strict.stop())
    const { ca, cert, key } = strict.files
    expect(await trial(`${strict.url}?ca=${ca}&cert=${cert}&key=${key}`)).toEqual({ ok: true })
    expect(await trial(`${strict.url}?ca=${ca}`)).toMatchObject({ ok: false, advice: expect.stringContaining('cert=') })
  }, 30_000)

  const aTlsServer = async (
    files: Awaited<ReturnType<typeof makeCertificates>>,
    more: Pick<ServerOptions, 'settings' | 'sentinel'>,
  ) => {
    const port = await freePort()
    const server = await startRedisServer({
      ...more,
      port,
      login: { tls: { ca: readFileSync(files.ca) } },
      settings: {
        port: 0,
        'tls-port': port,
        'tls-cert-file': files.cert,
        'tls-key-file': files.key,
        'tls-ca-cert-file': files.ca,
        'tls-auth-clients': 'no',
        ...more.settings,
      },
    })
    onTestFinished(() => server.stop())
    return server
  }

  test('to a cluster, where an untrusted certificate is named, too', async () => {
    const { files } = redis
    const settings = {
      'cluster-enabled': 'yes',
      'cluster-port': await freePort(),
      'cluster-announce-ip': '127.0.0.1',
      'tls-cluster': 'yes',
    }
    const node = await aTlsServer(files, { settings })
    await node.ask((client) => client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383'))
    const url = `rediss-cluster://127.0.0.1:${node.port}`
    await expect.poll(async () => trial(`${url}?ca=${files.ca}`), { timeout: 10_000 }).toEqual({ ok: true })
    await (await aCrew({ kind: 'redis', url: new Secret(`${url}?ca=${files.ca}`) })).worksWithin(5_000)
    expect(await trial(url)).toMatchObject({
      word: 'SELF_SIGNED_CERT_IN_CHAIN',
      advice: expect.stringContaining('?ca='),
    })
  }, 30_000)

  test('to sentinels, where an untrusted certificate is named, too', async () => {
    const { files } = redis
    const monitor = `mymaster 127.0.0.1 ${redis.port} 1`
    const settings = { 'tls-replication': 'yes', 'sentinel monitor': monitor }
    const sentinel = await aTlsServer(files, { sentinel: true, settings })
    const url = `rediss-sentinel://127.0.0.1:${sentinel.port}/mymaster`
    await expect.poll(async () => trial(`${url}?ca=${files.ca}`), { timeout: 10_000 }).toEqual({ ok: true })
    await (await aCrew({ kind: 'redis', url: new Secret(`${url}?ca=${files.ca}`) })).worksWithin(5_000)
    expect(await trial(url)).toMatchObject({
      word: 'SELF_SIGNED_CERT_IN_CHAIN',
      advice: expect.stringContaining('?ca='),
    })
    const inClear = { word: 'NOSENTINEL', advice: expect.stringContaining('rediss-sentinel://') }
    expect(await trial(url.replace('rediss', 'redis'))).toMatchObject(inClear)
  }, 30_000)
})
