// When the provider rejects many calls in a short time, the fault is ours: the circuit opens, one trial call a minute
// goes through, and no consent is blamed.
import { Duration } from 'luxon'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TransientError } from '../../src/errors.ts'
import { circuitBreaker } from '../../src/processors/circuit-breaker.ts'
import { Secret } from '../../src/secret.ts'
import type { CircuitName } from '../../src/store/port.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { advance, authorisation, bringUpToDate, daysLeft, renew, rungsSent, seen, silent, withCode } from './rig.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(async () => world.close())

const due = async (count: number) =>
  Promise.all(
    Array.from({ length: count }, async () => world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })),
  )
const holdOf = async (wanted: CircuitName) => (await world.store.getHealth()).open.find(({ code }) => code === wanted)
const calls = (what: 'reauthuri' | 'exchange'): number => world.simulator.ledger.count({ what })
const rejectClient = (over: Record<string, number>): void =>
  world.simulator.switches.set({ invalid_client_until: world.clock.now().plus(over).toISO() })

describe('many 401 for links', () => {
  beforeEach(() => world.simulator.switches.set({ redirect_mismatch: 'strict' }))
  const rejectLinks = (): void =>
    void world.simulator.faults.add({ endpoint: 'reauthuri', kind: 'error-json', status: 401, error: 'unauthorized' })

  test('for ten different connections: the circuit opens; the eleventh is not asked about, nor blamed', async () => {
    rejectLinks()
    const consents = await due(12)
    for (const { id } of consents) await renew(world)(id, aRun())
    expect(calls('reauthuri')).toBe(10)
    const held = await world.consentOf(consents[11]?.id ?? '')
    expect(held).toMatchObject({ lastErrorCode: 'provider-circuit-open', failedAttempts: 0, status: 'active' })
    expect(held.nextActionAt?.diff(world.clock.now()).as('seconds')).toBeLessThanOrEqual(60)
  })

  test('one trial call a minute, however many jobs wait', async () => {
    rejectLinks()
    const consents = await due(14)
    for (const { id } of consents) await renew(world)(id, aRun())
    for (let minute = 1; minute <= 3; minute += 1) {
      world.clock.advance({ seconds: 61 })
      await Promise.all(consents.slice(10).map(async ({ id }) => renew(world)(id, aRun({ manual: true }))))
      expect(calls('reauthuri')).toBe(10 + minute)
    }
  })

  test('a success closes the circuit, and the held consents get their link and their mail', async () => {
    rejectLinks()
    const consents = await due(12)
    for (const { id } of consents) await renew(world)(id, aRun())
    world.simulator.faults.clear()
    world.clock.advance({ seconds: 61 })
    for (const { id } of consents.slice(10)) await bringUpToDate(world, id)
    for (const { id } of consents.slice(10)) expect(await rungsSent(world, id)).toEqual(['-14d sent'])
    expect(await holdOf('link-rejected')).toBeUndefined()
  })

  test('for nine, or for the same one ten times, open no circuit', async () => {
    rejectLinks()
    const consents = await due(9)
    for (const { id } of [...consents, ...consents]) await renew(world)(id, aRun({ manual: true }))
    expect(calls('reauthuri')).toBe(18)
    expect(await holdOf('link-rejected')).toBeUndefined()
  })

  test('ten over more than five minutes open no circuit', async () => {
    rejectLinks()
    for (const { id } of await due(12)) {
      await renew(world)(id, aRun())
      world.clock.advance({ seconds: 35 })
    }
    expect(calls('reauthuri')).toBe(12)
  })

  test('a received code is still sent', async () => {
    const { consent, codeId } = await withCode(world)
    rejectLinks()
    for (const { id } of await due(11)) await renew(world)(id, aRun())
    expect(await holdOf('link-rejected')).toBeDefined()
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })
})

