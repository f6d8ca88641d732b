// The API for the company's own systems.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { randomUUID } from 'node:crypto'
import { CursorUnknown, TransientError } from '../../src/errors.ts'
import { listEvents } from '../../src/store/events.ts'
import { startWorld, type World } from '../setup/world.ts'
import { anAskedConsent, type Answer, API_KEY, aWeb, startWeb, theCallback, WITH_KEY, type Web } from './web.ts'
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

const json = (body: unknown, headers: Record<string, string> = WITH_KEY): RequestInit => ({
  body: typeof body === 'string' ? body : JSON.stringify(body),
  headers: { 'content-type': 'application/json', ...headers },
})
const reply = ({ status, body }: { status: number; body: string }) => [status, JSON.parse(body)]
/** What a problem says besides its title, which its type decides. */
const refusal = (answer: Answer) => {
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  const { type, title, status, ...rest } = JSON.parse(answer.body)
  expect([status, title]).toEqual([answer.status, expect.any(String)])
  return { status, type: type.replace('urn:problem-type:reconsent:', ''), ...rest }
}

describe('the key', () => {
  test.each<[string, Record<string, string>]>([
    ['none', {}],
    ['an empty one', { authorization: 'Bearer ' }],
    ['another', { authorization: 'Bearer nope' }],
    ['the hash itself', { authorization: 'Bearer 0123456789abcdef' }],
    ['two', { authorization: `Bearer ${API_KEY} ${API_KEY}` }],
    ['another scheme', { authorization: `Basic ${Buffer.from(`a:${API_KEY}`).toString('base64')}` }],
    ['the wrong case', { authorization: `Bearer ${API_KEY.toUpperCase()}` }],
  ])('%s is refused, on every route, before anything is read', async (_, headers) => {
    for (const answer of [
      await web.post('/v1/callbacks', json('not even JSON', headers)),
      await web.get('/v1/consents/x', { headers }),
      await web.get('/v1/events?limit=x', { headers }),
    ]) {
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="Reconsent API"')
      expect(refusal(answer)).toEqual({
        status: 401,
        type: 'unauthorized',
        detail: 'send an API key as Authorization: Bearer <key>',
      })
    }
  })

  test('may be any of the configured keys; without configured keys none is accepted', async () => {
    for (const key of [API_KEY, 'another key'.replace(' ', '%20'), API_KEY]) {
      expect((await web.get('/v1/events', { headers: { authorization: `bearer ${key}` } })).status).toBe(
        key === API_KEY ? 200 : 401,
      )
    }
    const closed = await aWeb(world, { apiKeyHashes: [] })
    expect((await closed.get('/v1/events', { headers: WITH_KEY })).status).toBe(401)
  })
})

describe('while the database is unavailable', () => {
  test('reading answers 503 with a time to come back, and does not name the cause', async () => {
    const gone = async () => Promise.reject(new TransientError('database-unavailable'))
    const away = await aWeb(world, { getConsentJson: gone, listEvents: gone })
    for (const path of ['/v1/consents/x', '/v1/events']) {
      const answer = await away.get(path, { headers: WITH_KEY })
      expect(refusal(answer)).toEqual({
        status: 503,
        type: 'temporarily-unavailable',
        detail: expect.stringContaining('repeat'),
      })
      expect(answer.headers.get('retry-after')).toBe('10')
      expect(answer.body).not.toContain('database')
    }
  })

  test('a bug stays a 500', async () => {
    const broken = await aWeb(world, { listEvents: async () => Promise.reject(new Error('planted')) })
    expect((await broken.get('/v1/events', { headers: WITH_KEY })).status).toBe(500)
  })
})

