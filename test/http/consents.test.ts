// Reading consents by the API: lists, one consent, its events, why it is as it is, its token.
import { DateTime } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { apiKeys } from '../../src/store/api-keys.ts'
import { administration } from '../../src/store/administration.ts'
import { within } from '../../src/store/answers.ts'
import { runHere } from '../commands/reconsent.ts'
import { startWorld, type World } from '../setup/world.ts'
import { expectFits } from './answers-fit.ts'
import { anAskedConsent, startWeb, type Web, WITH_KEY } from './web.ts'

let world: World
let web: Web
beforeAll(async () => {
  world = await startWorld()
  web = await startWeb(world, { keyringTimes: { lookAgainAfterMs: 0 } })
})
afterAll(async () => {
  await web.close()
  await world.close()
})

const get = async (path: string, headers: Record<string, string> = WITH_KEY) => {
  const { status, body, headers: answered } = await web.get(path, { headers })
  expectFits('GET', path, status, JSON.parse(body))
  return { status, body: JSON.parse(body), etag: answered.get('etag') }
}

/** All pages of a list, with `limit` entries each. */
const listed = async (query: Record<string, string>, limit = 2): Promise<string[]> => {
  const ids: string[] = []
  let after: string | null = null
  do {
    const page: { body: { consents: { id: string }[]; next_cursor: string | null } } = await get(
      `/v1/consents?${new URLSearchParams({ ...query, limit: String(limit), ...(after === null ? {} : { after }) })}`,
    )
    expect(page.body.consents.length).toBeLessThanOrEqual(limit)
    ids.push(...page.body.consents.map(({ id }) => id))
    after = page.body.next_cursor
  } while (after !== null)
  return ids
}

describe('GET /v1/consents', () => {
  const user = 'user-of-lists'
  const inDays = async (days: number, over: Partial<Consent> = {}): Promise<string> => {
    const expiresAt = world.clock.now().plus({ days })
    return (await world.addConsent({ userId: user, expiresAt, ...over })).id
  }
  let healthy: string[]
  let due: string
  let inGrace: string
  let lapsed: string
  beforeAll(async () => {
    healthy = [await inDays(80), await inDays(70), await inDays(60, { providerId: 'bank-of-lists' })]
    due = await inDays(3)
    inGrace = await inDays(-10)
    lapsed = await inDays(-200, { status: 'lapsed' })
  })
  const sorted = (ids: readonly string[]): string[] => ids.toSorted()

  test('pages through everything once, in any size of page', async () => {
    const all = sorted([...healthy, due, inGrace, lapsed])
    for (const limit of [1, 2, 3, 100]) expect(sorted(await listed({ user_id: user }, limit))).toEqual(all)
    expect((await listed({}, 1000)).length).toBeGreaterThanOrEqual(all.length)
    expect(await listed({ user_id: 'nobody' })).toEqual([])
  })

  test('filters, each alone and together', async () => {
    const mine = { user_id: user }
    expect(sorted(await listed({ ...mine, phase: 'healthy' }))).toEqual(sorted(healthy))
    expect(await listed({ ...mine, phase: 'due' })).toEqual([due])
    expect(await listed({ ...mine, phase: 'in-grace' })).toEqual([inGrace])
    expect(await listed({ ...mine, phase: 'lapsed' })).toEqual([lapsed])
    expect(await listed({ ...mine, status: 'lapsed' })).toEqual([lapsed])
    expect(await listed({ provider_id: 'bank-of-lists' })).toEqual([healthy[2]])
    const before = world.clock.now().plus({ days: 5 }).toISO() ?? ''
    expect(sorted(await listed({ ...mine, expires_before: before }))).toEqual(sorted([due, inGrace, lapsed]))
    expect(await listed({ ...mine, expires_before: before, phase: 'due', status: 'active' })).toEqual([due])
  })

  test('those that have changed since an instant', async () => {
    world.clock.advance({ minutes: 1 })
    const since = world.clock.now().toISO() ?? ''
    expect(await listed({ user_id: user, changed_since: since })).toEqual([])
    const { pauseConsent } = administration(world.db, world.policy)
    await pauseConsent(due, { now: world.clock.now(), reason: 'a test' })
    expect(await listed({ changed_since: since })).toEqual([due])
    expect(await listed({ changed_since: since, status: 'active' })).toEqual([])
  })

  test('those that have changed since an instant of long ago, page by page', async () => {
    const since = world.clock.now().minus({ seconds: 30 }).toISO() ?? ''
    await administration(world.db, world.policy).pauseConsent(healthy[0] ?? '', {
      now: world.clock.now(),
      reason: 'a test',
    })
    world.clock.advance({ days: 2 })
    const all = sorted([due, healthy[0] ?? ''])
    for (const limit of [1, 2, 100]) expect(sorted(await listed({ changed_since: since }, limit))).toEqual(all)
    expect(await listed({ changed_since: since, provider_id: 'bank-of-lists' })).toEqual([])
    expect(await listed({ changed_since: world.clock.now().minus({ hours: 25 }).toISO() ?? '' })).toEqual([])
  })

  test('a change that is committed late is found by who asks from a little before the last list', async () => {
    const began = world.clock.now()
    const written = Promise.withResolvers<void>()
    const end = Promise.withResolvers<void>()
    const id = await inDays(90)
    const late = world.db.transaction(async (tx) => {
      const { pauseConsent } = administration(within(world.db, tx), world.policy)
      await pauseConsent(id, { now: began, reason: 'a test' })
      written.resolve()
      await end.promise
    })
    await written.promise
    world.clock.advance({ seconds: 50 })
    const asked = world.clock.now()
    expect(await listed({ user_id: user, changed_since: began.toISO() ?? '' })).toEqual([])
    end.resolve()
    await late
    expect(await listed({ user_id: user, changed_since: asked.toISO() ?? '' })).toEqual([])
    const overlapping = asked.minus({ seconds: 110 }).toISO() ?? ''
    expect(await listed({ user_id: user, changed_since: overlapping })).toEqual([id])
  })

  test.each([
    ['after=x', 'after', 'must be the next_cursor of an earlier page'],
    [`after=${Buffer.from('seq:1').toString('base64url')}`, 'after', 'must be the next_cursor of an earlier page'],
    ['phase=late', 'phase', 'must be one of healthy, due, in-grace, lapsed'],
    ['expires_before=2026-12-31', 'expires_before', expect.stringContaining('an instant such as')],
    ['expires_before=1926-12-31T00:00:00Z', 'expires_before', expect.stringContaining('from the year 2000')],
    ['stauts=active', 'stauts', 'is not known: did you mean status?'],
  ])('?%s is refused', async (query, parameter, detail) => {
    const { status, body } = await get(`/v1/consents?${query}`)
    expect([status, body.errors]).toEqual([400, [{ parameter, detail }]])
  })
})

