// What the company says about its consents by the API: one, many, and contact data.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ApiScope } from '../../src/domain/api-scopes.ts'
import { apiKeys } from '../../src/store/api-keys.ts'
import { aLine } from '../import/rows.ts'
import { holdLocks } from '../setup/locks.ts'
import { startWorld, type World } from '../setup/world.ts'
import { expectFits } from './answers-fit.ts'
import { anAskedConsent, startWeb, type Web } from './web.ts'

let world: World
let web: Web
let key: string
beforeAll(async () => {
  world = await startWorld()
  web = await startWeb(world, { keyringTimes: { lookAgainAfterMs: 0 } })
  const scopes: ApiScope[] = ['consents:write', 'consents:read']
  const wanted = { name: 'connect-flow', scopes, expiresAt: undefined, now: world.clock.now() }
  const created = await apiKeys(world.db).createApiKey(wanted)
  if (created.kind !== 'created') throw new Error('no key')
  key = created.secret.reveal()
})
afterAll(async () => {
  await web.close()
  await world.close()
})

interface Sent {
  readonly body?: unknown
  /** As it is sent, in place of `body`. */
  readonly text?: string
  readonly headers?: Record<string, string>
}
type Told = Record<string, any>
const send = async (method: string, path: string, { body, text = JSON.stringify(body), headers = {} }: Sent = {}) => {
  const answer = await fetch(`${web.url}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    ...(text === undefined ? {} : { body: text }),
  })
  const told = (await answer.json()) as Told
  expectFits(method, path, answer.status, told)
  return { status: answer.status, body: told, etag: answer.headers.get('etag'), headers: answer.headers }
}

/** What a connect flow knows: the id of the connection is in the path. */
const aBody = (over: Record<string, unknown> = {}) => {
  const { credentials_id, ...body } = aLine({ expires_at: world.clock.now().plus({ days: 60 }).toISO(), ...over })
  return { id: String(credentials_id), body }
}
const put = async (id: string, body: unknown, headers: Record<string, string> = {}) =>
  send('PUT', `/consents/${id}`, { body, headers })
const rowOf = async (credentialsId: string) => world.db.prisma.consent.findUnique({ where: { credentialsId } })
const eventsOf = async (credentialsId: string) => world.eventsOf((await rowOf(credentialsId))?.id ?? '')
const typesOf = async (credentialsId: string) => (await eventsOf(credentialsId)).map(({ type }) => type)
const refusals = (body: Told): unknown => body['errors']

describe('PUT /v1/consents/{credentials_id}', () => {
  test('creates a consent; the same body changes nothing; another field is an event that names the key', async () => {
    const { id, body } = aBody({ scopes: ['info', 'accounts'], locale: null })
    const created = await put(id, body)
    expect([created.status, created.body]).toMatchObject([
      201,
      { result: 'created', warnings: [], consent: { credentials_id: id, user_id: body['user_id'], status: 'active' } },
    ])
    expect(await eventsOf(id)).toEqual([
      expect.objectContaining({
        type: 'consent.imported',
        actor: 'company',
        data: expect.objectContaining({ by: 'connect-flow' }),
      }),
    ])
    const before = await rowOf(id)
    expect(before).toMatchObject({ scopes: ['info', 'accounts'], email: 'ada@example.com' })
    world.clock.advance({ minutes: 1 })
    const again = await put(id, { ...body, credentials_id: id })
    expect([again.status, again.body['result'], again.etag]).toEqual([200, 'unchanged', created.etag])
    expect(await rowOf(id)).toEqual(before)
    const changed = await put(id, { ...body, name: 'Ada Lovelace', email: null })
    expect([changed.status, changed.body['result']]).toEqual([200, 'updated'])
    expect(changed.etag).not.toBe(created.etag)
    expect((await eventsOf(id)).at(-1)).toMatchObject({
      type: 'consent.updated',
      data: { fields: ['name'], by: 'connect-flow' },
    })
    expect(await rowOf(id)).toMatchObject({ name: 'Ada Lovelace', email: 'ada@example.com' })
  })

  test('a token that differs waits as a candidate, and a later date closes the cycle', async () => {
    const { id, body } = aBody()
    await put(id, body)
    const other = `refresh-${randomUUID()}`
    const offered = await put(id, { ...body, refresh_token: other })
    expect(offered.body).toMatchObject({ result: 'updated', consent: { has_candidate_token: true } })
    expect(await world.tokenOf((await rowOf(id))?.id ?? '')).toBe(body['refresh_token'])
    expect((await eventsOf(id)).at(-1)).toMatchObject({ type: 'token.imported', data: { by: 'connect-flow' } })
    expect((await put(id, { ...body, refresh_token: other })).body).toMatchObject({ result: 'unchanged' })
    const later = world.clock.now().plus({ days: 90 }).toISO()
    const repaired = await put(id, { ...body, refresh_token: other, expires_at: later })
    expect(repaired.body).toMatchObject({ result: 'repaired', consent: { cycle: 2, expires_at: later } })
    const earlier = await put(id, { ...body, refresh_token: other })
    expect(earlier.body).toMatchObject({ result: 'unchanged', consent: { expires_at: later } })
  })

  test('what it supersedes is closed; what it will supersede is a warning', async () => {
    const old = aBody()
    await put(old.id, old.body)
    const next = aBody({ user_id: old.body['user_id'], supersedes: old.id })
    expect((await put(next.id, next.body)).body).toMatchObject({ result: 'created', warnings: [] })
    expect((await eventsOf(old.id)).at(-1)).toMatchObject({ type: 'consent.superseded', data: { by: next.id } })
    const early = aBody({ supersedes: 'not-there-yet' })
    expect((await put(early.id, early.body)).body['warnings']).toEqual([
      'supersedes: there is no such consent yet; it is closed when it is imported',
    ])
  })

  test.each<[string, Record<string, unknown>, unknown[]]>([
    [
      'everything at once',
      {
        refresh_token: 'with\u0007bell',
        country: 7,
        redirect_uri: 'ftp://x',
        expires_at: '1926-01-01T00:00:00Z',
        email: 'nobody',
        locale: 'xx-unknown',
        time_zone: 'Mars/Olympus',
        scopes: 'info accounts',
        provder_name: 'Monzo',
        user_id: ' padded ',
        name: '  ',
        phone: 44,
      },
      [
        { pointer: '#/refresh_token', detail: expect.stringContaining('control character') },
        { pointer: '#/country', detail: 'must be text' },
        { pointer: '#/redirect_uri', detail: 'must begin with https://' },
        { pointer: '#/user_id', detail: expect.stringContaining('has spaces around it') },
        { pointer: '#/expires_at', detail: 'is before 2010' },
        { pointer: '#/email', detail: expect.stringContaining('is not a usable address') },
        { pointer: '#/phone', detail: 'must be text' },
        { pointer: '#/name', detail: 'is empty' },
        { pointer: '#/locale', detail: 'is not one we have' },
        { pointer: '#/time_zone', detail: 'is not a known zone' },
        { pointer: '#/scopes', detail: 'must be a list of at most 100 texts' },
        { pointer: '#/provder_name', detail: 'is not known: did you mean provider_name?' },
      ],
    ],
    [
      'no date, nothing required, too long',
      {
        expires_at: null,
        refresh_token: undefined,
        provider_id: null,
        redirect_uri: undefined,
        user_id: 'u'.repeat(201),
        country: '',
      },
      [
        { pointer: '#/refresh_token', detail: 'is missing' },
        { pointer: '#/provider_id', detail: 'is missing' },
        { pointer: '#/country', detail: 'is empty' },
        { pointer: '#/redirect_uri', detail: 'is missing' },
        { pointer: '#/user_id', detail: 'is longer than 200 characters' },
        { pointer: '#', detail: 'needs expires_at or consented_at' },
      ],
    ],
    [
      'another connection in the body',
      { credentials_id: 'another' },
      [{ pointer: '#/credentials_id', detail: 'must be the one of the path, or left out' }],
    ],
  ])('%s: every problem with its place, and nothing is written', async (_, over, errors) => {
    const { id, body } = aBody()
    const refused = await put(id, { ...body, ...over })
    expect([refused.status, refusals(refused.body)]).toEqual([400, errors])
    expect(await rowOf(id)).toBeNull()
    expect(web.logged()).not.toContain(String(body['refresh_token']))
  })

  test.each<[string, Sent, number, string]>([
    ['a list', { body: [] }, 400, 'invalid-request'],
    ['a text', { text: '"x"' }, 400, 'invalid-request'],
    ['nothing', { text: '' }, 400, 'invalid-request'],
    ['broken JSON', { text: '{"user_id":' }, 400, 'invalid-request'],
    ['a prototype', { text: '{"__proto__":{"user_id":"x"}}' }, 400, 'invalid-request'],
    [
      'a form',
      { text: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'unsupported-media-type',
    ],
    ['two megabytes', { body: { name: 'x'.repeat(2_000_000) } }, 413, 'body-too-large'],
  ])('%s is refused by a problem', async (_, sent, status, type) => {
    const refused = await send('PUT', '/consents/never-put', sent)
    expect([refused.status, refused.body['type']]).toEqual([status, `urn:problem-type:reconsent:${type}`])
    expect(await rowOf('never-put')).toBeNull()
  })

  test('what the import refuses is refused: another bank, the token of another, our own id', async () => {
    const { id, body } = aBody()
    await put(id, body)
    const refused = async (path: string, over: Record<string, unknown>) => {
      const answer = await put(path, { ...body, ...over })
      expect([answer.status, answer.body['type']]).toEqual([409, 'urn:problem-type:reconsent:refused'])
      return answer.body['detail']
    }
    expect(await refused(id, { provider_id: 'uk-ob-hsbc' })).toContain('provider_id is not the one we have')
    expect(await refused(`cred-${randomUUID()}`, {})).toContain('a token belongs to one connection')
    expect(await refused((await rowOf(id))?.id ?? '', {})).toContain('this is our id')
    expect(await typesOf(id)).toEqual(['consent.imported'])
  })

  test('If-Match: done while the consent is as the caller knows it; what the loop writes does not matter', async () => {
    const { id, body } = aBody()
    const nobody = await put(id, body, { 'if-match': '*' })
    expect([nobody.status, nobody.body['type']]).toEqual([412, 'urn:problem-type:reconsent:precondition-failed'])
    const { etag } = await put(id, body, { 'if-none-match': '*' })
    expect((await put(id, body, { 'if-none-match': '*' })).status).toBe(412)
    await world.db.prisma.consent.update({
      where: { credentialsId: id },
      data: { nextActionReason: 'another', outages: 2, failedAttempts: 1, leaseUntil: new Date() },
    })
    const first = await put(id, { ...body, name: 'One' }, { 'if-match': `"other", ${etag}` })
    expect(first.status).toBe(200)
    expect((await put(id, { ...body, name: 'Two' }, { 'if-match': etag ?? '' })).status).toBe(412)
    expect((await put(id, body, { 'if-match': etag ?? '' })).status).toBe(412)
    expect(await rowOf(id)).toMatchObject({ name: 'One' })
  })

  test('PUTs of one new consent at once end as if one after another', async () => {
    const { id, body } = aBody()
    const versions = Array.from({ length: 12 }, (_, no) => ({
      ...body,
      name: `Version ${no}`,
      ...(no % 3 === 0 ? { refresh_token: `refresh-${randomUUID()}` } : {}),
    }))
    const answers = await Promise.all(versions.map(async (version) => put(id, version)))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([...Array.from({ length: 11 }, () => 200), 201])
    const names = answers.map(({ body: told }) => String(told['result']))
    expect(names.filter((name) => name === 'created')).toHaveLength(1)
    expect(names.filter((name) => name === 'updated')).toHaveLength(11)
    const events = await eventsOf(id)
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 1))
    expect(events.filter(({ type }) => type === 'consent.updated')).toHaveLength(11)
    const row = await rowOf(id)
    expect(versions.map(({ name }) => name)).toContain(row?.name)
    const { tokens } = await world.store.readTokens(row?.id ?? '')
    const sent = versions.map((version) => String(version['refresh_token' as never]))
    for (const { token } of tokens) expect(sent).toContain(token.reveal())
  })

  test('of PUTs at once with one If-Match, one is done', async () => {
    const { id, body } = aBody()
    const { etag } = await put(id, body)
    const answers = await Promise.all(
      Array.from({ length: 6 }, async (_, no) => put(id, { ...body, name: `No ${no}` }, { 'if-match': etag ?? '' })),
    )
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 412, 412, 412, 412, 412])
    expect(await typesOf(id)).toEqual(['consent.imported', 'consent.updated'])
  })

  test('two connections with one new token at once: one of them is refused', async () => {
    const { body } = aBody()
    const ids = Array.from({ length: 4 }, () => `cred-${randomUUID()}`)
    const answers = await Promise.all(ids.map(async (id) => put(id, body)))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409, 409, 409])
  })

  test('waits for who has the consent, and then finds what that one has written', async () => {
    const { id, body } = aBody()
    await put(id, body)
    const held = await holdLocks(world.db, "UPDATE consents SET name = 'Meanwhile' WHERE credentials_id = $1", [id])
    const second = put(id, { ...body, name: 'Meanwhile' })
    await held.untilWaiting(1)
    await held.commit()
    expect((await second).body).toMatchObject({ result: 'unchanged' })
  })
})

describe('POST /v1/consents:batch', () => {
  const batch = async (rows: unknown, headers: Record<string, string> = {}) =>
    send('POST', '/consents:batch', { body: { rows }, headers })
  const aRowOf = (over: Record<string, unknown> = {}): Record<string, unknown> => {
    const { id, body } = aBody(over)
    return { credentials_id: id, ...body }
  }

  test('an answer for each row; bad rows keep no good one', async () => {
    const known = aRowOf()
    await batch([known])
    const fresh = aRowOf()
    const { status, body } = await batch([
      fresh,
      { ...aRowOf(), email: 'nobody', provder_id: 'x' },
      known,
      { ...known, provider_id: 'uk-ob-hsbc' },
      'a text',
      { ...known, name: 'Ada' },
      { ...aRowOf(), refresh_token: fresh['refresh_token'] },
    ])
    expect(status).toBe(200)
    expect(body['counts']).toEqual({ created: 1, updated: 1, repaired: 0, unchanged: 1, refused: 4 })
    expect(body['results']).toEqual([
      { credentials_id: fresh['credentials_id'], result: 'created', warnings: [], errors: [] },
      {
        credentials_id: null,
        result: 'refused',
        warnings: [],
        errors: [
          { pointer: '#/rows/1/email', detail: expect.stringContaining('is not a usable address') },
          { pointer: '#/rows/1/provder_id', detail: 'is not known: did you mean provider_id?' },
        ],
      },
      expect.objectContaining({ result: 'unchanged' }),
      expect.objectContaining({
        credentials_id: known['credentials_id'],
        result: 'refused',
        errors: [{ pointer: '#/rows/3', detail: expect.stringContaining('provider_id is not the one we have') }],
      }),
      expect.objectContaining({ errors: [{ pointer: '#/rows/4', detail: 'must be an object' }] }),
      expect.objectContaining({ result: 'updated' }),
      expect.objectContaining({
        errors: [{ pointer: '#/rows/6', detail: expect.stringContaining('a token belongs to one connection') }],
      }),
    ])
    expect((await eventsOf(String(fresh['credentials_id']))).at(-1)).toMatchObject({ data: { by: 'connect-flow' } })
  })

  test('two rows about one connection: the second finds what the first has written', async () => {
    const row = aRowOf()
    const { body } = await batch([row, row, { ...row, name: 'Ada' }])
    expect(body['results'].map(({ result }: Told) => result)).toEqual(['created', 'unchanged', 'updated'])
    expect(await typesOf(String(row['credentials_id']))).toEqual(['consent.imported', 'consent.updated'])
  })

  test('a thousand rows, of any size that PUT takes; more are refused', { timeout: 60_000 }, async () => {
    const long = 'x'.repeat(8000)
    const rows = Array.from({ length: 1000 }, () => aRowOf({ refresh_token: `${long}-${randomUUID()}` }))
    const { status, body } = await batch(rows)
    expect([status, body['counts'].created]).toEqual([200, 1000])
    expect((await batch(rows)).body['counts'].unchanged).toBe(1000)
    const few = Array.from({ length: 10_000 }, () => ({}))
    const refused = await batch(few)
    expect([refused.status, refusals(refused.body)]).toEqual([
      400,
      [{ pointer: '#/rows', detail: 'must have at most 1000 entries' }],
    ])
    const large = await batch(Array.from({ length: 2100 }, () => rows[0]))
    expect([large.status, large.body['type']]).toEqual([413, 'urn:problem-type:reconsent:body-too-large'])
    expect((await batch([])).status).toBe(400)
  })

  test('Idempotency-Key: the same answer again, nothing done twice, and no token kept', async () => {
    const row = aRowOf()
    const repeat = { 'idempotency-key': randomUUID() }
    const first = await batch([row, {}], repeat)
    const again = await batch([row, {}], repeat)
    expect(first.body['counts']).toMatchObject({ created: 1, refused: 1 })
    expect([again.body, again.headers.get('idempotency-replayed')]).toEqual([first.body, 'true'])
    expect(await typesOf(String(row['credentials_id']))).toEqual(['consent.imported'])
    const kept = JSON.stringify(await world.db.prisma.idempotencyKey.findMany())
    expect(kept).not.toContain(String(row['refresh_token']))
    expect((await batch([row], repeat)).status).toBe(422)
  })

  test('batches at once about the same connections, and PUTs between them', async () => {
    const rows = Array.from({ length: 20 }, () => aRowOf())
    const answers = await Promise.all([
      batch(rows),
      batch(rows.toReversed(), { 'idempotency-key': randomUUID() }),
      ...rows.slice(0, 5).map(async (row) => put(String(row['credentials_id']), row)),
      batch(rows),
    ])
    expect(answers.every(({ status }) => status === 200 || status === 201)).toBe(true)
    for (const row of rows) expect(await typesOf(String(row['credentials_id']))).toEqual(['consent.imported'])
  })
})

describe('PATCH /v1/consents/{id}', () => {
  const patch = async (id: string, body: unknown, headers: Record<string, string> = {}) =>
    send('PATCH', `/consents/${id}`, { body, headers })

  test('changes what it names, and null clears; the event names the fields and no value', async () => {
    const { id, body } = aBody({ phone: '+44 20 7946 0000', name: 'Ada' })
    const { etag } = await put(id, body)
    const changed = await patch(id, { email: 'new@example.com', name: null, locale: 'fr', time_zone: 'Europe/Paris' })
    expect([changed.status, changed.body['result']]).toEqual([200, 'done'])
    expect(changed.etag).not.toBe(etag)
    expect(await rowOf(id)).toMatchObject({
      email: 'new@example.com',
      phone: '+44 20 7946 0000',
      name: null,
      locale: 'fr',
      timeZone: 'Europe/Paris',
    })
    const event = (await eventsOf(id)).at(-1)
    expect(event).toMatchObject({
      type: 'consent.updated',
      actor: 'company',
      data: { by: 'connect-flow', fields: ['email', 'name', 'locale', 'time_zone'] },
    })
    expect(JSON.stringify(event)).not.toContain('new@example.com')
    const again = await patch((await rowOf(id))?.id ?? '', { email: 'new@example.com', name: null })
    expect([again.body['result'], again.etag]).toEqual(['unchanged', changed.etag])
    expect((await patch(id, {})).body['result']).toBe('unchanged')
    expect(await typesOf(id)).toEqual(['consent.imported', 'consent.updated'])
  })

  test('If-Match, and who comes second', async () => {
    const { id, body } = aBody()
    const { etag } = await put(id, body)
    const answers = await Promise.all(
      ['fr', 'de', 'es'].map(async (locale) => patch(id, { locale }, { 'if-match': etag ?? '' })),
    )
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 412, 412])
  })

  test('an address where there was none: the message that was due goes out', async () => {
    const consent = await anAskedConsent(world, { email: undefined })
    expect(await world.notificationsOf(consent.id)).toEqual([])
    const email = `late-${randomUUID()}@example.com`
    await patch(consent.credentialsId, { email })
    await world.drain()
    expect(world.simulator.mails({ to: email })).toHaveLength(1)
  })

  test('problems all at once; no consent; one that is closed', async () => {
    const { id, body } = aBody()
    await put(id, body)
    const refused = await patch(id, { email: 'x', locale: 5, user_id: 'u', nme: 'x' })
    expect([refused.status, refusals(refused.body)]).toEqual([
      400,
      [
        { pointer: '#/email', detail: expect.stringContaining('is not a usable address') },
        { pointer: '#/locale', detail: 'must be text' },
        { pointer: '#/user_id', detail: 'is not known' },
        { pointer: '#/nme', detail: 'is not known: did you mean name?' },
      ],
    ])
    expect((await patch('nobody', {})).status).toBe(404)
    await send('DELETE', `/consents/${id}?as=revoked`)
    expect((await patch(id, { name: 'x' })).status).toBe(409)
  })

  test('channels: none is never messaged, null is all that the policy has', async () => {
    const { id, body } = aBody({ channels: [] })
    expect((await put(id, body)).body['consent']).toMatchObject({ channels: [], has_address: true })
    expect((await put(id, body)).body).toMatchObject({ result: 'unchanged' })
    const silent = await anAskedConsent(world, { channels: [], email: undefined })
    expect(silent).toMatchObject({ channels: [] })
    const email = `asked-${randomUUID()}@example.com`
    const changed = await patch(silent.id, { channels: null, email })
    expect(changed.body['consent']).toMatchObject({ channels: null, has_address: true })
    await world.drain()
    expect(world.simulator.mails({ to: email })).toHaveLength(1)
    expect((await patch(id, { channels: ['email', 'email'] })).body['consent']).toMatchObject({ channels: ['email'] })
    expect((await patch(id, { channels: ['email'] })).body['result']).toBe('unchanged')
    const detail = 'names a channel that there is not; there is email'
    expect(refusals((await patch(id, { channels: ['pigeon'] })).body)).toEqual([{ pointer: '#/channels', detail }])
    expect(refusals((await patch(id, { channels: 'none' })).body)).toEqual([
      { pointer: '#/channels', detail: 'must be a list of at most 10 texts' },
    ])
  })
})
