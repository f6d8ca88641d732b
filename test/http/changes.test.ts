// Changes of a consent by the API, and what a repeated request does.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Duration } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ApiScope } from '../../src/domain/api-scopes.ts'
import { makeMetrics } from '../../src/metrics.ts'
import { apiDeps } from '../../src/roles/api.ts'
import { Secret } from '../../src/secret.ts'
import { apiKeys } from '../../src/store/api-keys.ts'
import { aCount } from '../builders.ts'
import { holdLocks } from '../setup/locks.ts'
import { startWorld, type World } from '../setup/world.ts'
import { expectFits } from './answers-fit.ts'
import { anAskedConsent, aWeb, startWeb, theCallback, type Web } from './web.ts'

let world: World
let web: Web
const keyOf = new Map<string, string>()
beforeAll(async () => {
  world = await startWorld()
  web = await startWeb(world, { keyringTimes: { lookAgainAfterMs: 0 } })
  for (const [name, scope] of [
    ['backend', 'consents:write'],
    ['another', 'consents:write'],
    ['redirects', 'callbacks:write'],
  ] as const satisfies [string, ApiScope][]) {
    const wanted = { name, scopes: [scope], expiresAt: undefined, now: world.clock.now() }
    const created = await apiKeys(world.db).createApiKey(wanted)
    if (created.kind === 'created') keyOf.set(name, created.secret.reveal())
  }
})
afterAll(async () => {
  await web.close()
  await world.close()
})

