// Access tokens by the API: the answer, its problems, and what a repeated request gets.
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { fault } from '../processors/rig.ts'
import { startWorld, type World } from '../setup/world.ts'
import { expectFits } from './answers-fit.ts'
import { startWeb, type Web, WITH_KEY } from './web.ts'

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
afterEach(() => world.simulator.faults.clear())

const ask = async (id: string, init: { headers?: Record<string, string>; body?: string } = {}) => {
  const path = `/v1/consents/${id}/access-token`
  const sent = { ...init, headers: { ...WITH_KEY, ...init.headers } }
  const { status, body, headers } = await web.post(path, sent)
  expectFits('POST', path, status, JSON.parse(body))
  return { status, headers, body: JSON.parse(body) as Record<string, unknown> }
}
const aConnection = async () => world.addConsent({ expiresAt: world.clock.now().plus({ days: 60 }) })

test('the token with its end, by our id or the credentials_id; stored nowhere in between', async () => {
  const { id, credentialsId } = await aConnection()
  const first = await ask(credentialsId)
  expect([first.status, first.headers.get('cache-control')]).toEqual([200, 'no-store'])
  const access_token = world.simulator.connection(credentialsId)?.accessToken?.value
  expect(first.body).toMatchObject({ id, credentials_id: credentialsId, access_token, refreshed: true })
  expect(Date.parse(String(first.body['expires_at'])) - world.clock.now().toMillis()).toBeGreaterThan(3_500_000)
  const json = { 'content-type': 'application/json' }
  expect((await ask(id, { headers: json, body: '{"reason":"nightly"}' })).body).toMatchObject({
    access_token,
    refreshed: false,
  })
  const [event] = (await world.eventsOf(id)).slice(-1)
  expect(event).toMatchObject({ type: 'access-token.shown', actor: 'company', data: { refreshed: true } })
  expect(web.logged()).not.toContain(String(access_token))
})

test('an Idempotency-Key stores no answer: a repetition gets the token that is valid by then', async () => {
  const { id } = await aConnection()
  const headers = { 'idempotency-key': randomUUID() }
  const first = await ask(id, { headers })
  const second = await ask(id, { headers })
  expect([second.status, second.body['access_token']]).toEqual([200, first.body['access_token']])
  expect(second.headers.get('idempotency-replayed')).toBeNull()
  expect(await world.db.prisma.idempotencyKey.count()).toBe(0)
})

test('no consent: 404; a paused one: 409 with its status', async () => {
  expect((await ask(randomUUID())).status).toBe(404)
  const { id } = await aConnection()
  await web.post(`/v1/consents/${id}/pause`, { headers: WITH_KEY })
  expect(await ask(id)).toMatchObject({
    status: 409,
    body: { type: 'urn:problem-type:reconsent:refused', consent_status: 'paused' },
  })
})

test('the provider is busy: 503 with its Retry-After', async () => {
  const consent = await aConnection()
  fault(world, consent, { endpoint: 'refresh', kind: 'rate-limited', retry_after: 90 })
  const { status, headers, body } = await ask(consent.id)
  expect([status, body['type']]).toEqual([503, 'urn:problem-type:reconsent:temporarily-unavailable'])
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(80)
  expect(String(body['detail'])).toContain('429')
})

test('the provider rejects the token twice: 409 token-rejected', async () => {
  const consent = await aConnection()
  world.simulator.revokeConnection(consent.credentialsId)
  const first = await ask(consent.id)
  expect([first.status, first.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^(?:299|300)$/)])
  world.clock.advance({ minutes: 6 })
  expect(await ask(consent.id)).toMatchObject({
    status: 409,
    body: { type: 'urn:problem-type:reconsent:token-rejected' },
  })
})