describe('POST /v1/callbacks', () => {
  /** What identifies the user, for a company that passes its callbacks on. */
  const whose = ({ credentialsId, userId }: { credentialsId: string; userId: string }) => ({
    credentials_id: credentialsId,
    user_id: userId,
  })

  test('takes a code once, says so when it is repeated, and when it is too late', async () => {
    const consent = await anAskedConsent(world)
    const body = Object.fromEntries(await theCallback(world, consent.id))
    expect(reply(await web.post('/v1/callbacks', json(body)))).toEqual([202, { result: 'accepted', ...whose(consent) }])
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status)).toEqual(['code_received'])
    expect(reply(await web.post('/v1/callbacks', json(body)))).toEqual([202, { result: 'already', ...whose(consent) }])
    const late = await anAskedConsent(world)
    const lateBody = Object.fromEntries(await theCallback(world, late.id))
    await planting(world.db).renewal.updateMany({
      where: { consentId: late.id },
      data: { status: 'cancelled', closedAt: new Date() },
    })
    expect(reply(await web.post('/v1/callbacks', json(lateBody)))).toEqual([202, { result: 'closed', ...whose(late) }])
  })

  test('takes a refusal', async () => {
    const consent = await anAskedConsent(world)
    const body = Object.fromEntries(await theCallback(world, consent.id, 'deny'))
    const refusal = { state: body['state'], error: body['error'] }
    expect(reply(await web.post('/v1/callbacks', json(refusal)))).toEqual([
      202,
      { result: 'accepted', ...whose(consent) },
    ])
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status)).toEqual(['refused'])
    expect(reply(await web.post('/v1/callbacks', json(refusal)))).toEqual([
      202,
      { result: 'already', ...whose(consent) },
    ])
  })

  test('names the user of an attempt that ended long ago', async () => {
    const consent = await anAskedConsent(world)
    const body = Object.fromEntries(await theCallback(world, consent.id))
    await web.post('/v1/callbacks', json(body))
    await world.drain()
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status)).toEqual(['renewed'])
    expect(reply(await web.post('/v1/callbacks', json(body)))).toEqual([202, { result: 'already', ...whose(consent) }])
  })

  test('refuses unknown states, and is never limited for it', async () => {
    const strict = await aWeb(world, { limits: { unknownPerMinute: 1 } })
    for (let call = 0; call < 4; call += 1) {
      expect(refusal(await strict.post('/v1/callbacks', json({ state: 'foreign', code: 'x' })))).toMatchObject({
        status: 404,
        type: 'unknown-state',
      })
    }
  })

  const state = 'a-planted-state'
  test.each<[string, unknown, [string, string][]]>([
    ['no state', { code: 'x' }, [['#/state', 'is missing']]],
    [
      'nothing in it',
      {},
      [
        ['#/state', 'is missing'],
        ['#', 'must have exactly one of code and error'],
      ],
    ],
    ['neither code nor error', { state }, [['#', 'must have exactly one of code and error']]],
    ['both', { state, code: 'x', error: 'y' }, [['#', 'must have exactly one of code and error']]],
    ['a number', { state: 12, code: 'x' }, [['#/state', 'must be a text']]],
    ['a list', { state: [state], code: 'x' }, [['#/state', 'must be a text']]],
    [
      'null',
      { state, code: null, error: 'x' },
      [
        ['#/code', 'must be a text'],
        ['#', 'must have exactly one of code and error'],
      ],
    ],
    ['an empty state', { state: '', code: 'x' }, [['#/state', 'must have at least 1 character']]],
    ['NUL', { state: `${state}\u0000`, code: 'x' }, [['#/state', 'must hold printable ASCII characters alone']]],
    ['a long code', { state, code: 'x'.repeat(4097) }, [['#/code', 'must have at most 4096 characters']]],
    ['a list at the top', [], [['#', 'must be an object']]],
    ['text', '{"state":', [['#', 'is not valid JSON']]],
    ['nothing', '', [['#', 'is missing']]],
    ['a poisoned prototype', '{"__proto__":{"x":1}}', [['#', 'is not valid JSON']]],
    [
      'several at once',
      { state: 1, code: null, error: '' },
      [
        ['#/state', 'must be a text'],
        ['#/code', 'must be a text'],
        ['#/error', 'must have at least 1 character'],
        ['#', 'must have exactly one of code and error'],
      ],
    ],
  ])('%s: 400, says what and where, repeats no value', async (_, body, wrong) => {
    const answer = await web.post('/v1/callbacks', json(body))
    const { detail, errors, ...rest } = refusal(answer)
    expect(rest).toEqual({ status: 400, type: 'invalid-request' })
    expect(errors).toEqual(wrong.map(([pointer, says]) => ({ pointer, detail: says })))
    expect(detail).toContain(wrong[0]?.[1])
    expect(answer.body).not.toContain(state)
  })

  test('lets parameters through that a bank adds: they must not cost a code', async () => {
    const consent = await anAskedConsent(world)
    const body = { ...Object.fromEntries(await theCallback(world, consent.id)), iss: 'https://bank.example' }
    expect((await web.post('/v1/callbacks', json(body))).status).toBe(202)
  })

  test('refuses other content types and 1 MB', async () => {
    const form = await web.post('/v1/callbacks', { body: new URLSearchParams({ state, code: 'x' }), headers: WITH_KEY })
    expect(refusal(form)).toEqual({
      status: 415,
      type: 'unsupported-media-type',
      detail: 'the body must be application/json',
    })
    const large = await web.post('/v1/callbacks', json({ state, code: 'x'.repeat(1024 * 1024) }))
    expect(refusal(large)).toEqual({
      status: 413,
      type: 'body-too-large',
      detail: 'the body is larger than 16384 bytes',
    })
  })
})

