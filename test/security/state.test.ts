// The state ties a callback to a user's own visit to the bank: a state that is replayed, late, cut short, another
// user's, or given several times opens nothing. By real HTTP, up to the end of the exchange.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { administration } from '../../src/store/administration.ts'
import { anAskedConsent, aWeb, form, startWeb, theCallback, WITH_KEY, type Web } from '../http/web.ts'
import { bringUpToDate, seen } from '../processors/rig.ts'
import { startWorld, type World } from '../setup/world.ts'

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

const statusesOf = async ({ id }: Consent): Promise<string[]> =>
  (await world.authorisationsOf(id)).map(({ status }) => status).toSorted()
const cycleOf = async ({ id }: Consent): Promise<number> => (await world.consentOf(id)).cycle
const bring = async (query: URLSearchParams) => web.get(`/callback?${query}`)
const pageAfter = async (query: URLSearchParams) => web.get((await bring(query)).location)
const withState = (query: URLSearchParams, state: string): URLSearchParams =>
  new URLSearchParams({ code: query.get('code') ?? '', state })
const withCode = (query: URLSearchParams, code: string): URLSearchParams =>
  new URLSearchParams({ code, state: query.get('state') ?? '' })

describe('a state', () => {
  test('that is replayed has no effect: with any code, before and after the renewal, a week later', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const first = (await bring(query)).location
    expect((await bring(withCode(query, 'another-code'))).location).toBe(first)
    await bringUpToDate(world, consent.id)
    expect([await cycleOf(consent), seen(world, consent, 'exchange')]).toEqual([2, ['ok']])
    for (const later of [{ minutes: 1 }, { hours: 1 }, { days: 7 }]) {
      world.clock.advance(later)
      for (const replayed of [query, withCode(query, 'another-code')])
        expect((await bring(replayed)).location).toBe(first)
      await bring(new URLSearchParams({ state: query.get('state') ?? '', error: 'access_denied' }))
      await bringUpToDate(world, consent.id)
    }
    expect([await cycleOf(consent), await statusesOf(consent), seen(world, consent, 'exchange')]).toEqual([
      2,
      ['renewed'],
      ['ok'],
    ])
  })

  test('of more than 24 hours ago still counts while its cycle runs: the user has done their part', async () => {
    const consent = await anAskedConsent(world)
    const link = await world.leave(consent.id)
    world.simulator.switches.set({ link_life_seconds: 7 * 86_400, code_life_seconds: 300 })
    world.clock.advance({ hours: 25 })
    expect(await world.store.expireAttempts(world.clock.now(), 100)).toBeGreaterThan(0)
    expect(await statusesOf(consent)).toContain('expired')
    const played = await world.simulator.play({ link, as: 'approve' })
    world.simulator.switches.reset()
    if (played.kind !== 'callback') throw new Error('the bank did not take the old link')
    await bring(new URL(played.url).searchParams)
    await bringUpToDate(world, consent.id)
    expect([await cycleOf(consent), seen(world, consent, 'exchange')]).toEqual([2, ['ok']])
  })

  test('of a cycle that is over has no effect: of a renewed one, or of a consent that was closed', async () => {
    const renewed = await anAskedConsent(world)
    const [early, late] = [await theCallback(world, renewed.id), await theCallback(world, renewed.id)]
    await bring(late)
    await bringUpToDate(world, renewed.id)
    expect((await pageAfter(early)).body).toContain('renewed')
    await bringUpToDate(world, renewed.id)
    expect([
      await cycleOf(renewed),
      seen(world, renewed, 'exchange'),
      (await statusesOf(renewed)).filter((one) => one === 'code_received'),
    ]).toEqual([2, ['ok'], []])

    const closed = await anAskedConsent(world)
    const query = await theCallback(world, closed.id)
    await administration(world.db, world.policy).closeForGood(closed.id, 'opted_out', {
      now: world.clock.now(),
      reason: 'the user said so',
    })
    expect((await pageAfter(query)).status).toBe(410)
    await world.drain()
    expect([await cycleOf(closed), seen(world, closed, 'exchange')]).toEqual([1, []])
  })

  test('that is cut short, made longer, or changed in one letter belongs to no user', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const state = query.get('state') ?? ''
    const swapped = `${state.slice(0, -1)}${state.endsWith('A') ? 'B' : 'A'}`
    const shorter = [state.slice(0, -1), state.slice(1), state.slice(0, 8)]
    const longer = [`${state}A`, `A${state}`, ` ${state}`, `${state} `, `${state}%`, `${state}.`]
    for (const wrong of [...shorter, ...longer, swapped, state.toUpperCase()]) {
      expect((await pageAfter(withState(query, wrong))).status).toBe(404)
    }
    expect(await statusesOf(consent)).toEqual(['issued'])
    expect((await bring(query)).status).toBe(303)
    expect(await statusesOf(consent)).toEqual(['code_received'])
  })

  test('of another user gives them nothing of ours: their exchange fails, our attempt stays open', async () => {
    const [ours, theirs] = [await anAskedConsent(world), await anAskedConsent(world)]
    const [our, their] = [await theCallback(world, ours.id), await theCallback(world, theirs.id)]
    const tokenBefore = await world.tokenOf(theirs.id)
    // Our code comes with their state: their verifier does not match the one of our link.
    await bring(withState(our, their.get('state') ?? ''))
    await bringUpToDate(world, theirs.id)
    expect([await cycleOf(theirs), await world.tokenOf(theirs.id), await statusesOf(ours)]).toEqual([
      1,
      tokenBefore,
      ['issued'],
    ])
    expect(await statusesOf(theirs)).not.toContain('renewed')
    // Both users can still renew with another visit each.
    for (const consent of [ours, theirs]) {
      world.clock.advance({ minutes: 10 })
      await bringUpToDate(world, consent.id)
      await bring(await theCallback(world, consent.id))
      await bringUpToDate(world, consent.id)
      expect(await cycleOf(consent)).toBe(2)
      expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    }
  })

  test('as an array, in whatever notation, is refused and stays unused', async () => {
    const consent = await anAskedConsent(world)
    const query = await theCallback(world, consent.id)
    const [state, code] = [query.get('state') ?? '', query.get('code') ?? '']
    const texts = [
      `state=${state}&state=${state}&code=${code}`,
      `state=x&state=${state}&code=${code}`,
      `state[]=${state}&code=${code}`,
      `state[0]=${state}&code=${code}`,
      `state%5B%5D=${state}&code=${code}`,
      `state[state]=${state}&code=${code}`,
    ]
    for (const text of texts) {
      expect((await web.get(`/callback?${text}`)).status).toBe(400)
      expect(
        (await web.post('/callback', { body: text, headers: { 'content-type': 'application/x-www-form-urlencoded' } }))
          .status,
      ).toBe(400)
    }
    for (const body of [
      { state: [state], code },
      { state: { 0: state }, code },
      [{ state, code }],
      { state: null, code },
      { state, code: [code] },
    ]) {
      const answer = await web.post('/v1/callbacks', {
        body: JSON.stringify(body),
        headers: { ...WITH_KEY, 'content-type': 'application/json' },
      })
      expect([answer.status, answer.body.includes(state), answer.body.includes(code)]).toEqual([400, false, false])
    }
    expect(await statusesOf(consent)).toEqual(['issued'])
  })
})

