// Links on demand: our start page's address, or a bank link made now.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { apiKeys } from '../../src/store/api-keys.ts'
import { Secret } from '../../src/secret.ts'
import { startWorld, type World } from '../setup/world.ts'
import { expectFits } from './answers-fit.ts'
import { anAskedConsent, startWeb, type Web } from './web.ts'

let world: World
let web: Web
let key: string
beforeAll(async () => {
  world = await startWorld()
  web = await startWeb(world, { keyringTimes: { lookAgainAfterMs: 0 } })
  const wanted = { name: 'app', scopes: ['links:create'], expiresAt: undefined, now: world.clock.now() } as const
  const created = await apiKeys(world.db).createApiKey(wanted)
  if (created.kind !== 'created') throw new Error('no key')
  key = created.secret.reveal()
})
afterAll(async () => {
  await web.close()
  await world.close()
})

const link = async (id: string, body?: object, headers: Record<string, string> = {}) => {
  const path = `/consents/${id}/link`
  const answer = await fetch(`${web.url}/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const told = (await answer.json()) as Record<string, any>
  expectFits('POST', path, answer.status, told)
  return { status: answer.status, headers: answer.headers, body: told }
}
const typesOf = async (id: string) => (await world.eventsOf(id)).map(({ type }) => type)
const lastOf = async (id: string, type: string) => (await world.eventsOf(id)).findLast((event) => event.type === type)
const inDays = (days: number) => ({ expiresAt: world.clock.now().plus({ days }) })
/** The user follows a link to the bank, approves, and comes back. */
const approve = async (bank: string): Promise<void> => {
  const played = await world.simulator.play({ link: bank, as: 'approve' })
  if (played.kind !== 'callback' || played.method !== 'GET') throw new Error(`no callback came: ${played.kind}`)
  const query = new URL(played.url).searchParams
  await world.receive({ state: new Secret(query.get('state') ?? ''), code: new Secret(query.get('code') ?? '') })
  await world.drain()
}

describe('the address of our start page', () => {
  test('of an open cycle: the one of the mail, as often as it is asked for; nothing is written', async () => {
    const consent = await anAskedConsent(world)
    const before = await typesOf(consent.id)
    const first = await link(consent.credentialsId)
    expect([first.status, first.body]).toEqual([
      200,
      {
        link: expect.stringMatching(/^http:\/\/127\.0\.0\.1:3000\/r\/[\w-]{43}$/),
        direct: false,
        cycle: 1,
        opened: false,
      },
    ])
    const [mail] = world.mailsTo(consent)
    expect(JSON.stringify(mail)).toContain(first.body['link'])
    expect((await link(consent.id, {})).body).toEqual(first.body)
    expect(await typesOf(consent.id)).toEqual(before)
    const { status } = await web.get(new URL(first.body['link']).pathname)
    expect(status).toBe(200)
    expect(web.logged()).not.toContain(first.body['link'])
  })

  test('with no open cycle: 409, unless it is to be opened; nobody is messaged, and the user is renewed', async () => {
    const consent = await world.addConsent(inDays(60))
    const none = await link(consent.id)
    expect([none.status, none.body['type']]).toEqual([409, 'urn:problem-type:reconsent:no-open-cycle'])
    expect(await world.renewalsOf(consent.id)).toEqual([])
    const opened = await link(consent.id, { open: true, reason: 'the app shows it' })
    expect(opened.body).toMatchObject({ opened: true, cycle: 1 })
    expect(await lastOf(consent.id, 'renewal.opened')).toMatchObject({
      actor: 'company',
      reason: 'the app shows it',
      data: { cycle: 1, by: 'app' },
    })
    expect((await link(consent.id, { open: true })).body).toEqual({ ...opened.body, opened: false })
    await world.drain()
    expect(await world.notificationsOf(consent.id)).toEqual([])
    await world.goToBank(consent.id, 'approve')
    await world.drain()
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('asked for at once by several: one cycle is opened', async () => {
    const consent = await world.addConsent(inDays(60))
    const answers = await Promise.all(Array.from({ length: 5 }, async () => link(consent.id, { open: true })))
    expect(new Set(answers.map(({ body }) => body['link'])).size).toBe(1)
    expect(answers.filter(({ body }) => body['opened'] === true)).toHaveLength(1)
    expect(await world.renewalsOf(consent.id)).toHaveLength(1)
  })
})

describe('a direct link', () => {
  test('leads to the bank, counts as handed out by the key, and another is made for a repetition', async () => {
    const consent = await world.addConsent({ ...inDays(60), email: undefined })
    const repeat = { 'idempotency-key': randomUUID() }
    const first = await link(consent.id, { direct: true, open: true }, repeat)
    expect(first.body).toMatchObject({ direct: true, opened: true })
    expect(await lastOf(consent.id, 'link.handed-out')).toMatchObject({ actor: 'company', data: { by: 'app' } })
    const second = await link(consent.id, { direct: true, open: true }, repeat)
    expect([second.status, second.headers.get('idempotency-replayed')]).toEqual([200, null])
    expect(second.body['link']).not.toBe(first.body['link'])
    expect(await world.db.prisma.idempotencyKey.count()).toBe(0)
    expect(web.logged()).not.toContain(first.body['link'])
    await approve(second.body['link'])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('while the user is at the bank the job does not bother; a code in hand is told', async () => {
    const consent = await anAskedConsent(world)
    const { body } = await link(consent.id, { direct: true })
    const played = await world.simulator.play({ link: body['link'], as: 'approve' })
    if (played.kind !== 'callback') throw new Error('no callback')
    const query = new URL(played.method === 'GET' ? played.url : 'x:').searchParams
    await world.receive({ state: new Secret(query.get('state') ?? ''), code: new Secret(query.get('code') ?? '') })
    const told = await link(consent.id, { direct: true })
    expect([told.status, told.body['detail']]).toEqual([
      409,
      'the user has come back from the bank: the outcome comes first',
    ])
  })
})

test('refused where no cycle may be open: paused, closed, past grace; unknown is 404', async () => {
  const refused = async (over: Parameters<World['addConsent']>[0]) => {
    const consent = await world.addConsent(over)
    const { status, body } = await link(consent.id, { open: true })
    expect([status, body['type']]).toEqual([409, 'urn:problem-type:reconsent:refused'])
    return body['detail']
  }
  expect(await refused({ ...inDays(60), status: 'paused' })).toContain('resume it first')
  expect(await refused({ ...inDays(60), status: 'revoked' })).toContain('closed as revoked')
  expect(await refused({ ...inDays(-120), status: 'lapsed' })).toContain('renewed no more')
  expect((await link(randomUUID(), { open: true })).status).toBe(404)
  expect((await link(randomUUID(), { opne: true })).body['errors']).toEqual([
    { pointer: '#/opne', detail: 'is not known: did you mean open?' },
  ])
})
