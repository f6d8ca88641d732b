// Keys of the API in the database: what each may do, when it begins and ends, and what happens while the database is
// away.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ApiScope } from '../../src/domain/api-scopes.ts'
import { apiKeys } from '../../src/store/api-keys.ts'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import { until } from '../setup/company.ts'
import { holdLocks } from '../setup/locks.ts'
import { startWorld, type World } from '../setup/world.ts'
import { type Answer, API_KEY, aWeb, startWeb, type Web } from './web.ts'

let proxy: FaultProxy
let world: World
let web: Web
let keys: ReturnType<typeof apiKeys>
beforeAll(async () => {
  world = await startWorld({
    through: async (direct) => {
      const url = new URL(direct)
      const target = Number(url.port)
      proxy = await startFaultProxy({ targets: () => [target] })
      url.port = String(proxy.port)
      return url.href
    },
  })
  keys = apiKeys(world.db)
  // Knows a new key at once; what takes effect within five seconds is tried at the usual times.
  web = await startWeb(world, { keyringTimes: { lookAgainAfterMs: 0 } })
})
afterAll(async () => {
  await web.close()
  await world.close()
  await proxy.close()
})

let made = 0
const aKey = async (scopes: readonly ApiScope[], over: { name?: string; expiresInMinutes?: number } = {}) => {
  const { name = `key-${(made += 1)}`, expiresInMinutes } = over
  const now = world.clock.now()
  const expiresAt = expiresInMinutes === undefined ? undefined : now.plus({ minutes: expiresInMinutes })
  const created = await keys.createApiKey({ name, scopes, expiresAt, now })
  if (created.kind !== 'created') throw new Error(`no key was made: ${created.kind}`)
  return { name, key: created.secret.reveal() }
}
const withKey = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
const readEvents = async (key: string, on: Web = web): Promise<Answer> => on.get('/v1/events', withKey(key))

describe('a key', () => {
  test('has a prefix by which scanners find it, and 256 random bits; only its hash is stored', async () => {
    const { name, key } = await aKey(['events:read'])
    expect(key).toMatch(/^rck_[\w-]{43}$/)
    const rows = await world.db.sql.$queryRaw<object[]>`SELECT * FROM api_keys WHERE name = ${name}`
    expect(JSON.stringify(rows)).not.toContain(key.slice(4))
    expect((await readEvents(key)).status).toBe(200)
  })

  test('opens the routes of its scopes and no other', async () => {
    const { key } = await aKey(['events:read', 'callbacks:write'])
    expect((await readEvents(key)).status).toBe(200)
    const refused = await web.get('/v1/consents/x', withKey(key))
    expect(refused.status).toBe(403)
    expect(refused.body).toContain('consents:read')
  })

  test('that is created while everything runs works within five seconds, in every process', async () => {
    const processes = [await aWeb(world), await aWeb(world)]
    for (const server of processes) await readEvents('a wrong key', server)
    const { key } = await aKey(['events:read'])
    for (const server of processes)
      await until('the new key', async () => ((await readEvents(key, server)).status === 200 ? true : undefined), 5_000)
  })

  test('that is revoked is refused within five seconds, and its name is free', async () => {
    const { name, key } = await aKey(['events:read'])
    const { key: another } = await aKey(['events:read'])
    expect((await readEvents(key)).status).toBe(200)
    expect(await keys.revokeApiKey(name, world.clock.now())).toMatchObject({ name })
    await until('the refusal', async () => ((await readEvents(key)).status === 401 ? true : undefined), 5_000)
    expect((await readEvents(another)).status).toBe(200)
    expect(await keys.revokeApiKey(name, world.clock.now())).toBeUndefined()
    const { key: next } = await aKey(['events:read'], { name })
    await until('the new key', async () => ((await readEvents(next)).status === 200 ? true : undefined), 5_000)
    expect((await readEvents(key)).status).toBe(401)
  })

  test('ends at its instant, says so to its owner, and leaves its name to the next', async () => {
    const { name, key } = await aKey(['events:read'], { expiresInMinutes: 30 })
    const again = { name, scopes: ['events:read'], expiresAt: undefined } as const
    expect((await readEvents(key)).status).toBe(200)
    expect(await keys.createApiKey({ ...again, now: world.clock.now() })).toEqual({ kind: 'name-taken' })
    world.clock.advance({ minutes: 30 })
    const refused = await readEvents(key)
    expect(refused.status).toBe(401)
    expect(refused.body).toContain('expired')
    expect(await keys.createApiKey({ ...again, now: world.clock.now() })).toMatchObject({ kind: 'created' })
  })
})