interface Sent {
  readonly body?: unknown
  readonly repeat?: string
  readonly by?: string
  readonly method?: string
  readonly match?: string
}
const send = async (
  path: string,
  { body, repeat, by = 'backend', method = 'POST', match }: Sent = {},
  to: Web = web,
) => {
  const answer = await fetch(`${to.url}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${keyOf.get(by) ?? ''}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(match === undefined ? {} : { 'if-match': match }),
      ...(repeat === undefined ? {} : { 'idempotency-key': repeat }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const { headers, status } = answer
  const told = (await answer.json()) as Record<string, unknown>
  expectFits(method, path, status, told)
  return { status, headers, body: told }
}
const aLivingConsent = async () => world.addConsent({ expiresAt: world.clock.now().plus({ days: 60 }) })
const lastEvent = async (id: string) => (await world.eventsOf(id)).at(-1)

describe('a change', () => {
  test('pause, pause again, resume: each is an event that names the key, and nothing else is', async () => {
    const { id, credentialsId } = await aLivingConsent()
    const paused = await send(`/consents/${credentialsId}/pause`, { body: { reason: 'moving house' } })
    expect([paused.status, paused.body]).toMatchObject([200, { result: 'done', consent: { id, status: 'paused' } }])
    expect(await lastEvent(id)).toMatchObject({
      type: 'consent.paused',
      actor: 'company',
      reason: 'moving house',
      data: { by: 'backend' },
    })
    expect((await send(`/consents/${id}/pause`)).body).toMatchObject({ result: 'unchanged' })
    expect(await world.eventsOf(id)).toHaveLength(1)
    const resumed = await send(`/consents/${id}/resume`, { by: 'another' })
    expect(resumed.body).toMatchObject({ result: 'done', consent: { status: 'active' } })
    expect(resumed.headers.get('etag')).not.toBe(paused.headers.get('etag'))
    expect(await lastEvent(id)).toMatchObject({ type: 'consent.resumed', data: { by: 'another' } })
  })

  test('renew asks the user now; a second message needs resend', async () => {
    const consent = await aLivingConsent()
    const body = { reason: 'the user called' }
    expect(await send(`/consents/${consent.id}/renew`, { body })).toMatchObject({ status: 200 })
    expect(await lastEvent(consent.id)).toMatchObject({ type: 'renewal.requested', data: { by: 'backend' } })
    await world.drain()
    expect(world.simulator.mails({ to: consent.email ?? '' })).toHaveLength(1)
    const again = await send(`/consents/${consent.id}/renew`, { body })
    expect([again.status, again.body['type']]).toEqual([409, 'urn:problem-type:reconsent:refused'])
    expect(again.body['detail']).toMatch(/use "resend": true to send another$/)
    expect((await send(`/consents/${consent.id}/renew`, { body: { ...body, resend: true } })).status).toBe(200)
  })

  test('delete closes for good, as revoked or opted out', async () => {
    const { id } = await aLivingConsent()
    const path = `/consents/${id}?as=opted-out&reason=closed%20the%20account`
    expect((await send(path, { method: 'DELETE' })).body).toMatchObject({ consent: { status: 'opted_out' } })
    expect(await lastEvent(id)).toMatchObject({ type: 'consent.closed', reason: 'closed the account' })
    expect((await send(path, { method: 'DELETE' })).body).toMatchObject({ result: 'unchanged' })
    expect((await send(`/consents/${id}?as=revoked`, { method: 'DELETE' })).status).toBe(409)
    expect((await send(`/consents/${id}/resume`)).status).toBe(409)
  })

  test('with If-Match is made only while the consent has that ETag', async () => {
    const { id } = await aLivingConsent()
    const seen = (await send(`/consents/${id}/resume`)).headers.get('etag') ?? ''
    const paused = await send(`/consents/${id}/pause`, { match: seen })
    expect(paused.status).toBe(200)
    const now = paused.headers.get('etag') ?? ''
    for (const [path, sent] of [
      ['/renew', { body: { reason: 'x' } }],
      ['/pause', {}],
      ['/resume', {}],
      ['?as=revoked', { method: 'DELETE' }],
      ['/resume', { repeat: randomUUID() }],
    ] as const) {
      const refused = await send(`/consents/${id}${path}`, { ...sent, match: seen })
      expect([path, refused.status, refused.body['type']]).toEqual([
        path,
        412,
        'urn:problem-type:reconsent:precondition-failed',
      ])
    }
    expect((await world.eventsOf(id)).map(({ type }) => type)).toEqual(['consent.paused'])
    expect((await send(`/consents/${id}/resume`, { match: `"x", ${now}` })).status).toBe(200)
    expect((await send(`/consents/${id}/pause`, { match: '*' })).status).toBe(200)
  })

  test('with If-Match that waits for another change is refused', async () => {
    const { id } = await aLivingConsent()
    const seen = (await send(`/consents/${id}/resume`)).headers.get('etag') ?? ''
    const held = await holdLocks(world.db, `UPDATE consents SET locale = 'fr' WHERE id = $1`, [id])
    const waits = send(`/consents/${id}/pause`, { match: seen })
    await held.untilWaiting(1)
    await held.commit()
    expect((await waits).status).toBe(412)
  })

  test('that is refused says what the company can do, not what is typed in a shell', async () => {
    const { id } = await aLivingConsent()
    await send(`/consents/${id}/pause`)
    await send(`/consents/${id}/resume`)
    const { nextActionReason } = await world.consentOf(id)
    expect(nextActionReason).toBe('resumed by the company')
    const quarantined = await world.addConsent({
      expiresAt: world.clock.now().plus({ days: 60 }),
      status: 'quarantined',
    })
    for (const [path, sent] of [
      ['pause', {}],
      ['renew', { body: { reason: 'x' } }],
    ] as const) {
      const refused = await send(`/consents/${quarantined.id}/${path}`, sent)
      expect([refused.status, refused.body['detail']]).toEqual([
        409,
        expect.stringContaining('an operator must release it'),
      ])
    }
  })

  test('of no consent: 404', async () => {
    expect((await send(`/consents/${randomUUID()}/pause`)).status).toBe(404)
    expect((await send('/consents/x?as=revoked', { method: 'DELETE' })).status).toBe(404)
  })

  test.each<[string, unknown, { pointer: string; detail: string }[]]>([
    ['no reason', {}, [{ pointer: '#/reason', detail: 'is missing' }]],
    ['nothing at all', undefined, [{ pointer: '#', detail: 'is missing' }]],
    [
      'everything at once',
      { reson: 'x', resend: 'yes', 'a/b~c': 1 },
      [
        { pointer: '#/reason', detail: 'is missing' },
        { pointer: '#/resend', detail: 'must be true or false' },
        { pointer: '#/reson', detail: 'is not known: did you mean reason?' },
        { pointer: '#/a~1b~0c', detail: 'is not known' },
      ],
    ],
    [
      'a control character',
      { reason: 'a\u0007b' },
      [{ pointer: '#/reason', detail: 'must not hold control characters' }],
    ],
    [
      'a long reason',
      { reason: 'x'.repeat(501) },
      [{ pointer: '#/reason', detail: 'must have at most 500 characters' }],
    ],
  ])('%s: every problem of the body with its place, and nothing is done', async (_, body, errors) => {
    const { id } = await aLivingConsent()
    const refused = await send(`/consents/${id}/renew`, { body })
    expect([refused.status, refused.body['errors']]).toEqual([400, errors])
    expect(await world.eventsOf(id)).toEqual([])
  })
})

test('docs/api.md shows the problem document that its body gets', async () => {
  const { id } = await aLivingConsent()
  const text = await readFile('docs/api.md', 'utf8')
  const [, body = ''] = /renew` with `([^`]+)`/.exec(text) ?? []
  const [, shown = ''] = /```json\n([^`]+)```/.exec(text) ?? []
  expect((await send(`/consents/${id}/renew`, { body: JSON.parse(body) })).body).toEqual(JSON.parse(shown))
})

