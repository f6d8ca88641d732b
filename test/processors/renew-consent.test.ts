// The reauth job when something goes wrong: links refused, the provider unavailable or its circuit open, encrypted
// columns unreadable, crashes between the steps.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { FaultOrder } from '../../simulator/src/faults.ts'
import { ruleFor } from '../../src/domain/rules.ts'
import { TransientError } from '../../src/errors.ts'
import { prepareAuthorisation } from '../../src/processors/prepare-authorisation.ts'
import { Secret } from '../../src/secret.ts'
import { aPolicy } from '../builders.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  askedConsent,
  bringUpToDate,
  dying,
  endLease,
  eventTypes,
  fault,
  liveUntil,
  NOBODY,
  providerAt,
  renew,
  restoreProvider,
  rungsSent,
  seen,
  withStore,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(async () => restoreProvider(world))

const due = async (inDays = 10) => world.addConsent({ expiresAt: world.clock.now().plus({ days: inDays }) })
const hoursUntilNext = async (id: string): Promise<number> =>
  (await world.consentOf(id)).nextActionAt?.diff(world.clock.now()).as('hours') ?? Number.NaN
const minutesUntilNext = async (id: string): Promise<number> => 60 * (await hoursUntilNext(id))
const linksOf = async (id: string): Promise<number> => (await world.authorisationsOf(id)).length

describe('the provider refuses a link for this connection', () => {
  test('403: nothing is sent, a back-off of a day with the reason, and the failure counts', async () => {
    const consent = await due()
    fault(world, consent, { endpoint: 'reauthuri', kind: 'error-json', status: 403, error: 'access_denied' })
    expect(await renew(world)(consent.id, aRun())).toMatchObject({
      kind: 'snooze',
      reason: expect.stringContaining('reauth: 403 access_denied'),
    })
    expect(await world.consentOf(consent.id)).toMatchObject({
      status: 'active',
      failedAttempts: 1,
      lastErrorCode: 'link-rejected',
    })
    expect(await hoursUntilNext(consent.id)).toBeGreaterThan(21)
    expect(await hoursUntilNext(consent.id)).toBeLessThan(27)
    expect(await rungsSent(world, consent.id)).toEqual([])
    expect((await world.eventsOf(consent.id)).map(({ type, reason }) => [type, reason])).toEqual([
      ['link.failed', 'reauth: 403 access_denied'],
    ])
  })

  test('for ever: one try a day until grace ends, never closed before, then lapsed', async () => {
    const consent = await due(-80)
    world.simulator.revokeConnection(consent.credentialsId)
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 90 }).minus({ minutes: 1 }))
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active' })
    expect(seen(world, consent, 'reauthuri').length).toBeGreaterThanOrEqual(9)
    expect(seen(world, consent, 'reauthuri').length).toBeLessThanOrEqual(13)
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 90, minutes: 1 }))
    expect((await world.consentOf(consent.id)).status).toBe('lapsed')
    expect(await rungsSent(world, consent.id)).toEqual([])
  })

  test('then the next route of the policy is used', async () => {
    const policy = aPolicy({ routes: ['reauth', 'full'] })
    const consent = await due()
    world.simulator.revokeConnection(consent.credentialsId)
    expect(ruleFor(consent.providerId, consent.country, policy).routes).toEqual(['reauth', 'full'])
    expect(await renew(world, { policy })(consent.id, aRun())).toMatchObject({
      kind: 'done',
      what: expect.stringContaining('made a link (full)'),
    })
    expect((await world.renewalsOf(consent.id))[0]?.route).toBe('full')
  })

  test('an operator overrides the back-off; when a link is made the count is forgotten', async () => {
    const consent = await due()
    fault(world, consent, { endpoint: 'reauthuri', kind: 'error-json', status: 401, error: 'unauthorized' })
    await renew(world)(consent.id, aRun())
    expect(await renew(world)(consent.id, aRun())).toMatchObject({
      kind: 'skipped',
      reason: expect.stringContaining('backing off after token-rejected'),
    })
    expect(await renew(world)(consent.id, aRun({ manual: true }))).toMatchObject({ kind: 'done' })
    expect(await world.consentOf(consent.id)).toMatchObject({
      failedAttempts: 0,
      lastErrorCode: undefined,
      retryAfter: undefined,
    })
  })
})

