// The start page and its button: what the page shows in each state, which authorisation URL the button gives, and that
// it gives none twice.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { prepareAuthorisation } from '../../src/processors/prepare-authorisation.ts'
import { leaveForBank } from '../../src/processors/visit-start-page.ts'
import { holdLocks } from '../setup/locks.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  askedConsent,
  authorisation,
  bringUpToDate,
  codeOf,
  eventTypes,
  fault,
  liveUntil,
  seen,
  silent,
  withCode,
} from './rig.ts'
import { planting } from '../setup/plant.ts'

let world: World
beforeAll(async () => {
  world = await startWorld({
    policy: { providers: { IE: { routes: ['full'] }, 'uk-ob-starling': { routes: ['full'] } }, afterGrace: 'ask-once' },
  })
})
afterAll(async () => world.close())
afterEach(async () => {
  world.simulator.switches.reset()
  world.simulator.faults.clear()
  await world.store.closeCircuit('link-rejected')
})

const links = (consent: Parameters<typeof seen>[1]): number => seen(world, consent, 'reauthuri').length
const pageOf = async (id: string): Promise<string> => (await world.look(id)).kind

describe('the link it gives', () => {
  test('the one made with the message, when the mail is opened at once: no second call', async () => {
    const consent = await askedConsent(world)
    world.clock.advance({ minutes: 7, seconds: 50 })
    await world.leave(consent.id)
    expect(links(consent)).toBe(1)
    expect((await world.authorisationsOf(consent.id)).map(({ handedOutAt }) => handedOutAt !== null)).toEqual([true])
    expect((await eventTypes(world, consent.id)).at(-1)).toBe('link.handed-out')
  })

  test('a new one, when that one is older than policy link.freshFor', async () => {
    const consent = await askedConsent(world)
    world.clock.advance({ minutes: 8, seconds: 1 })
    await world.leave(consent.id)
    expect(links(consent)).toBe(2)
    const [first, second] = await world.authorisationsOf(consent.id)
    expect([first?.handedOutAt, second?.handedOutAt === null, second?.link]).toEqual([null, false, null])
  })

  test('a new one at each further press, each with its own state and verifier', async () => {
    const consent = await askedConsent(world)
    const given = await Promise.all(Array.from({ length: 5 }, async () => world.leave(consent.id)))
    expect(new Set(given).size).toBe(5)
    const rows = await world.authorisationsOf(consent.id)
    expect(rows).toHaveLength(5)
    expect(new Set(rows.map(({ stateHash }) => Buffer.from(stateHash).toString('hex'))).size).toBe(5)
    expect(new Set(rows.map(({ doneId }) => doneId)).size).toBe(5)
  })

  test('one press after the other: no link is given twice, nor kept for the next press', async () => {
    const consent = await askedConsent(world)
    const given: string[] = []
    for (let press = 0; press < 4; press += 1) given.push(await world.leave(consent.id))
    expect(new Set(given).size).toBe(4)
    expect((await world.authorisationsOf(consent.id)).every(({ handedOutAt }) => handedOutAt !== null)).toBe(true)
  })

  test('two presses that meet at the same link: one gets it, the other another', async () => {
    const consent = await askedConsent(world)
    const held = await holdLocks(world.db, 'SELECT 1 FROM authorisations WHERE consent_id = $1 FOR UPDATE', [
      consent.id,
    ])
    const presses = Promise.all([world.leave(consent.id), world.leave(consent.id)])
    await held.untilWaiting(2)
    await held.commit()
    expect(new Set(await presses).size).toBe(2)
  })

  test('one for full authentication where the cycle goes that way', async () => {
    const consent = await askedConsent(world, { country: 'IE', providerId: 'ie-ob-aib' })
    expect(await world.leave(consent.id)).toContain('response_type=code')
    world.clock.advance({ minutes: 9 })
    expect(await world.leave(consent.id)).toContain('response_type=code')
  })

  test('one by the remaining routes, where the policy has dropped the cycle’s route: as the job would', async () => {
    const consent = await askedConsent(world, { providerId: 'uk-ob-starling' })
    world.clock.advance({ minutes: 9 })
    const pressUnder = async (providers: World['policy']['providers']) => {
      const policy = { ...world.policy, providers }
      return leaveForBank({
        store: world.store,
        prepare: world.prepare,
        renewalOfToken: world.vault.renewalOfToken,
        clock: world.clock,
        policy,
        log: silent,
      })(await world.startToken(consent.id))
    }
    expect((await pressUnder({})).kind).toBe('to-bank')
    expect((await world.authorisationsOf(consent.id)).map(({ route }) => route)).toEqual(['full', 'reauth'])
    expect((await pressUnder({ GB: { reauth: 'no' } })).kind).toBe('refused')
  })

  test('not the one made with the message, where policy or the end of grace closed its route since', async () => {
    const press = async (id: string, over: Partial<World['policy']>) => {
      const policy = { ...world.policy, ...over }
      return leaveForBank({
        store: world.store,
        prepare: world.prepare,
        renewalOfToken: world.vault.renewalOfToken,
        clock: world.clock,
        policy,
        log: silent,
      })(await world.startToken(id))
    }
    const dropped = await askedConsent(world)
    expect((await press(dropped.id, { routes: ['full'] })).kind).toBe('to-bank')
    expect(
      (await world.authorisationsOf(dropped.id)).map(({ route, handedOutAt }) => [route, handedOutAt !== null]),
    ).toEqual([
      ['reauth', false],
      ['full', true],
    ])

    const ended = await world.addConsent({ expiresAt: world.clock.now().minus({ days: 90 }).plus({ minutes: 3 }) })
    await bringUpToDate(world, ended.id)
    expect((await world.authorisationsOf(ended.id)).map(({ route }) => route)).toEqual(['reauth'])
    world.clock.advance({ minutes: 4 })
    expect((await press(ended.id, {})).kind).toBe('refused')
    expect((await press(ended.id, { routes: ['reauth', 'full'] })).kind).toBe('to-bank')
    expect(
      (await world.authorisationsOf(ended.id)).map(({ route, handedOutAt }) => [route, handedOutAt !== null]),
    ).toEqual([
      ['reauth', false],
      ['full', true],
    ])
  })

  test('none, when the provider refuses or is unavailable: a page for each, and the button works later', async () => {
    const consent = await askedConsent(world)
    world.clock.advance({ minutes: 9 })
    fault(world, consent, { endpoint: 'reauthuri', kind: 'error-json', status: 401, error: 'unauthorized' })
    expect((await world.leaveForBank(consent.id)).kind).toBe('refused')
    fault(world, consent, { endpoint: 'reauthuri', kind: 'rate-limited' })
    expect((await world.leaveForBank(consent.id)).kind).toBe('busy')
    expect((await world.leaveForBank(consent.id)).kind).toBe('to-bank')
    expect((await world.consentOf(consent.id)).failedAttempts).toBe(0)
  })
})