describe('many at once', () => {
  test('wait for their turn, and are told when it does not come; callbacks have turns of their own', async () => {
    const { id } = await aLivingConsent()
    const narrow = await aWeb(world, {
      keyringTimes: { lookAgainAfterMs: 0 },
      apiTurns: { atOnce: 1, callbacksAtOnce: 1, waiting: 1, waitMs: 300 },
    })
    const pause = async () => send(`/consents/${id}/pause`, {}, narrow)
    const held = await holdLocks(world.db, 'SELECT FROM consents WHERE id = $1 FOR UPDATE', [id])
    const first = pause()
    await held.untilWaiting(1)
    const [one, other] = await Promise.all([pause(), pause()])
    for (const refused of [one, other]) {
      expect([refused.status, refused.body['type']]).toEqual([
        503,
        'urn:problem-type:reconsent:temporarily-unavailable',
      ])
      expect(refused.headers.get('retry-after')).toBe('1')
    }
    const callback = { body: { state: 'foreign', code: 'x' }, by: 'redirects' }
    expect((await send('/callbacks', callback, narrow)).status).toBe(404)
    const waits = pause()
    await held.commit()
    expect([(await first).status, (await waits).status]).toEqual([200, 200])
    expect((await pause()).status).toBe(200)
  })

  test('of one key are limited, another key is not, and no callback is', async () => {
    const { id } = await aLivingConsent()
    const strict = await aWeb(world, { keyringTimes: { lookAgainAfterMs: 0 }, limits: { callsPerMinute: 2 } })
    const pause = async (by: string) => (await send(`/consents/${id}/pause`, { by }, strict)).status
    expect([await pause('backend'), await pause('backend'), await pause('backend')]).toEqual([200, 200, 429])
    expect(await pause('another')).toBe(200)
    for (let call = 0; call < 4; call += 1) {
      const callback = { body: { state: 'foreign', code: 'x' }, by: 'redirects' }
      expect((await send('/callbacks', callback, strict)).status).toBe(404)
    }
  })
})

