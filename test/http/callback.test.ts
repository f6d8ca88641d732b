// The callback over real HTTP: it is committed before it is answered, every state gets the same answer, and nothing is
// lost when the database is unavailable.
import { Duration } from 'luxon'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { receiveCallback } from '../../src/processors/receive-callback.ts'
import { openStore } from '../../src/store/open-store.ts'
import { createDatabase } from '../setup/database.ts'
import { holdLocks } from '../setup/locks.ts'
import { startWorld, type World } from '../setup/world.ts'
import { anAskedConsent, aWeb, form, startWeb, theCallback, WITH_KEY, type Answer, type Web } from './web.ts'
import { planting } from '../setup/plant.ts'

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

const statusesOf = async (consentId: string): Promise<string[]> =>
  (await world.authorisationsOf(consentId)).map(({ status }) => status)
const STATE = 's'.repeat(43)
const OK_STATE = { state: STATE }

/** The parts of an answer that the browser sees, without the random part of the redirect's address. */
const shapeOf = ({ status, headers, location, body }: Answer) => ({
  status,
  location: location.replace(/[A-Za-z0-9_-]{22}$/, '<22 characters>'),
  body,
  headers: [...headers].filter(([name]) => name !== 'date' && name !== 'location'),
})

describe('a code', () => {
  test('by GET is committed before the answer, which leads to a page without code or state', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const answer = await web.get(`/callback?${query}`)
    expect(await statusesOf(consent.id)).toEqual(['code_received'])
    expect(answer.status).toBe(303)
    expect(answer.location).toMatch(/^\/done\/[A-Za-z0-9_-]{22}$/)
    const done = await web.get(answer.location)
    expect([done.status, done.body]).toEqual([200, expect.stringContaining('being checked')])
    for (const secret of query.values()) expect(done.body + answer.location).not.toContain(secret)
  })

  test('by POST (form_post) is the same', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const answer = await web.post('/callback', { body: query })
    expect(await statusesOf(consent.id)).toEqual(['code_received'])
    expect([answer.status, answer.location]).toEqual([303, expect.stringMatching(/^\/done\//)])
  })

  test('that comes twenty times at once is taken once, and exchanged once', async () => {
    const consent = await anAskedConsent(world)
    const path = `/callback?${await theCallback(world, consent.id)}`
    const answers = await Promise.all(Array.from({ length: 20 }, async () => web.get(path)))
    expect(new Set(answers.map(({ location }) => location)).size).toBe(1)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([303]))
    const events = (await world.eventsOf(consent.id)).filter(({ type }) => type === 'authorisation.code-received')
    expect(events).toHaveLength(1)
    await world.drain()
    expect(world.simulator.ledger.count({ what: 'exchange', credentials_id: consent.credentialsId })).toBe(1)
    // A replay after the renewal changes nothing either.
    expect((await web.get(path)).location).toBe(answers[0]?.location)
    await world.drain()
    expect(world.simulator.ledger.count({ what: 'exchange', credentials_id: consent.credentialsId })).toBe(1)
  })

  test('is still taken after a refusal with the same state', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    await web.get(`/callback?${new URLSearchParams({ state: query.get('state') ?? '', error: 'access_denied' })}`)
    expect(await statusesOf(consent.id)).toEqual(['refused'])
    await web.get(`/callback?${query}`)
    expect(await statusesOf(consent.id)).toEqual(['code_received'])
  })

  test('is not taken by HEAD, which changes nothing', async () => {
    const consent = await anAskedConsent(world)
    const path = `/callback?${await theCallback(world, consent.id)}`
    expect((await web.get(path, { method: 'HEAD' })).status).toBe(404)
    expect(await statusesOf(consent.id)).toEqual(['issued'])
  })

  test('for a consent that no longer accepts codes gets the same answer', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    await planting(world.db).renewal.updateMany({
      where: { consentId: consent.id },
      data: { status: 'cancelled', closedAt: new Date() },
    })
    const answer = await web.get(`/callback?${query}`)
    expect(answer.status).toBe(303)
    expect((await web.get(answer.location)).status).toBe(410)
  })
})

