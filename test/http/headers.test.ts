// Every header that matters, per route: readable tables, so that a change of a header is noticed.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startWorld, type World } from '../setup/world.ts'
import { plans } from '../queue/setup.ts'
import { createDatabase } from '../setup/database.ts'
import { makeLog } from '../../src/log.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { queueNames } from '../../src/queue/catalogue.ts'
import { Secret } from '../../src/secret.ts'
import { stylesheetHref } from '../../src/http/pages/stylesheet.ts'
import { anAskedConsent, aWeb, startWeb, theCallback, WITH_KEY, type Answer, type Web } from './web.ts'

let world: World
let web: Web
beforeAll(async () => {
  world = await startWorld()
  web = await startWeb(world)
})
afterAll(async () => {
  await web.close()
  await world.close()
})

/** All headers except those that differ from answer to answer. */
const headersOf = ({ headers }: Answer): Record<string, string> =>
  Object.fromEntries(
    [...headers].filter(
      ([name]) => !['date', 'content-length', 'location', 'connection', 'keep-alive', 'retry-after'].includes(name),
    ),
  )

const policyWith = (formAction: string): string =>
  `default-src 'none';style-src 'self';form-action ${formAction};base-uri 'none';frame-ancestors 'none'`

const strict = {
  'cache-control': 'no-store',
  'content-security-policy': policyWith("'none'"),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-robots-tag': 'noindex, nofollow',
  'x-xss-protection': '0',
}
const html = { ...strict, 'content-type': 'text/html; charset=utf-8' }
const json = { ...strict, 'content-type': 'application/json; charset=utf-8' }
const toBanks = { 'content-security-policy': policyWith("'self' https: http://127.0.0.1:* http://localhost:*") }
const toUs = { 'content-security-policy': policyWith("'self'") }

describe('headers of', () => {
  test('the start page, and the way to the bank', async () => {
    const consent = await anAskedConsent(world)
    const path = `/r/${await world.startToken(consent.id)}`
    expect(headersOf(await web.get(path))).toEqual({ ...html, ...toBanks })
    expect(headersOf(await web.post(path))).toEqual({ ...strict, ...toBanks })
    expect(headersOf(await web.get('/r/x'))).toEqual({ ...html, ...toBanks })
  })

  test('the callback and the page after it', async () => {
    const consent = await anAskedConsent(world)
    const answer = await web.get(`/callback?${await theCallback(world, consent.id)}`)
    expect(headersOf(answer)).toEqual({ ...strict, ...toUs })
    expect(headersOf(await web.get(answer.location))).toEqual(html)
    expect(headersOf(await web.get('/callback'))).toEqual({ ...html, ...toUs })
    const body = 'x'.repeat(20_000)
    expect(
      headersOf(
        await web.post('/callback', { body, headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
      ),
    ).toEqual({ ...html, ...toUs })
  })

  test('refusals: too many guesses, and a callback that could not be stored', async () => {
    const callback = '/callback?state=a&code=b'
    const strictLimits = await aWeb(world, { limits: { unknownPerMinute: 0 } })
    const tooMany = await strictLimits.get(callback)
    expect([tooMany.status, headersOf(tooMany)]).toEqual([429, { ...html, ...toUs }])
    const failing = await aWeb(world, { receiveCallback: async () => Promise.reject(new Error('no database')) })
    const notStored = await failing.get(callback)
    expect([notStored.status, headersOf(notStored)]).toEqual([503, { ...html, ...toUs }])
  })

  test('the API', async () => {
    expect(headersOf(await web.get('/v1/events', { headers: WITH_KEY }))).toEqual(json)
    const problem = { ...strict, 'content-type': 'application/problem+json; charset=utf-8' }
    expect(headersOf(await web.get('/v1/events'))).toEqual({
      ...problem,
      'www-authenticate': 'Bearer realm="Reconsent API"',
    })
    expect(headersOf(await web.get('/v1/nope'))).toEqual(problem)
    expect(headersOf(await web.get('/v1/openapi.json'))).toEqual(json)
  })

  test('health and metrics', async () => {
    for (const path of ['/livez', '/readyz']) expect(headersOf(await web.get(path))).toEqual(json)
    expect(headersOf(await web.get('/metrics'))).toEqual({
      ...strict,
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })

  test('the stylesheet: cached for ever under the address that names its content', async () => {
    const css = { ...strict, 'content-type': 'text/css; charset=utf-8' }
    expect(headersOf(await web.get(stylesheetHref))).toEqual({
      ...css,
      'cache-control': 'public, max-age=31536000, immutable',
    })
    expect(headersOf(await web.get('/assets/style.css?v=old'))).toEqual(css)
  })

  test('addresses that do not exist, and addresses that cannot be read', async () => {
    for (const path of ['/', '/nope', '/r', '/.git/config', '/done'])
      expect(headersOf(await web.get(path))).toEqual(html)
    const bare = {
      'cache-control': 'no-store',
      'content-security-policy': policyWith("'none'"),
      'content-type': 'text/html; charset=utf-8',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    }
    for (const path of ['/%', '/r/%ff', `/r/${'.a'.repeat(250)}`]) {
      const answer = await web.get(path)
      expect([answer.status, headersOf(answer)]).toEqual([404, bare])
    }
  })

  test('an https server: HSTS, and forms that lead to https alone', async () => {
    const secure = await aWeb(world, { publicUrl: 'https://consents.example.com' })
    const answer = await secure.get('/r/x')
    expect(headersOf(answer)).toEqual({
      ...html,
      'content-security-policy': policyWith("'self' https:"),
      'strict-transport-security': 'max-age=31536000',
    })
  })
})

test('the board keeps its own policy, behind its login, in addition to all other headers', async () => {
  const backend = await openBackend(
    { kind: 'postgres', url: new Secret(await createDatabase()) },
    { log: makeLog({ level: 'silent' }), plans },
  )
  try {
    const board = {
      queues: queueNames.map((name) => backend.queue(name)),
      user: 'ops',
      password: new Secret('a password'),
      allowDestructive: false,
    }
    const server = await aWeb(world, { board })
    expect((await server.get('/ops/queues')).status).toBe(401)
    const headers = { authorization: `Basic ${Buffer.from('ops:a password').toString('base64')}` }
    const page = await server.get('/ops/queues', { headers })
    expect([page.status, page.headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'")
    expect(page.headers.get('content-security-policy')).not.toContain("form-action 'none';base-uri")
    expect((await server.get('/ops/queues/api/queues?activeQueue=reauth&page=1', { headers })).status).toBe(200)
    expect((await server.get('/nope')).status).toBe(404)
  } finally {
    await backend.close()
  }
})

test('every page asks for one stylesheet and nothing else, without inline style or script', async () => {
  const consent = await anAskedConsent(world)
  const pages = [
    await web.get(`/r/${await world.startToken(consent.id)}`),
    await web.get('/nope'),
    await web.get('/callback'),
  ]
  for (const { body } of pages) {
    expect(body.match(/(?:src|href)="[^"]*"/g)).toEqual([`href="${stylesheetHref}"`])
    expect(body).not.toMatch(/<script|<style|style=|onclick/i)
  }
})
