// Wrong keys count against the client's address; the address that a proxy forwards counts only where the proxy is
// trusted.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeLog } from '../../src/log.ts'
import { openBackend, type Backend } from '../../src/queue/backend.ts'
import { queueNames } from '../../src/queue/catalogue.ts'
import { Secret } from '../../src/secret.ts'
import { plans } from '../queue/setup.ts'
import { createDatabase } from '../setup/database.ts'
import { startWorld, type World } from '../setup/world.ts'
import { API_KEY, aWeb, WITH_KEY, type Web } from './web.ts'

let world: World
let backend: Backend
beforeAll(async () => {
  world = await startWorld()
  backend = await openBackend(
    { kind: 'postgres', url: new Secret(await createDatabase()) },
    { log: makeLog({ level: 'silent' }), plans },
  )
})
afterAll(async () => {
  await backend.close()
  await world.close()
})

const WRONG = { authorization: 'Bearer wrong' }
const call = async (web: Web, headers: Record<string, string>) => web.get('/v1/events', { headers })
const statuses = async (count: number, ask: () => Promise<{ status: number }>): Promise<number[]> => {
  const found: number[] = []
  for (let at = 0; at < count; at += 1) found.push((await ask()).status)
  return found
}

describe('wrong API keys', () => {
  test('are refused by 401 and then by 429, which says when to come back, and shows no part of the key', async () => {
    const web = await aWeb(world, { limits: { wrongKeysPerMinute: 2 } })
    expect(await statuses(2, async () => call(web, WRONG))).toEqual([401, 401])
    const seen = new Set<string>()
    for (const authorization of ['Bearer other', `Bearer ${API_KEY}x`, `Basic ${API_KEY}`, '']) {
      const answer = await web.post('/v1/callbacks', {
        headers: { authorization, 'content-type': 'application/json' },
        body: '{',
      })
      expect(answer.status).toBe(429)
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(answer.headers.get('www-authenticate')).toBeNull()
      seen.add(answer.body)
    }
    expect([...seen].map((body) => JSON.parse(body))).toEqual([
      expect.objectContaining({ type: 'urn:problem-type:reconsent:too-many-requests', status: 429 }),
    ])
    expect(web.logged()).toContain('"client":"127.0.0.1"')
  })

  test('do not delay a right key, and a request without a key is not counted', async () => {
    const web = await aWeb(world, { limits: { wrongKeysPerMinute: 1 } })
    expect(await statuses(4, async () => web.get('/v1/events'))).toEqual([401, 401, 401, 401])
    expect(await statuses(3, async () => call(web, WRONG))).toEqual([401, 429, 429])
    expect(await statuses(5, async () => call(web, WITH_KEY))).toEqual([200, 200, 200, 200, 200])
    expect((await call(web, {})).status).toBe(401)
  })

  test('are limited to twenty a minute by default', async () => {
    const web = await aWeb(world)
    expect(await statuses(22, async () => call(web, WRONG))).toEqual([...Array<number>(20).fill(401), 429, 429])
  })
})