describe('what it shows', () => {
  test('ready; being checked while a code is under way; already renewed', async () => {
    const { consent, codeId } = await withCode(world)
    expect(await pageOf(consent.id)).toBe('being-checked')
    expect((await world.leaveForBank(consent.id)).kind).toBe('not-now')
    world.simulator.switches.set({ me_lag_seconds: 5 })
    await advance(world)(codeId, aRun())
    expect([(await authorisation(world, codeId)).status, await pageOf(consent.id)]).toEqual([
      'verifying',
      'being-checked',
    ])
    world.clock.advance({ seconds: 11 })
    const token = await world.startToken(consent.id)
    await advance(world)(codeId, aRun())
    expect(await pageOf(consent.id)).toBe('already-renewed')
    expect(token).toBe(await world.startToken(consent.id))
  })

  test('ready while an outcome is unknown: trying again harms nothing', async () => {
    const { consent } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await bringUpToDate(world, consent.id)
    expect(await pageOf(consent.id)).toBe('ready')
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status)).toContain('superseded')
  })

  test.each([
    ['suspended', 'paused'],
    ['suspended', 'quarantined'],
    ['closed', 'revoked'],
    ['closed', 'opted_out'],
  ])('%s while it is %s, and leads no user to the bank', async (shown, status) => {
    const consent = await askedConsent(world)
    await planting(world.db).consent.update({ where: { id: consent.id }, data: { status, nextActionAt: null } })
    expect([await pageOf(consent.id), (await world.leaveForBank(consent.id)).kind]).toEqual([shown, 'not-now'])
  })

  test('being checked while a code of a paused consent is exchanged: the pause does not stop it', async () => {
    const { consent } = await withCode(world)
    await planting(world.db).consent.update({
      where: { id: consent.id },
      data: { status: 'paused', nextActionAt: null },
    })
    expect(await pageOf(consent.id)).toBe('being-checked')
  })

  test('being checked while a code from the end of grace is exchanged: the cycle lapsed meanwhile', async () => {
    const consent = await askedConsent(world, { inDays: -89 })
    const { id } = consent
    await codeOf(world, id)
    await planting(world.db).renewal.updateMany({
      where: { consentId: id },
      data: { status: 'lapsed', closedAt: world.clock.now().toJSDate() },
    })
    await planting(world.db).consent.update({ where: { id }, data: { status: 'lapsed', nextActionAt: null } })
    expect(await pageOf(id)).toBe('being-checked')
  })

  test('closed once it lapsed', async () => {
    const consent = await askedConsent(world, { inDays: -89 })
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 91 }))
    expect(await pageOf(consent.id)).toBe('closed')
  })

  test('ready, by full authentication, where the policy asks past grace', async () => {
    const consent = await askedConsent(world, { inDays: -91, country: 'IE', providerId: 'ie-ob-aib' })
    expect(await pageOf(consent.id)).toBe('ready')
    expect(await world.leave(consent.id)).toContain('response_type=code')
    await liveUntil(world, consent.id, world.clock.now().plus({ days: 31 }))
    expect([await pageOf(consent.id), (await world.notificationsOf(consent.id)).map(({ rung }) => rung)]).toEqual([
      'closed',
      ['after-grace'],
    ])
  })
})

test('in production a callback that is not https gets no link, whichever import it came from', async () => {
  const consent = await world.addConsent({
    expiresAt: world.clock.now().plus({ days: 10 }),
    redirectUri: 'http://app.example.com/callback',
  })
  const prepare = prepareAuthorisation({ store: world.store, provider: world.provider, httpsOnly: true })
  expect(await prepare(consent, ['reauth', 'full'], world.clock.now())).toMatchObject({
    kind: 'rejected',
    detail: expect.stringContaining('https'),
  })
  expect(links(consent)).toBe(0)
})

test('the cycle closes between the look and the press: the user is not sent to the bank', async () => {
  const consent = await askedConsent(world)
  const [fresh] = await world.authorisationsOf(consent.id)
  const [toHandOut, toAdd] = [await world.renewalPage(consent.id), await world.renewalPage(consent.id)]
  const prepared = await world.prepare(consent, ['reauth'], world.clock.now())
  await codeOf(world, consent.id)
  await bringUpToDate(world, consent.id)
  if (prepared.kind !== 'prepared') throw new Error(prepared.kind)
  expect(await world.store.addHandedOut(toAdd, prepared.authorisation, world.clock.now())).toBe(false)
  expect(await world.store.handOutLink(toHandOut, fresh?.id ?? '', world.clock.now())).toBeUndefined()
})