test('a key of API_KEYS_SHA256 may do everything but erase', async () => {
  const { configuredKeyScopes, apiScopeNames } = await import('../../src/domain/api-scopes.ts')
  expect(apiScopeNames.filter((scope) => !configuredKeyScopes.includes(scope))).toEqual(['people:erase'])
  expect((await readEvents(API_KEY)).status).toBe(200)
  expect((await web.get('/v1/consents/x', withKey(API_KEY))).status).toBe(404)
})

describe('while the database is away', () => {
  /** What a route answers then is another matter: this one needs no database, so the answer tells about the key. */
  const listEvents = async () => []

  test('the keys that were read last go on, for a time; no other key is called wrong', async () => {
    const times = { rereadAfterMs: 0, lookAgainAfterMs: 0, waitMs: 500 }
    const server = await aWeb(world, { listEvents, keyringTimes: times })
    const forgetful = await aWeb(world, { listEvents, keyringTimes: { ...times, outlivesMs: 500 } })
    const { key } = await aKey(['events:read'])
    for (const one of [server, forgetful]) expect((await readEvents(key, one)).status).toBe(200)
    await proxy.set({ kind: 'refuse' })
    try {
      expect((await readEvents(key, server)).status).toBe(200)
      // It is judged by its scopes as before.
      expect((await server.get('/v1/consents/x', withKey(key))).status).toBe(403)
      const perhapsNew = await readEvents('perhaps-made-since', server)
      expect([perhapsNew.status, perhapsNew.headers.get('retry-after')]).toEqual([503, '10'])
      await until('the end of the key', async () =>
        (await readEvents(key, forgetful)).status === 503 ? true : undefined,
      )
      expect((await readEvents(API_KEY, forgetful)).status).toBe(200)
    } finally {
      await proxy.set({ kind: 'pass' })
    }
    expect((await readEvents(key, forgetful)).status).toBe(200)
  })

  test('a database that is only busy lets no revoked key go on', async () => {
    const times = { rereadAfterMs: 300, lookAgainAfterMs: 0, waitMs: 100, goodForMs: 1_000 }
    const server = await aWeb(world, { listEvents, keyringTimes: times })
    const { name, key } = await aKey(['events:read'])
    expect((await readEvents(key, server)).status).toBe(200)
    await keys.revokeApiKey(name, world.clock.now())
    const held = await holdLocks(world.db, 'LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE', [])
    const refused = await until('the end of the key', async () => {
      const answer = await readEvents(key, server)
      return answer.status === 200 ? undefined : answer
    })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '10'])
    expect((await readEvents(API_KEY, server)).status).toBe(200)
    await held.commit()
    await until('the refusal', async () => ((await readEvents(key, server)).status === 401 ? true : undefined))
  })

  test('a database that is silent makes no request wait for long', async () => {
    const server = await aWeb(world, { listEvents, keyringTimes: { rereadAfterMs: 0, waitMs: 200 } })
    const { key } = await aKey(['events:read'])
    expect((await readEvents(key, server)).status).toBe(200)
    await proxy.set({ kind: 'blackhole' })
    try {
      const asked = performance.now()
      expect((await readEvents(key, server)).status).toBe(200)
      expect(performance.now() - asked).toBeLessThan(3_000)
    } finally {
      await proxy.set({ kind: 'pass' })
    }
  })
})
