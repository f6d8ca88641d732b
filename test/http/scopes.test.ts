// Every route of the API refuses whoever has no key, and every key without its scope: enumerated from the router, so
// that a route that is added later is tried, too.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ApiScope, apiScopeNames } from '../../src/domain/api-scopes.ts'
import { apiKeys } from '../../src/store/api-keys.ts'
import { startWorld, type World } from '../setup/world.ts'
import { pathOf, type Route, withRoutes } from './routes-of.ts'
import { startWeb, type Web } from './web.ts'

/** What describes the API needs no key. */
const OPEN = ['/v1/openapi.json', '/v1/docs', '/v1/docs/style.css']

let world: World
let web: Web
let routes: readonly Route[]
const keyWith = new Map<ApiScope, string>()
beforeAll(async () => {
  world = await startWorld()
  const started = await withRoutes(async () => startWeb(world, { keyringTimes: { lookAgainAfterMs: 0 } }))
  web = started.made
  routes = started.routes.filter(({ url }) => url.startsWith('/v1'))
  for (const scope of apiScopeNames) {
    const wanted = { name: scope.replace(':', '-'), scopes: [scope], expiresAt: undefined, now: world.clock.now() }
    const created = await apiKeys(world.db).createApiKey(wanted)
    if (created.kind === 'created') keyWith.set(scope, created.secret.reveal())
  }
})
afterAll(async () => {
  await web.close()
  await world.close()
})

const call = async ({ method, url }: Route, key?: string): Promise<number> => {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  return (await fetch(`${web.url}${pathOf(url, 'x')}`, { method, headers })).status
}

test('the router has routes of the API, and each names a known scope but those that describe it', () => {
  const closed = routes.filter(({ url }) => !OPEN.includes(url))
  expect(closed.length).toBeGreaterThanOrEqual(5)
  for (const route of closed) expect(apiScopeNames).toContain(route.scope)
})

test('each refuses a parameter that it does not know, by its name', async () => {
  for (const { method, url, scope } of routes.filter((route) => !OPEN.includes(route.url) && route.method !== 'HEAD')) {
    const headers = { authorization: `Bearer ${keyWith.get(scope as ApiScope) ?? ''}` }
    const answer = await fetch(`${web.url}${pathOf(url, 'x')}?planted=1`, { method, headers })
    const { errors = [] } = (await answer.json()) as { errors?: { parameter?: string }[] }
    const isNamed = errors.some(({ parameter }) => parameter === 'planted')
    // A missing body is told first.
    const isBody = errors.some((error) => 'pointer' in error)
    expect([method, url, answer.status, isNamed || isBody]).toEqual([method, url, 400, true])
  }
})

test('each refuses without a key, with a wrong one, and with one of every other scope; not with its own', async () => {
  for (const route of routes.filter(({ url }) => !OPEN.includes(url))) {
    const name = `${route.method} ${route.url}`
    expect([name, await call(route)]).toEqual([name, 401])
    // Few of these are counted before the limit.
    expect([401, 429]).toContain(await call(route, 'rck_wrong'))
    for (const [scope, key] of keyWith) {
      const status = await call(route, key)
      const refused = status === 401 || status === 403
      expect([name, scope, refused ? status : 'served']).toEqual([name, scope, scope === route.scope ? 'served' : 403])
    }
  }
})