describe('the answer', () => {
  test('to a known, a repeated and an unknown state has the same shape', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const first = await web.get(`/callback?${query}`)
    const again = await web.get(`/callback?${query}`)
    const unknown = await web.get(`/callback?${new URLSearchParams({ state: STATE, code: 'a-code' })}`)
    const byPost = await web.post('/callback', form({ state: STATE, error: 'access_denied' }))
    expect(shapeOf(again)).toEqual(shapeOf(first))
    expect(shapeOf(unknown)).toEqual(shapeOf(first))
    expect(shapeOf(byPost)).toEqual(shapeOf(first))
    expect((await web.get(unknown.location)).status).toBe(404)
  })

  test('to an unknown state costs no call to the provider', async () => {
    await world.drain()
    const before = world.simulator.ledger.count({})
    await web.get(`/callback?${new URLSearchParams({ state: STATE, code: 'a-code' })}`)
    await world.drain()
    expect(world.simulator.ledger.count({})).toBe(before)
  })

  test('to too many unknown states is to wait; a valid state is accepted all the same', async () => {
    const strict = await aWeb(world, { limits: { unknownPerMinute: 2 } })
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const guess = async () => (await strict.get(`/callback?${new URLSearchParams({ state: STATE, code: 'x' })}`)).status
    expect([await guess(), await guess(), await guess(), await guess()]).toEqual([303, 303, 429, 429])
    expect((await strict.get(`/callback?${query}`)).status).toBe(303)
    expect(await statusesOf(consent.id)).toEqual(['code_received'])
  })
})

describe('requests that are no callback', () => {
  const long = (length: number) => 'x'.repeat(length)
  test.each<[string, string]>([
    ['a state alone', `state=${STATE}`],
    ['a code alone', 'code=a'],
    ['an empty state', 'state=&code=a'],
    ['an empty code', `state=${STATE}&code=`],
    ['code and error', `state=${STATE}&code=a&error=b`],
    ['two states', `state=${STATE}&state=${STATE}&code=a`],
    ['two states, one empty', `state=${STATE}&state=&code=a`],
    ['two codes', `state=${STATE}&code=a&code=b`],
    ['two errors', `state=${STATE}&error=a&error=b`],
    ['state[]', `state[]=${STATE}&code=a`],
    ['state[] beside a state that is too long', `state[]=a&state=${long(513)}&code=a`],
    ['state as an object', `state[a]=${STATE}&code=a`],
    ['code[]', `state=${STATE}&code[]=a`],
    ['NUL in the state', `state=${STATE}%00&code=a`],
    ['NUL in the code', `state=${STATE}&code=a%00`],
    ['NUL in the error', `state=${STATE}&error=a%00`],
    ['bytes that are no UTF-8', `state=%ff%fe&code=a`],
    ['a control character', `state=${STATE}&code=a%0d%0ab`],
    ['an emoji', `state=${STATE}&code=%F0%9F%92%A5`],
    ['a state of 513', `state=${long(513)}&code=a`],
    ['a code of 4,097', `state=${STATE}&code=${long(4097)}`],
    ['__proto__', `__proto__=x&code=a`],
  ])('%s: a neutral page, by GET and by POST', async (_, text) => {
    const calls = world.simulator.ledger.count({})
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    for (const answer of [await web.get(`/callback?${text}`), await web.post('/callback', { body: text, headers })]) {
      expect(answer.status).toBe(400)
      expect(answer.body).toContain('could not be understood')
      expect(answer.body).not.toContain(STATE)
    }
    expect(world.simulator.ledger.count({})).toBe(calls)
  })

  test.each([
    ['en', 'still works'],
    ['de', 'gilt weiterhin'],
    ['fr', 'reste valable'],
    ['es', 'sigue funcionando'],
    ['it', 'è ancora valido'],
    ['pl', 'nadal działa'],
  ])('no parameters, as when an error is in the fragment: the way back, in %s', async (language, words) => {
    for (const query of ['', '?', '?state=&code=', '?iss=https://bank.example', '/', '/?']) {
      const answer = await web.get(`/callback${query}`, { headers: { 'accept-language': language } })
      expect([answer.status, answer.body]).toEqual([200, expect.stringContaining(words)])
      expect(answer.body).toContain(`<html lang="${language}">`)
      expect(answer.body).toContain('Brightside')
      expect(answer.body).not.toMatch(/<script/i)
    }
    expect((await web.post('/callback', { headers: { 'accept-language': language } })).status).toBe(400)
  })

  test('parameters that banks add do no harm', async () => {
    const query = new URLSearchParams({
      ...OK_STATE,
      code: 'a',
      scope: 'info',
      error_description: '',
      session_state: 'x',
      iss: 'https://bank',
    })
    expect((await web.get(`/callback?${query}&scope=again`)).status).toBe(303)
    expect(
      (await web.get(`/callback?${new URLSearchParams({ state: 'x'.repeat(512), code: 'x'.repeat(4096) })}`)).status,
    ).toBe(303)
  })

  test.each([
    ['JSON', 'application/json', JSON.stringify({ ...OK_STATE, code: 'a' }), 400],
    ['plain text', 'text/plain', `state=${STATE}&code=a`, 400],
    [
      'a file',
      'multipart/form-data; boundary=x',
      `--x\r\ncontent-disposition: form-data; name="state"\r\n\r\na\r\n--x--`,
      400,
    ],
    ['an unreadable type', 'x', 'y', 400],
    ['1 MB', 'application/x-www-form-urlencoded', `state=${'x'.repeat(1024 * 1024)}`, 413],
    ['a little too much', 'application/x-www-form-urlencoded', `state=${'x'.repeat(16 * 1024)}`, 413],
  ])('a body of %s: a neutral page', async (_, type, body, status) => {
    const answer = await web.post('/callback', { body, headers: { 'content-type': type } })
    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining('could not be understood')])
  })

  test('a body without a type, and no body at all', async () => {
    expect((await web.post('/callback')).status).toBe(400)
    expect((await web.post('/callback', { body: new Uint8Array([0, 1, 2]) })).status).toBe(400)
  })
})