describe('the provider is unavailable', () => {
  const outages: Record<string, [FaultOrder, string]> = {
    '500': [{ endpoint: 'reauthuri', kind: 'error-json' }, 'provider-failed'],
    'a gateway’s page': [{ endpoint: 'reauthuri', kind: 'error-html' }, 'provider-failed'],
    'a gateway’s page with 403': [{ endpoint: 'reauthuri', kind: 'error-html', status: 403 }, 'provider-garbled'],
    'slower than our patience': [{ endpoint: 'reauthuri', kind: 'slow', ms: 600 }, 'provider-timeout'],
    'half a JSON': [{ endpoint: 'reauthuri', kind: 'bad-json' }, 'provider-garbled'],
    'a reset': [{ endpoint: 'reauthuri', kind: 'reset-before' }, 'provider-unreachable'],
    '429': [{ endpoint: 'reauthuri', kind: 'rate-limited' }, 'provider-rate-limited'],
  }
  test.each(Object.entries(outages))(
    '%s: the queue retries, then the record is delayed five minutes, and no failure is counted',
    async (_, [order, code]) => {
      const consent = await due()
      fault(world, consent, { ...order, count: 2 })
      const job = renew(world, { prepare: prepareAuthorisation({ store: world.store, provider: providerAt(world) }) })
      const thrown = await job(consent.id, aRun({ isLastTry: false })).catch((error: unknown) => error)
      expect(thrown).toBeInstanceOf(TransientError)
      expect((thrown as TransientError).code).toBe(code)
      expect(await job(consent.id, aRun())).toMatchObject({ kind: 'snooze' })
      expect(await world.consentOf(consent.id)).toMatchObject({
        status: 'active',
        failedAttempts: 0,
        lastErrorCode: code,
      })
      expect(await minutesUntilNext(consent.id)).toBeGreaterThanOrEqual(4.5)
      expect(await minutesUntilNext(consent.id)).toBeLessThanOrEqual(5.5)
      world.clock.advance({ minutes: 5.5 })
      await bringUpToDate(world, consent.id)
      expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    },
  )

  const unusable = {
    'success: false': { link_success: false },
    'an http address': { link_result: 'not-https' },
    'no address at all': { link_result: 'not-a-url' },
    'no result': { link_result: 'missing' },
  } as const
  test.each(Object.entries(unusable))('%s is no link: nothing is sent', async (_, switches) => {
    const consent = await due()
    world.simulator.switches.set(switches)
    await renew(world)(consent.id, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ lastErrorCode: 'link-unusable', failedAttempts: 0 })
    expect([await linksOf(consent.id), await rungsSent(world, consent.id)]).toEqual([0, []])
  })

  test('Retry-After longer than our own delay is kept', async () => {
    const consent = await due()
    fault(world, consent, { endpoint: 'reauthuri', kind: 'rate-limited', retry_after: 5 * 3600 })
    await renew(world)(consent.id, aRun())
    expect(await hoursUntilNext(consent.id)).toBeGreaterThanOrEqual(5)
    expect(await hoursUntilNext(consent.id)).toBeLessThanOrEqual(5.5)
  })

  test('again and again: five minutes, a quarter of an hour, an hour, two, two; a link ends the series', async () => {
    const consent = await due()
    const away = renew(world, {
      prepare: prepareAuthorisation({ store: world.store, provider: providerAt(world, { url: NOBODY }) }),
    })
    for (const minutes of [5, 15, 60, 120, 120]) {
      await away(consent.id, aRun())
      const rest = await minutesUntilNext(consent.id)
      expect([minutes, rest >= minutes * 0.9 && rest <= minutes * 1.1]).toEqual([minutes, true])
      world.clock.advance({ minutes: rest })
    }
    expect((await world.consentOf(consent.id)).outages).toBe(5)
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({
      outages: 0,
      lastErrorCode: undefined,
      retryAfter: undefined,
    })
  })

  test('an answer about the consent ends the series as well: the next outage is a first one', async () => {
    const consent = await due()
    const away = renew(world, {
      prepare: prepareAuthorisation({ store: world.store, provider: providerAt(world, { url: NOBODY }) }),
    })
    await away(consent.id, aRun())
    world.clock.advance({ minutes: 6 })
    await away(consent.id, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ outages: 2, failedAttempts: 0 })
    world.clock.advance({ minutes: 17 })
    fault(world, consent, { endpoint: 'reauthuri', kind: 'error-json', status: 401, error: 'unauthorized' })
    await renew(world)(consent.id, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ outages: 0, failedAttempts: 1 })
    world.clock.advance({ days: 1.2 })
    await away(consent.id, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ outages: 1, failedAttempts: 1 })
    expect(await minutesUntilNext(consent.id)).toBeLessThanOrEqual(5.5)
  })

  test('an operator’s retries on the board do not lengthen the delay', async () => {
    const consent = await due()
    const away = renew(world, {
      prepare: prepareAuthorisation({ store: world.store, provider: providerAt(world, { url: NOBODY }) }),
    })
    for (let press = 0; press < 4; press += 1) await away(consent.id, aRun({ manual: true }))
    expect((await world.consentOf(consent.id)).outages).toBe(1)
    expect(await minutesUntilNext(consent.id)).toBeLessThanOrEqual(5.5)
  })

  test('for days: one event says so, not one an hour', async () => {
    const consent = await due()
    const job = renew(world, {
      prepare: prepareAuthorisation({ store: world.store, provider: providerAt(world, { url: NOBODY }) }),
    })
    for (let time = 0; time < 5; time += 1) {
      await job(consent.id, aRun())
      world.clock.advance({ hours: 2 })
    }
    expect(await eventTypes(world, consent.id)).toEqual(['link.failed'])
    expect((await world.consentOf(consent.id)).failedAttempts).toBe(0)
  })

  test('a user who presses the button meanwhile is asked to come back, and nothing is lost', async () => {
    const consent = await askedConsent(world)
    world.clock.advance({ minutes: 9 })
    fault(world, consent, { endpoint: 'reauthuri', kind: 'error-html' })
    expect((await world.leaveForBank(consent.id)).kind).toBe('busy')
    expect((await world.leaveForBank(consent.id)).kind).toBe('to-bank')
  })
})

