// Whole-list syncs: what the company's list does not have is told, and paused where that is asked for and not too much.
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { apiKeys } from '../../src/store/api-keys.ts'
import { aLine } from '../import/rows.ts'
import { startWorld, type World } from '../setup/world.ts'
import { expectFits } from './answers-fit.ts'
import { startWeb, type Web } from './web.ts'

let world: World
let web: Web
let key: string
beforeEach(async () => {
  world = await startWorld()
  web = await startWeb(world, { keyringTimes: { lookAgainAfterMs: 0 } })
  const wanted = { name: 'nightly', scopes: ['consents:write'], expiresAt: undefined, now: world.clock.now() } as const
  const created = await apiKeys(world.db).createApiKey(wanted)
  if (created.kind !== 'created') throw new Error('no key')
  key = created.secret.reveal()
})
afterEach(async () => {
  await web.close()
  await world.close()
})

const post = async (path: string, body: object, headers: Record<string, string> = {}) => {
  const answer = await fetch(`${web.url}/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const told = (await answer.json()) as Record<string, any>
  expectFits('POST', path, answer.status, told)
  return { status: answer.status, body: told }
}
const rows = (count: number) =>
  Array.from({ length: count }, () => aLine({ expires_at: world.clock.now().plus({ days: 60 }).toISO() }))
type Rows = ReturnType<typeof rows>
const send = async (list: unknown[], sync?: string) =>
  post('/consents:batch', { rows: list, ...(sync === undefined ? {} : { sync }) })
const statusesOf = async (list: Rows): Promise<(string | undefined)[]> =>
  Promise.all(list.map(async (row) => (await world.store.findConsent(String(row['credentials_id'])))?.status))
const opened = async (): Promise<string> => {
  world.clock.advance({ hours: 1 })
  return String((await post('/syncs', {})).body['id'])
}

test('what was in no batch is told; rows that were refused and consents that are newer count as named', async () => {
  const list = rows(40)
  await send(list)
  const sync = await opened()
  expect((await send([...list.slice(0, 20), { ...list[20], email: 'nobody' }], sync)).status).toBe(200)
  expect((await send(list.slice(21, 39), sync)).status).toBe(200)
  world.clock.advance({ minutes: 1 })
  await send(rows(1))
  const { status, body } = await post(`/syncs/${sync}/close`, {})
  expect([status, body]).toMatchObject([
    200,
    { active: 40, missing: 1, share: 2.5, paused: 0, more: false, withheld: false },
  ])
  expect(body['consents']).toEqual([
    expect.objectContaining({ credentials_id: list[39]?.['credentials_id'], user_id: list[39]?.['user_id'] }),
  ])
  expect(await statusesOf(list)).not.toContain('paused')
})

test('with pause: paused with an event that names the key; closing again finds none', async () => {
  const list = rows(40)
  await send(list)
  const sync = await opened()
  await send(list.slice(1), sync)
  const repeat = { 'idempotency-key': randomUUID() }
  const asked = { pause: true, reason: 'the nightly list' }
  const { body } = await post(`/syncs/${sync}/close`, asked, repeat)
  expect(body).toMatchObject({ missing: 1, paused: 1, more: false, withheld: false })
  expect((await statusesOf(list)).filter((status) => status === 'paused')).toHaveLength(1)
  const [gone] = body['consents'] as { id: string }[]
  expect((await world.eventsOf(gone?.id ?? '')).at(-1)).toMatchObject({
    type: 'consent.paused',
    actor: 'company',
    reason: 'the nightly list',
    data: { by: 'nightly' },
  })
  expect((await post(`/syncs/${sync}/close`, asked, repeat)).body).toEqual(body)
  expect((await post(`/syncs/${sync}/close`, asked)).body).toMatchObject({ missing: 1, paused: 0, consents: [] })
})

test('more than the share of the policy: nothing is paused, however often it is asked for', async () => {
  const list = rows(40)
  await send(list)
  const sync = await opened()
  await send(list.slice(3), sync)
  for (let asked = 0; asked < 2; asked += 1) {
    const { body } = await post(`/syncs/${sync}/close`, { pause: true })
    expect(body).toMatchObject({ missing: 3, share: 7.5, withheld: true, paused: 0, more: false })
  }
  expect(await statusesOf(list)).not.toContain('paused')
})

test('a list that was never sent pauses nothing', async () => {
  const list = rows(3)
  await send(list)
  const { body } = await post(`/syncs/${await opened()}/close`, { pause: true })
  expect(body).toMatchObject({ active: 3, missing: 3, share: 100, withheld: true, paused: 0 })
})

test('a batch of a sync that is closed or unknown writes nothing; to close an unknown one is 404', async () => {
  const sync = await opened()
  await post(`/syncs/${sync}/close`, {})
  for (const id of [sync, randomUUID(), 'x']) {
    const list = rows(1)
    expect((await send(list, id)).status).toBe(404)
    expect(await statusesOf(list)).toEqual([undefined])
  }
  expect((await post(`/syncs/${randomUUID()}/close`, {})).status).toBe(404)
  expect((await post('/syncs/x/close', {})).status).toBe(404)
})

test('a repetition opens one sync; one that nobody closed is forgotten after a week', async () => {
  const repeat = { 'idempotency-key': randomUUID() }
  const first = await post('/syncs', {}, repeat)
  expect([first.status, (await post('/syncs', {}, repeat)).body]).toEqual([201, first.body])
  await send(rows(2), String(first.body['id']))
  expect(await world.db.prisma.syncEntry.count()).toBe(2)
  world.clock.advance({ days: 8 })
  await post('/syncs', {})
  expect([await world.db.prisma.sync.count(), await world.db.prisma.syncEntry.count()]).toEqual([1, 0])
})