describe('GET /v1/consents/:id', () => {
  test('has the last 200 events, and says how many came before', async () => {
    const { id } = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 60 }) })
    const { pauseConsent, resumeConsent } = administration(world.db, world.policy)
    const request = { now: world.clock.now(), reason: 'a test' }
    for (let round = 0; round < 101; round += 1) {
      await pauseConsent(id, request)
      await resumeConsent(id, request)
    }
    const { body } = await get(`/v1/consents/${id}`)
    expect([body.earlier_events, body.events.length, body.events[0].seq]).toEqual([2, 200, 3])
    expect((await get(`/v1/consents/${id}/events?limit=1000`)).body.events).toHaveLength(202)
  })

  test('has an ETag that follows what the company decides, and not what the loop writes', async () => {
    const consent = await anAskedConsent(world)
    const path = `/v1/consents/${consent.id}`
    const { etag } = await get(path)
    expect(etag).toMatch(/^"[\w-]{27}"$/)
    await world.db.prisma.consent.update({
      where: { id: consent.id },
      data: { nextActionReason: 'another', outages: 3 },
    })
    expect((await get(path)).etag).toBe(etag)
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { locale: 'fr' } })
    const changed = (await get(path)).etag
    expect(changed).not.toBe(etag)
    await administration(world.db, world.policy).pauseConsent(consent.id, { now: world.clock.now(), reason: 'a test' })
    expect((await get(path)).etag).not.toBe(changed)
  })
})

describe('GET /v1/consents/:id/events', () => {
  test('page by page, and on from the end', async () => {
    const consent = await anAskedConsent(world)
    const path = `/v1/consents/${consent.credentialsId}/events`
    const first = (await get(`${path}?limit=2`)).body
    expect(first.events.map(({ seq }: { seq: number }) => seq)).toEqual([1, 2])
    const rest = (await get(`${path}?after=${first.next_cursor}`)).body
    expect(rest.events[0]).toMatchObject({ seq: 3, type: 'message.queued', actor: 'system' })
    expect((await get(`${path}?after=${rest.next_cursor}`)).body).toEqual({ events: [], next_cursor: rest.next_cursor })
    expect((await get('/v1/consents/x/events')).status).toBe(404)
  })
})

describe('GET /v1/consents/:id/explain', () => {
  test('says what the command says', async () => {
    const consent = await anAskedConsent(world)
    const { status, body } = await get(`/v1/consents/${consent.id}/explain`)
    expect([status, body.phase, body.consent.id]).toEqual([200, 'due', consent.id])
    const policyless = { DATABASE_URL: world.url.reveal() }
    const ran = await runHere(['explain', consent.id, '--json'], policyless)
    expect(Object.keys(body)).toEqual(Object.keys(JSON.parse(ran.stdout)))
    expect((await get('/v1/consents/x/explain')).status).toBe(404)
  })
})

describe('GET /v1/consents/:id/token', () => {
  test('shows the token after an event that names the key; HEAD is no way to it', async () => {
    const now = world.clock.now()
    const wanted = { name: 'refresher', scopes: ['tokens:read'], expiresAt: undefined, now } as const
    const created = await apiKeys(world.db).createApiKey(wanted)
    if (created.kind !== 'created') throw new Error('no key')
    const headers = { authorization: `Bearer ${created.secret.reveal()}` }
    const consent = await world.addConsent({ expiresAt: now.plus({ days: 60 }) })
    const path = `/v1/consents/${consent.credentialsId}/token`
    const { status, body } = await get(`${path}?reason=nightly%20read`, headers)
    expect([status, body]).toEqual([
      200,
      {
        id: consent.id,
        credentials_id: consent.credentialsId,
        refresh_token: await world.tokenOf(consent.id),
        candidate: false,
      },
    ])
    expect(await world.eventsOf(consent.id)).toEqual([
      expect.objectContaining({
        type: 'token.shown',
        actor: 'company',
        reason: 'nightly read',
        data: { token_version: 1, by: 'refresher' },
      }),
    ])
    expect((await fetch(`${web.url}${path}`, { method: 'HEAD', headers })).status).toBe(404)
    expect(await world.eventsOf(consent.id)).toHaveLength(1)
    expect((await get('/v1/consents/x/token', headers)).status).toBe(404)
    expect((await get(path, headers)).body.refresh_token).toEqual(expect.any(String))
    expect(web.logged()).not.toContain(body.refresh_token)
    expect(DateTime.fromISO((await get(`/v1/consents/${consent.id}`)).body.created_at).isValid).toBe(true)
  })
})