describe('wrong logins at the board', () => {
  const basic = (login: string) => ({ authorization: `Basic ${Buffer.from(login).toString('base64')}` })
  const board = async (over: object = {}) =>
    aWeb(world, {
      board: {
        queues: queueNames.map((name) => backend.queue(name)),
        user: 'ops',
        password: new Secret('a password'),
        allowDestructive: false,
      },
      limits: { wrongKeysPerMinute: 2 },
      ...over,
    })

  test('block their address, also for a right login', async () => {
    const web = await board()
    const ask = async (headers: Record<string, string>) => web.get('/ops/queues', { headers })
    expect(await statuses(3, async () => ask({}))).toEqual([401, 401, 401])
    expect((await ask(basic('ops:a password'))).status).toBe(200)
    expect(await statuses(4, async () => ask(basic('ops:wrong')))).toEqual([401, 401, 429, 429])
    const shut = await ask(basic('ops:a password'))
    expect(shut.status).toBe(429)
    expect(Number(shut.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(shut.headers.get('cache-control')).toBe('no-store')
    expect((await web.get('/ops/queues/api/queues', { headers: basic('ops:a password') })).status).toBe(429)
    // The API counts wrong keys separately.
    expect((await call(web, WRONG)).status).toBe(401)
  })

  test('of one client behind a trusted proxy block no other client', async () => {
    const web = await board({ trustedProxies: ['loopback'] })
    const ask = async (client: string, login: string) =>
      web.get('/ops/queues', { headers: { ...basic(login), 'x-forwarded-for': client } })
    expect(await statuses(3, async () => ask('203.0.113.1', 'ops:wrong'))).toEqual([401, 401, 429])
    expect((await ask('203.0.113.2', 'ops:a password')).status).toBe(200)
  })
})

describe('X-Forwarded-For', () => {
  const forwarded = (web: Web) => async (value: string) =>
    (await call(web, { ...WRONG, 'x-forwarded-for': value })).status

  test('is ignored unless its sender is trusted: another address in it gives no new count', async () => {
    for (const trustedProxies of [undefined, [], ['10.0.0.0/8', 'uniquelocal']]) {
      const web = await aWeb(world, { trustedProxies, limits: { wrongKeysPerMinute: 2 } })
      const ask = forwarded(web)
      expect([
        await ask('203.0.113.1'),
        await ask('203.0.113.2'),
        await ask('203.0.113.3'),
        await ask('127.0.0.2'),
      ]).toEqual([401, 401, 429, 429])
      expect(web.logged()).not.toContain('203.0.113')
    }
  })

  test.each([['loopback'], ['127.0.0.1'], ['127.0.0.0/8'], ['::ffff:127.0.0.1']])(
    'names the client where the sender is trusted: %s',
    async (proxy) => {
      const web = await aWeb(world, { trustedProxies: [proxy], limits: { wrongKeysPerMinute: 1 } })
      const ask = forwarded(web)
      expect([
        await ask('203.0.113.1'),
        await ask('203.0.113.1'),
        await ask('203.0.113.2'),
        await ask('203.0.113.2'),
      ]).toEqual([401, 429, 401, 429])
      expect(web.logged()).toContain('"client":"203.0.113.2"')
      // The entries that the client itself wrote come before the proxy's entry and are ignored.
      expect(await ask('198.51.100.7, 203.0.113.1')).toBe(429)
      expect(await ask('127.0.0.1, 203.0.113.1')).toBe(429)
      // With two proxies, both must be trusted.
      expect(await ask('203.0.113.1, 127.0.0.9')).toBe(proxy === 'loopback' || proxy.endsWith('/8') ? 429 : 401)
      // Some proxies append the port, and an IPv6 client counts as its whole network.
      expect(await ask('203.0.113.1:4711')).toBe(429)
      expect([
        await ask('2001:db8::1'),
        await ask('2001:db8::2'),
        await ask('[2001:db8::3]:4711'),
        await ask('2001:db8:0:1::1'),
      ]).toEqual([401, 429, 429, 401])
    },
  )

  test('X-Forwarded-Host and -Proto change nothing, trusted or not', async () => {
    for (const trustedProxies of [[], ['loopback']]) {
      const web = await aWeb(world, { trustedProxies, publicUrl: 'http://127.0.0.1:3000' })
      const spoofed = {
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        forwarded: 'host=evil.example;proto=https',
        'x-forwarded-port': '1',
      }
      for (const path of ['/r/x', '/callback', '/callback?state=a&code=b', '/v1/openapi.json', '/readyz', '/nope']) {
        const [plain, other] = [await web.get(path), await web.get(path, { headers: spoofed })]
        expect(other.status).toBe(plain.status)
        expect(other.body).toBe(plain.body)
        expect(other.location.replace(/[\w-]{22}$/, '')).toBe(plain.location.replace(/[\w-]{22}$/, ''))
        const steady = ({ headers }: typeof plain) =>
          [...headers].filter(([name]) => name !== 'date' && name !== 'location')
        expect(steady(other)).toEqual(steady(plain))
      }
    }
  })
})