describe('invalid_client', () => {
  test('for three different connections: the circuit opens, links too; codes valid long enough are kept', async () => {
    const all = [await withCode(world), await withCode(world), await withCode(world), await withCode(world)]
    rejectClient({ seconds: 100 })
    for (const { codeId } of all) await advance(world)(codeId, aRun())
    expect(calls('exchange')).toBe(3)
    expect(await holdOf('client-rejected')).toBeDefined()
    expect(await authorisation(world, all[3]?.codeId ?? '')).toMatchObject({
      status: 'code_received',
      errorCode: 'provider-circuit-open',
    })
    const [other] = await due(1)
    expect(await renew(world)(other?.id ?? '', aRun())).toMatchObject({
      kind: 'snooze',
      reason: 'the circuit breaker of calls to the provider is open',
    })
    world.clock.advance({ seconds: 125 })
    for (const { consent } of all) await bringUpToDate(world, consent.id)
    expect(await holdOf('client-rejected')).toBeUndefined()
    for (const { consent } of all) expect(await daysLeft(world, consent.id)).toBe(90)
  })

  test('a link that works says nothing about our secret: the failures still count', async () => {
    const all = [await withCode(world), await withCode(world), await withCode(world)]
    rejectClient({ hours: 1 })
    for (const { codeId } of all) {
      await advance(world)(codeId, aRun())
      const [other] = await due(1)
      await renew(world)(other?.id ?? '', aRun())
    }
    expect(await holdOf('client-rejected')).toBeDefined()
  })

  test('a refused code shows that our secret was accepted: the failures are forgotten', async () => {
    const all = [await withCode(world), await withCode(world)]
    const last = await withCode(world)
    rejectClient({ seconds: 1 })
    for (const { codeId } of all) await advance(world)(codeId, aRun())
    world.clock.advance({ seconds: 3 })
    world.simulator.faults.add({
      endpoint: 'exchange',
      kind: 'error-json',
      status: 400,
      error: 'invalid_grant',
      count: 1,
    })
    await advance(world)(all[0]?.codeId ?? '', aRun({ manual: true }))
    rejectClient({ hours: 1 })
    await advance(world)(last.codeId, aRun())
    expect(await holdOf('client-rejected')).toBeUndefined()
  })

  test('without a code for a trial call, a link’s trial call only asks whether our credentials are valid', async () => {
    const all = [await withCode(world), await withCode(world), await withCode(world)]
    rejectClient({ minutes: 30 })
    for (const { codeId } of all) await advance(world)(codeId, aRun())
    world.clock.advance({ minutes: 6 })
    for (const { consent } of all) await bringUpToDate(world, consent.id)
    const [waiting] = await due(1)
    const id = waiting?.id ?? ''
    const links = calls('reauthuri')
    for (let minute = 0; minute < 5; minute += 1) {
      world.clock.advance({ seconds: 61 })
      await bringUpToDate(world, id)
    }
    expect(calls('reauthuri')).toBe(links)
    expect(await holdOf('client-rejected')).toBeDefined()
    world.clock.advance({ minutes: 30 })
    await bringUpToDate(world, id)
    expect(await holdOf('client-rejected')).toBeUndefined()
    expect(await rungsSent(world, id)).toEqual(['-14d sent'])
    expect(world.simulator.ledger.count({ what: 'exchange', outcome: 'ok' })).toBe(0)
  })

  test('for one connection alone never opens the circuit: an invalid token gets the same answer', async () => {
    const { codeId } = await withCode(world)
    rejectClient({ minutes: 4 })
    for (let time = 0; time < 8; time += 1) {
      await advance(world)(codeId, aRun({ manual: true }))
      world.clock.advance({ seconds: 20 })
    }
    expect(await holdOf('client-rejected')).toBeUndefined()
  })
})

test('only one of many workers makes a minute’s trial call', async () => {
  const { store, clock } = world
  const failure = {
    code: 'client-rejected' as const,
    connection: 'a',
    now: clock.now(),
    since: clock.now().minus({ minutes: 5 }),
    threshold: 1,
    trialEvery: Duration.fromObject({ minutes: 1 }),
  }
  expect(await store.countFailure(failure)).toBe(true)
  expect(await store.countFailure({ ...failure, connection: 'b' })).toBe(false)
  const later = clock.now().plus({ minutes: 1, seconds: 1 })
  const taken = await Promise.all(
    Array.from({ length: 20 }, async () =>
      store.takeTrial('client-rejected', later, Duration.fromObject({ minutes: 1 })),
    ),
  )
  expect(taken.filter(Boolean)).toHaveLength(1)
})

test('with an open circuit an answer names the next trial; a full authentication link needs no call', async () => {
  const { store, clock, provider } = world
  const now = clock.now()
  await store.countFailure({
    code: 'link-rejected',
    connection: 'a',
    now,
    since: now,
    threshold: 1,
    trialEvery: Duration.fromObject({ minutes: 1 }),
  })
  const request = {
    refreshToken: new Secret('x'),
    redirectUri: 'http://127.0.0.1/',
    state: new Secret('s'),
    codeChallenge: 'c',
    providerId: 'p',
    scopes: [],
  }
  const held = await provider.makeLink('c', { ...request, route: 'reauth' })
  expect(held.kind === 'circuit-open' && held.until.diff(clock.now()).as('seconds')).toBeGreaterThan(50)
  expect((await provider.makeLink('c', { ...request, route: 'full' })).kind).toBe('link')
})

test('the database is unavailable when open circuits are read: the code is kept, and is sent afterwards', async () => {
  const { consent, codeId } = await withCode(world)
  const away = new TransientError('database-unavailable')
  const store = { ...world.store, getHealth: async () => Promise.reject(away) }
  const provider = circuitBreaker({ provider: world.client, store, clock: world.clock, log: silent })
  expect(await advance(world, { provider })(codeId, aRun())).toMatchObject({
    kind: 'snooze',
    reason: expect.stringContaining('database-unavailable'),
  })
  expect(await authorisation(world, codeId)).toMatchObject({
    status: 'code_received',
    errorCode: 'database-unavailable',
  })
  expect(seen(world, consent, 'exchange')).toEqual([])
  world.clock.advance({ seconds: 3 })
  await bringUpToDate(world, consent.id)
  expect((await authorisation(world, codeId)).status).toBe('renewed')
})

test('… and still unavailable when the code is given back: that is retried until it is written', async () => {
  const { consent, codeId } = await withCode(world)
  const away = new TransientError('database-unavailable')
  const getHealth = async () => Promise.reject(away)
  const provider = circuitBreaker({
    provider: world.client,
    store: { ...world.store, getHealth },
    clock: world.clock,
    log: silent,
  })
  let tries = 0
  const requeueCode: World['store']['requeueCode'] = async (...args) =>
    (tries += 1) < 3 ? Promise.reject(away) : world.store.requeueCode(...args)
  await advance(world, { provider, store: { ...world.store, requeueCode } })(codeId, aRun())
  expect((await authorisation(world, codeId)).status).toBe('code_received')
  expect(seen(world, consent, 'exchange')).toEqual([])
})
