// A consent whose `channels` are empty: nobody is messaged, and all else is as for any other.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { judgeRequest } from '../../src/domain/renewal-request.ts'
import type { Consent } from '../../src/domain/model.ts'
import { explain } from '../../src/presentation/explanation.ts'
import { listing } from '../../src/store/listing.ts'
import { startWorld, type World } from '../setup/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const add = async (over: Partial<Consent> = {}): Promise<Consent> =>
  world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), channels: [], ...over })
const explained = async ({ id }: Consent) => {
  const view = await world.store.getView(id)
  if (view === undefined) throw new Error('gone')
  return explain(view, world.clock.now(), world.policy)
}

test.each<[string, Partial<Consent>]>([
  ['with an address', {}],
  ['without one', { email: undefined }],
])(
  '%s: the cycle is opened with its link and events, renewed by the button, and no message is made',
  async (_, over) => {
    const consent = await add(over)
    await world.drain()
    expect(await world.renewalsOf(consent.id)).toMatchObject([{ status: 'open', cycle: 1 }])
    expect(await world.authorisationsOf(consent.id)).toMatchObject([{ status: 'issued', handedOutAt: null }])
    expect((await world.eventsOf(consent.id)).map(({ type }) => type)).toEqual(['renewal.opened', 'link.made'])
    expect(await world.notificationsOf(consent.id)).toEqual([])
    await world.goToBank(consent.id, 'approve')
    await world.drain()
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, channels: [] })
    if (consent.email !== undefined) expect(world.mailsTo(consent)).toEqual([])
  },
)

test('explain says why nobody is messaged, of the rungs, too', async () => {
  const consent = await add()
  await world.drain()
  const { trail, rungs, next } = await explained(consent)
  expect(trail).toContainEqual({
    rule: 'channel',
    decided: false,
    detail: 'never messaged: the company says so (its channels are empty)',
  })
  expect(new Set(rungs.map(({ state }) => state))).toEqual(new Set(['stopped']))
  expect(next).toMatchObject({ action: 'wait', reason: 'next proof that the consent can be renewed' })
})

test('to ask by hand is refused, and it is not counted among those without an address', async () => {
  const consent = await add({ email: undefined })
  expect(judgeRequest(consent, world.clock.now(), world.policy)).toMatchObject({
    kind: 'refused',
    reason: expect.stringContaining('never messaged'),
  })
  const { pageConsents } = listing(world.db, world.policy.channels)
  const listed = await pageConsents({ withoutChannel: true }, { limit: 1000 })
  expect(listed.map(({ id }) => id)).not.toContain(consent.id)
  const omitted = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), email: undefined })
  expect((await pageConsents({ withoutChannel: true }, { limit: 1000 })).map(({ id }) => id)).toContain(omitted.id)
})

test('a message that was queued before the company said so is cancelled', async () => {
  const consent = await add({ channels: undefined })
  await world.jobs.consent(consent.id, { manual: false, isLastTry: true, signal: new AbortController().signal })
  expect(await world.notificationsOf(consent.id)).toMatchObject([{ status: 'pending' }])
  await world.db.prisma.consent.update({ where: { id: consent.id }, data: { channels: '' } })
  await world.drain()
  expect(await world.notificationsOf(consent.id)).toMatchObject([{ status: 'cancelled' }])
  expect(world.mailsTo(consent)).toEqual([])
})