describe('a flood of unknown states', () => {
  test('from the same address never blocks a first valid one: before, during and after it', async () => {
    const flooded = await aWeb(world)
    const consents = await Promise.all([0, 1, 2].map(async () => anAskedConsent(world)))
    const valid = await Promise.all(consents.map(async ({ id }) => theCallback(world, id)))
    const statusOf = async (query: string): Promise<number> => (await flooded.get(`/callback?${query}`)).status
    const guess = async (_: unknown, index: number): Promise<number> =>
      statusOf(`state=guess-${index}-${'x'.repeat(30)}&code=x`)
    const bringOne = async (index: number): Promise<number> => statusOf(String(valid[index]))
    expect(await bringOne(0)).toBe(303)
    const during = await Promise.all([...Array.from({ length: 200 }, guess), bringOne(1)])
    expect(during.at(-1)).toBe(303)
    expect(during.slice(0, -1).filter((status) => status === 429).length).toBeGreaterThan(100)
    // A valid state is accepted by the form as well, while every further guess is refused.
    const after = await flooded.post('/callback', { body: valid[2] ?? null })
    expect([after.status, (await flooded.post('/callback', form({ state: 'guess', code: 'x' }))).status]).toEqual([
      303, 429,
    ])
    for (const consent of consents) expect(await statusesOf(consent)).toEqual(['code_received'])
  })
})