describe('a stored token that does not decrypt', () => {
  test('quarantines the consent, says so, and the job fails with the code', async () => {
    const consent = await due()
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { refreshToken: 'r1.k1.AAAA.AAAA' } })
    await expect(renew(world)(consent.id, aRun())).rejects.toMatchObject({ code: 'decryption-failed' })
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'quarantined', nextActionAt: undefined })
    expect(await eventTypes(world, consent.id)).toEqual(['consent.quarantined'])
    expect(await renew(world)(consent.id, aRun({ manual: true }))).toEqual({
      kind: 'skipped',
      reason: 'the consent is quarantined',
    })
  })

  test('of another row is unreadable, too', async () => {
    const [consent, other] = [await due(), await due()]
    const { refreshToken } = await world.db.prisma.consent.findUniqueOrThrow({ where: { id: other.id } })
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { refreshToken } })
    await expect(renew(world)(consent.id, aRun())).rejects.toMatchObject({ code: 'decryption-failed' })
    expect((await world.consentOf(consent.id)).status).toBe('quarantined')
  })

  test('a new token from an exchange replaces it', async () => {
    const consent = await askedConsent(world)
    await world.goToBank(consent.id, 'approve')
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { refreshToken: 'r1.k1.AAAA.AAAA' } })
    await bringUpToDate(world, consent.id)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
  })
})

