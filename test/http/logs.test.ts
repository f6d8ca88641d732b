// Secrets planted in every part of a request: none may appear in a log line, whatever happens to the request.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startWorld, type World } from '../setup/world.ts'
import { anAskedConsent, API_KEY, aWeb, form, startWeb, theCallback, WITH_KEY, type Web } from './web.ts'

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

interface Line {
  readonly msg: string
  readonly route?: string
  readonly method?: string
  readonly status?: number
}

const linesOf = (server: Web): Line[] =>
  server
    .logged()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)

describe('the log', () => {
  test('has one line per request, by route pattern', async () => {
    const server = await aWeb(world)
    await server.get('/r/planted')
    await server.post('/r/planted')
    await server.get('/planted?code=planted')
    await server.get('/livez')
    await expect.poll(() => linesOf(server).length).toBe(4)
    expect(linesOf(server).map(({ msg, method, route, status }) => [msg, method, route, status])).toEqual([
      ['answered', 'GET', '/r/:token', 404],
      ['answered', 'POST', '/r/:token', 404],
      ['answered', 'GET', 'none', 404],
      ['answered', 'GET', '/livez', 200],
    ])
  })

  test('holds no code, state, link, token, key or address of a whole visit to the bank and back', async () => {
    const consent = await anAskedConsent(world)
    const token = await world.startToken(consent.id)
    await web.get(`/r/${token}`)
    const { location: link } = await web.post(`/r/${token}`)
    const query = await theCallback(world, consent.id)
    const { location } = await web.get(`/callback?${query}`)
    await web.get(location)
    await web.post('/v1/callbacks', {
      body: JSON.stringify(Object.fromEntries(query)),
      headers: { ...WITH_KEY, 'content-type': 'application/json' },
    })
    const logged = web.logged()
    for (const secret of [
      token,
      link,
      new URL(link).pathname,
      query.get('code'),
      query.get('state'),
      consent.email,
      API_KEY,
      location,
    ]) {
      expect(secret).toBeTruthy()
      expect(logged).not.toContain(secret)
    }
  })

  test('nor of requests that fail: in their shape, in the database, in our own code', async () => {
    const failing = await aWeb(world, {
      receiveCallback: async () => Promise.reject(new Error('planted-in-the-message code=planted')),
      visitStartPage: async (token) => Promise.reject(Object.assign(new Error(`no ${token}`), { meta: token })),
      getRenewalPageByDoneId: async (id) => Promise.reject(Object.assign(new TypeError(id), { code: 'P2025' })),
    })
    const fields = { state: 'planted-state', code: 'planted-code' }
    const answers = [
      await failing.get(`/callback?${new URLSearchParams(fields)}`),
      await failing.post('/callback', form(fields)),
      await failing.get('/callback?state=planted-state&state=b'),
      await failing.post('/callback', { body: 'planted', headers: { 'content-type': 'application/json' } }),
      await failing.get('/r/planted-token'),
      await failing.get(`/done/${'planted-'.padEnd(22, 'x')}`),
      await failing.get('/%planted'),
      await failing.get(`/r/${'planted.'.repeat(100)}`),
      await failing.post('/v1/callbacks', {
        body: JSON.stringify(fields),
        headers: { ...WITH_KEY, 'content-type': 'application/json' },
      }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 400, 400, 500, 500, 404, 404, 503])
    expect(failing.logged()).not.toContain('planted')
    expect(failing.logged()).toContain('P2025')
    // Only the page that repeats the callback holds the request's values.
    for (const answer of answers.slice(2)) expect(answer.body).not.toContain('planted')
  })
})