describe('an Idempotency-Key', () => {
  test('gets the same answer again, and nothing is done twice', async () => {
    const { id } = await aLivingConsent()
    const repeat = randomUUID()
    const body = { reason: 'twice', resend: true }
    const first = await send(`/consents/${id}/renew`, { body, repeat })
    expect([first.status, first.headers.get('idempotency-replayed')]).toEqual([200, null])
    const second = await send(`/consents/${id}/renew`, { body: { resend: true, reason: 'twice' }, repeat })
    expect([second.status, second.headers.get('idempotency-replayed')]).toEqual([200, 'true'])
    expect(second.body).toEqual(first.body)
    expect(first.headers.get('etag')).toMatch(/^"/)
    expect(second.headers.get('etag')).toBe(first.headers.get('etag'))
    expect((await world.eventsOf(id)).filter(({ type }) => type === 'renewal.requested')).toHaveLength(1)
    const other = await send(`/consents/${id}/renew`, { body: { reason: 'other' }, repeat })
    expect([other.status, other.body['type']]).toEqual([422, 'urn:problem-type:reconsent:idempotency-key-reused'])
    // Another key of the API, another path: other requests.
    expect((await send(`/consents/${id}/renew`, { body, repeat, by: 'another' })).body).not.toEqual(first.body)
    expect((await send(`/consents/${id}/pause`, { repeat })).body).toMatchObject({ result: 'done' })
  })

  test('repeats a refusal, too', async () => {
    const { id } = await aLivingConsent()
    const repeat = randomUUID()
    const refused = await send(`/consents/${id}/resume`, { repeat })
    expect(refused.body).toMatchObject({ result: 'unchanged' })
    await send(`/consents/${id}?as=revoked`, { method: 'DELETE' })
    const closed = await send(`/consents/${id}/pause`, { repeat })
    const again = await send(`/consents/${id}/pause`, { repeat })
    expect([closed.status, again.status, again.body]).toEqual([409, 409, closed.body])
    expect(again.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  })

  test('while the first request is at work, the second is told to wait', async () => {
    const { id } = await aLivingConsent()
    const repeat = randomUUID()
    const held = await holdLocks(world.db, 'SELECT FROM consents WHERE id = $1 FOR UPDATE', [id])
    const first = send(`/consents/${id}/pause`, { repeat })
    await held.untilWaiting(1)
    const told = await send(`/consents/${id}/pause`, { repeat })
    expect([told.status, told.body['type']]).toEqual([409, 'urn:problem-type:reconsent:in-progress'])
    expect(told.headers.get('retry-after')).toBe('1')
    await held.commit()
    expect((await first).body).toMatchObject({ result: 'done' })
    expect((await send(`/consents/${id}/pause`, { repeat })).headers.get('idempotency-replayed')).toBe('true')
  })

  test('of a callback: the code is taken once, and no code is kept with the answer', async () => {
    const consent = await anAskedConsent(world)
    const body = Object.fromEntries(await theCallback(world, consent.id))
    const repeat = randomUUID()
    const first = await send('/callbacks', { body, repeat, by: 'redirects' })
    expect([first.status, first.body]).toMatchObject([202, { result: 'accepted' }])
    const second = await send('/callbacks', { body, repeat, by: 'redirects' })
    expect(second.body).toEqual(first.body)
    expect((await send('/callbacks', { body, by: 'redirects' })).body).toMatchObject({ result: 'already' })
    expect((await send('/callbacks', { body: { ...body, code: 'x' }, repeat, by: 'redirects' })).status).toBe(422)
    expect(await lastEvent(consent.id)).toMatchObject({
      type: 'authorisation.code-received',
      actor: 'user',
      data: { by: 'redirects' },
    })
    await world.drain()
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    const kept = JSON.stringify(await world.db.prisma.idempotencyKey.findMany())
    for (const secret of [body['code'], body['state']]) expect(kept).not.toContain(secret)
  })

  test('of a body that is nested as deep as it is long', async () => {
    const repeat = randomUUID()
    const headers = {
      authorization: `Bearer ${keyOf.get('redirects') ?? ''}`,
      'content-type': 'application/json',
      'idempotency-key': repeat,
    }
    const sent = async (body: string) => fetch(`${web.url}/v1/callbacks`, { method: 'POST', headers, body })
    const nested = `${'['.repeat(8_000)}${']'.repeat(8_000)}`
    expect((await sent(`{"state":"foreign","code":"x","more":${nested}}`)).status).toBe(404)
    const again = await sent(`{"more":${nested},"code":"x","state":"foreign"}`)
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([404, 'true'])
    expect((await sent('{"state":"foreign","code":"x","more":[]}')).status).toBe(422)
  })

  test('of a callback: the deadline covers the commit, and a repetition finds what was committed late', async () => {
    const consent = await anAskedConsent(world)
    const body = Object.fromEntries(await theCallback(world, consent.id))
    const recorded: string[] = []
    const enqueued: string[] = []
    const plain = makeMetrics({ collectCounts: async () => aCount({}) })
    const impatient = await aWeb(world, {
      keyringTimes: { lookAgainAfterMs: 0 },
      times: { commitWithinMs: 300 },
      metrics: { ...plain, recordCallback: (answer) => void recorded.push(answer) },
      ...apiDeps({
        ...world,
        enqueue: async (kind) => void enqueued.push(kind),
        queuedFor: Duration.fromMillis(0),
        httpsOnly: false,
        publicUrl: 'http://127.0.0.1',
        giveAccessToken: async () => Promise.reject(new Error('nobody asks')),
      }),
    })
    const repeat = randomUUID()
    const held = await holdLocks(world.db, 'LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE', [])
    const sent = { body, repeat, by: 'redirects' }
    const late = await send('/callbacks', sent, impatient)
    expect([late.status, late.headers.get('retry-after'), recorded]).toEqual([503, '5', ['failed']])
    expect(enqueued).toEqual([])
    await held.commit()
    await expect.poll(async () => (await send('/callbacks', sent, impatient)).status).toBe(202)
    expect((await send('/callbacks', sent, impatient)).headers.get('idempotency-replayed')).toBe('true')
    expect(recorded.at(-1)).toBe('already')
    // Once: neither before the commit nor for a repetition.
    expect(enqueued).toEqual(['authorisation'])
  })

  test('of a callback whose transaction is rolled back: nothing is handed to the queue', async () => {
    const consent = await anAskedConsent(world)
    const body = Object.fromEntries(await theCallback(world, consent.id))
    const enqueued: string[] = []
    const deps = apiDeps({
      ...world,
      enqueue: async (kind) => void enqueued.push(kind),
      queuedFor: Duration.fromMillis(0),
      httpsOnly: false,
      publicUrl: 'http://127.0.0.1',
      giveAccessToken: async () => Promise.reject(new Error('nobody asks')),
    })
    const callback = { state: new Secret(body['state'] ?? ''), code: new Secret(body['code'] ?? '') }
    const request = { callerId: 'x', method: 'POST', path: '/', idempotencyKey: randomUUID(), body: '' }
    const take = async (end: () => { status: number; body: unknown }) =>
      deps.answerOnce(request, async ({ receiveCallback }) => {
        expect((await receiveCallback(callback)).kind).toBe('accepted')
        return end()
      })
    const failing = take(() => {
      throw new Error('planted')
    })
    await expect(failing).rejects.toThrow('planted')
    expect(enqueued).toEqual([])
    expect(await take(() => ({ status: 202, body: '' }))).toMatchObject({ kind: 'answered' })
    expect(enqueued).toEqual(['authorisation'])
  })

  test.each(['', 'x'.repeat(256), 'ключ'])('%j is none', async (repeat) => {
    const { id } = await aLivingConsent()
    const headers = { authorization: `Bearer ${keyOf.get('backend') ?? ''}`, 'idempotency-key': repeat }
    const ask = async () => fetch(`${web.url}/v1/consents/${id}/pause`, { method: 'POST', headers })
    // What no header may hold, fetch itself refuses.
    const answer = await ask().catch(() => undefined)
    if (answer !== undefined)
      expect([answer.status, ((await answer.json()) as { errors: object }).errors]).toEqual([
        400,
        expect.arrayContaining([expect.objectContaining({ parameter: 'idempotency-key' })]),
      ])
  })
})