describe('with the database unavailable', () => {
  /** A web server with its own store, whose database can be made unavailable. */
  const aWebThatLosesItsDatabase = async () => {
    const address = await createDatabase()
    const { store, close } = openStore({ url: new Secret(address), vault: world.vault, connections: 2 })
    const server = await aWeb(world, {
      receiveCallback: receiveCallback({
        store,
        enqueue: async () => undefined,
        clock: world.clock,
        queuedFor: Duration.fromMillis(0),
      }),
    })
    const admin = new pg.Client({ connectionString: new URL('/postgres', address).href })
    await admin.connect()
    await admin.query(`DROP DATABASE ${new URL(address).pathname.slice(1)} WITH (FORCE)`)
    await admin.end()
    return { server, close }
  }
  const secrets = { state: "st&te'<b>", code: 'c0de +/="&<>' }

  test('GET: 503 with a page that repeats the same request by itself', async () => {
    const { server, close } = await aWebThatLosesItsDatabase()
    const answer = await server.get(`/callback?${new URLSearchParams(secrets)}`)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('5')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const [, refreshed] = /http-equiv="refresh" content="5; url=([^"]+)"/.exec(answer.body) ?? []
    const [, linked] = /<a class="button" href="([^"]+)"/.exec(answer.body) ?? []
    expect(linked).toBe(refreshed)
    const repeated = new URL((linked ?? '').replaceAll('&amp;', '&').replaceAll('&#39;', "'"), server.url)
    expect(Object.fromEntries(repeated.searchParams)).toEqual(secrets)
    expect(server.logged()).not.toContain('c0de')
    await close()
  })

  test('POST: 503 with a form that repeats it', async () => {
    const { server, close } = await aWebThatLosesItsDatabase()
    const answer = await server.post('/callback', form({ state: 'a-state', error: 'access_denied' }))
    expect(answer.status).toBe(503)
    expect(answer.headers.get('content-security-policy')).toContain("form-action 'self'")
    expect(answer.body).toContain('<form method="post" action="/callback">')
    const fields = [...answer.body.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map(
      ([, name, value]) => [name, value],
    )
    expect(Object.fromEntries(fields)).toEqual({ state: 'a-state', error: 'access_denied' })
    await close()
  })

  test('the API says that nothing was stored', async () => {
    const { server, close } = await aWebThatLosesItsDatabase()
    const answer = await server.post('/v1/callbacks', {
      body: JSON.stringify(secrets),
      headers: { ...WITH_KEY, 'content-type': 'application/json' },
    })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
    expect(JSON.parse(answer.body)).toMatchObject({ type: 'urn:problem-type:reconsent:temporarily-unavailable' })
    await close()
  })

  test('a database that does not answer: the user is told in time; a repetition finds what was committed', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const receive = receiveCallback({
      store: world.store,
      enqueue: async () => undefined,
      clock: world.clock,
      queuedFor: Duration.fromMillis(0),
    })
    const server = await aWeb(world, { receiveCallback: receive, times: { commitWithinMs: 200 } })
    const held = await holdLocks(world.db, 'SELECT 1 FROM consents WHERE id = $1 FOR UPDATE', [consent.id])
    expect((await server.get(`/callback?${query}`)).status).toBe(503)
    await held.commit()
    expect((await server.get(`/callback?${query}`)).status).toBe(303)
    expect(await statusesOf(consent.id)).toEqual(['code_received'])
  })
})