describe('GET /v1/consents/:id', () => {
  test('finds a consent by our id and by the credentials_id', async () => {
    const { id, credentialsId } = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 60 }) })
    for (const name of [id, credentialsId]) {
      expect(reply(await web.get(`/v1/consents/${name}`, { headers: WITH_KEY }))).toEqual([
        200,
        expect.objectContaining({ id, credentials_id: credentialsId, status: 'active', events: [] }),
      ])
    }
  })

  test('answers 404 when there is no such consent', async () => {
    for (const id of [randomUUID(), 'x', '..', "'--"]) {
      expect(refusal(await web.get(`/v1/consents/${encodeURIComponent(id)}`, { headers: WITH_KEY }))).toMatchObject({
        status: 404,
        type: 'not-found',
      })
    }
    expect(refusal(await web.get('/v1/consents/%00', { headers: WITH_KEY }))).toMatchObject({
      status: 400,
      errors: [{ parameter: 'id', detail: 'must hold printable ASCII characters alone' }],
    })
  })
})

describe('GET /v1/events', () => {
  /** The events of one consent, with their sequence number as the cursor. */
  const aFeed = async () => {
    const consent = await anAskedConsent(world)
    return aWeb(world, {
      listEvents: async (after, limit) => {
        if (after !== undefined && !/^\d+$/.test(after)) throw new RangeError('no cursor')
        const events = await listEvents(world.db, consent.id, Number(after ?? 0), limit)
        return events.map(({ seq, type }) => ({ cursor: String(seq), type }))
      },
    })
  }

  test('page by page, to the end and on from there', async () => {
    const server = await aFeed()
    const page = async (query: string) =>
      JSON.parse((await server.get(`/v1/events${query}`, { headers: WITH_KEY })).body)
    const first = await page('?limit=2')
    expect(first).toEqual({
      events: [
        { cursor: '1', type: 'renewal.opened' },
        { cursor: '2', type: 'link.made' },
      ],
      next_cursor: '2',
    })
    const rest = await page('?after=2&limit=1000')
    expect(rest.events.map(({ type }: { type: string }) => type)).toEqual([
      'message.queued',
      'message.sending',
      'message.sent',
    ])
    expect(await page('?after=5')).toEqual({ events: [], next_cursor: '5' })
    const silent = await aWeb(world, { listEvents: async () => [] })
    const empty = JSON.parse((await silent.get('/v1/events', { headers: WITH_KEY })).body)
    expect(empty).toEqual({ events: [], next_cursor: null })
  })

  test.each([
    ['limit=0', 'limit', 'must be at least 1'],
    ['limit=1001', 'limit', 'must be at most 1000'],
    ['limit=x', 'limit', 'must be a number'],
    ['limit=1&limit=2', 'limit', 'must be a number'],
    ['after=a&after=b', 'after', 'must be a text'],
    ['after=nonsense', 'after', 'must be the next_cursor of an earlier page'],
    ['after=%00', 'after', 'must hold printable ASCII characters alone'],
    ['limt=5', 'limt', 'is not known: did you mean limit?'],
    ['something=5', 'something', 'is not known'],
  ])('?%s: 400', async (query, parameter, detail) => {
    const server = await aFeed()
    const answer = await server.get(`/v1/events?${query}`, { headers: WITH_KEY })
    expect(refusal(answer)).toEqual({
      status: 400,
      type: 'invalid-request',
      detail: `${parameter} ${detail}`,
      errors: [{ parameter, detail }],
    })
  })
})

test('a cursor that is not in the feed: 409, and what to do', async () => {
  const server = await aWeb(world, { listEvents: async () => Promise.reject(new CursorUnknown('unknown')) })
  const { status, type, detail } = refusal(
    await server.get('/v1/events?after=9-0123456789abcdef', { headers: WITH_KEY }),
  )
  expect([status, type]).toEqual([409, 'cursor-unknown'])
  expect(detail).toMatch(/restored from a backup.*an older cursor.*without after/)
})

test('our own errors are answered without details', async () => {
  const broken = await aWeb(world, { getConsentJson: async () => Promise.reject(new Error('the value was hunter2')) })
  expect(refusal(await broken.get('/v1/consents/x', { headers: WITH_KEY }))).toEqual({
    status: 500,
    type: 'internal',
    detail: 'something went wrong on our side',
  })
  expect(broken.logged()).toContain('a request failed')
  expect(broken.logged()).not.toContain('hunter2')
})

test.each(['/v1', '/v1/', '/v1/nope', '/v1/callbacks', '/v1/consent', '/v1/%63onsents/x', '/v1/%', '/v1?x'])(
  'GET %s is no route: a problem document',
  async (path) => {
    expect(refusal(await web.get(path, { headers: WITH_KEY }))).toEqual({
      status: 404,
      type: 'not-found',
      detail: 'there is no such route',
    })
  },
)