describe('twice, at once, and crashing', () => {
  test('running it twice acts once', async () => {
    const consent = await due()
    expect((await renew(world)(consent.id, aRun())).kind).toBe('done')
    expect((await renew(world)(consent.id, aRun())).kind).toBe('skipped')
    expect((await renew(world)(consent.id, aRun({ manual: true }))).kind).toBe('skipped')
    expect([await linksOf(consent.id), await rungsSent(world, consent.id)]).toEqual([1, ['-14d pending']])
  })

  test('ten workers at once act once', async () => {
    const consent = await due()
    const said = await Promise.all(Array.from({ length: 10 }, async () => renew(world)(consent.id, aRun())))
    expect(said.filter(({ kind }) => kind === 'done')).toHaveLength(1)
    expect([await linksOf(consent.id), await rungsSent(world, consent.id)]).toEqual([1, ['-14d pending']])
  })

  test('a crash between the link and the commit: nothing is stored, the next run does it all', async () => {
    const consent = await due()
    const store = dying(world, {
      commitStep: async () => Promise.reject(new Error('died')),
      backOff: async () => Promise.reject(new Error('died')),
    })
    await expect(renew(world, { store })(consent.id, aRun())).rejects.toThrow('died')
    expect([await linksOf(consent.id), await world.renewalsOf(consent.id)]).toEqual([0, []])
    expect((await renew(world)(consent.id, aRun())).kind).toBe('snooze')
    await endLease(world, 'consent', consent.id)
    expect((await renew(world)(consent.id, aRun())).kind).toBe('done')
    expect([await linksOf(consent.id), await rungsSent(world, consent.id)]).toEqual([1, ['-14d pending']])
  })

  test('a bug of ours: the record is delayed and the error is reported', async () => {
    const consent = await due()
    const prepare = async () => Promise.reject(new TypeError('a bug'))
    await expect(renew(world, { prepare })(consent.id, aRun())).rejects.toThrow('a bug')
    expect(await world.consentOf(consent.id)).toMatchObject({
      failedAttempts: 1,
      lastErrorCode: 'internal',
      status: 'active',
    })
    expect(await hoursUntilNext(consent.id)).toBeCloseTo(1, 1)
  })

  test('overtaken while the link was made: the stale worker writes nothing', async () => {
    const consent = await due()
    const slow: typeof world.prepare = async (...args) => {
      const prepared = await world.prepare(...args)
      await endLease(world, 'consent', consent.id)
      await renew(world)(consent.id, aRun())
      return prepared
    }
    expect(await renew(world, { prepare: slow })(consent.id, aRun())).toMatchObject({
      kind: 'skipped',
      reason: expect.stringContaining('took over'),
    })
    expect([await linksOf(consent.id), await rungsSent(world, consent.id)]).toEqual([1, ['-14d pending']])
  })

  test('a code that comes in while a message is decided: its outcome comes first', async () => {
    const consent = await askedConsent(world)
    world.clock.set(consent.expiresAt.minus({ days: 7 }).plus({ seconds: 1 }))
    const link = await world.leave(consent.id)
    const callback = world.toCallback(await world.simulator.play({ link, as: 'approve' }))
    await world.db.prisma.authorisation.updateMany({ where: { consentId: consent.id }, data: { handedOutAt: null } })
    const store = withStore(world, {
      commitStep: async (...args) => {
        await world.receive(callback)
        return world.store.commitStep(...args)
      },
    })
    await renew(world, { store })(consent.id, aRun())
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '-7d cancelled'])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('… and when that code is refused, one message is sent, not the reminder as well', async () => {
    const consent = await askedConsent(world)
    world.clock.set(consent.expiresAt.minus({ days: 7 }).plus({ seconds: 1 }))
    const link = await world.leave(consent.id)
    const callback = world.toCallback(await world.simulator.play({ link, as: 'approve' }))
    await world.db.prisma.authorisation.updateMany({ where: { consentId: consent.id }, data: { handedOutAt: null } })
    fault(world, consent, { endpoint: 'exchange', kind: 'error-json', status: 400, error: 'invalid_grant' })
    await renew(world)(consent.id, aRun())
    await world.receive(callback)
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '-7d cancelled', 'again-1 sent'])
  })

  test('unknown ids, of consents, notifications and attempts, do no harm', async () => {
    const ids = ['', 'x', '00000000-0000-4000-8000-000000000000', "'; DROP TABLE consents --"]
    for (const id of ids)
      for (const kind of ['consent', 'notification', 'authorisation'] as const)
        expect((await world.jobs[kind](id, aRun())).kind).toBe('skipped')
  })
})

test('the link asks for the original redirect_uri, PKCE S256 and a state of its own each time', async () => {
  const requests: Parameters<World['provider']['makeLink']>[1][] = []
  const makeLink: World['provider']['makeLink'] = async (connection, request) => {
    requests.push(request)
    return world.provider.makeLink(connection, request)
  }
  const consent = await due()
  const prepare = prepareAuthorisation({ store: world.store, provider: { makeLink } })
  await prepare(consent, ['reauth'], world.clock.now())
  await prepare(consent, ['reauth'], world.clock.now())
  expect(requests.map(({ redirectUri }) => redirectUri)).toEqual([consent.redirectUri, consent.redirectUri])
  expect(new Set(requests.map(({ state }) => state.reveal())).size).toBe(2)
  expect(new Set(requests.map(({ codeChallenge }) => codeChallenge)).size).toBe(2)
  expect(requests[0]?.codeChallenge).toMatch(/^[\w-]{43}$/)
  expect(requests[0]?.refreshToken).toBeInstanceOf(Secret)
})
