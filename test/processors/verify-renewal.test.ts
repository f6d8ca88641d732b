// The proof after a clean exchange, when `/me` is late, silent, without dates, or about another user.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  askedConsent,
  authorisation,
  bringUpToDate,
  codeOf,
  daysLeft,
  endLease,
  fault,
  restoreProvider,
  rungsSent,
  seen,
  sleepingAfter,
  withCode,
  withStore,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(async () => restoreProvider(world))

/** Seconds from the answer of the exchange to the next poll. */
const dueAfter = async (id: string): Promise<number> => {
  const { nextActionAt, answeredAt } = await authorisation(world, id)
  return ((nextActionAt?.getTime() ?? Number.NaN) - (answeredAt?.getTime() ?? Number.NaN)) / 1000
}
const setAfterAnswer = async (id: string, seconds: number): Promise<void> => {
  const { answeredAt } = await authorisation(world, id)
  world.clock.advance({ milliseconds: (answeredAt?.getTime() ?? 0) + seconds * 1000 - world.clock.now().toMillis() })
}

describe('/me lags behind', () => {
  test('polled at once, after 10 s, 1 min, 10 min: renewed when it has caught up, no message meanwhile', async () => {
    world.simulator.switches.set({ me_lag_seconds: 500 })
    const { consent, codeId } = await withCode(world)
    const asked: number[] = []
    for (let time = 0; time < 4; time += 1) {
      await bringUpToDate(world, consent.id)
      const { status } = await authorisation(world, codeId)
      if (status !== 'verifying') break
      asked.push(await dueAfter(codeId))
      await setAfterAnswer(codeId, (asked.at(-1) ?? 0) + 0.5)
    }
    expect(asked).toEqual([10, 60, 600])
    await bringUpToDate(world, consent.id)
    expect(await daysLeft(world, consent.id)).toBe(90)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    expect(seen(world, consent, 'me')).toHaveLength(4)
  })

  // An access token expires after an hour, so each later poll needs a refresh.
  test('for more than a day: polled after 6 and 25 hours more, then the user is asked again', async () => {
    world.simulator.switches.set({ me_lag_seconds: 180_000 })
    const { consent, codeId } = await withCode(world)
    for (const at of [0, 10.5, 61]) {
      if (at > 0) await setAfterAnswer(codeId, at)
      await bringUpToDate(world, consent.id)
      expect((await authorisation(world, codeId)).status).toBe('verifying')
    }
    expect(await dueAfter(codeId)).toBe(600)
    await setAfterAnswer(codeId, 601)
    for (const hours of [6, 25]) {
      await bringUpToDate(world, consent.id)
      expect((await authorisation(world, codeId)).status).toBe('awaiting_date')
      expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
      expect((await dueAfter(codeId)) / 3600).toBeCloseTo(hours, 2)
      await setAfterAnswer(codeId, hours * 3600)
    }
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'not-renewed' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
    expect(seen(world, consent, 'me')).toEqual(['ok', 'ok', 'ok', 'ok', 'ok', 'ok'])
    expect(seen(world, consent, 'refresh')).toEqual(['ok', 'ok'])
  })

  test('an operator who retries the job six times in a minute concludes nothing early', async () => {
    world.simulator.switches.set({ me_lag_seconds: 45 })
    const { consent, codeId } = await withCode(world)
    for (let time = 0; time < 7; time += 1) await advance(world)(codeId, aRun({ manual: true }))
    expect((await authorisation(world, codeId)).status).toBe('verifying')
    world.clock.advance({ seconds: 61 })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('no worker ran for more than a day: one poll settles it', async () => {
    world.simulator.switches.set({ me_lag_seconds: 180_000 })
    const { consent, codeId } = await withCode(world)
    await bringUpToDate(world, consent.id)
    await setAfterAnswer(codeId, 26 * 3600)
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('refused')
    expect(seen(world, consent, 'me')).toEqual(['ok', 'unauthorized', 'ok'])
  })

  test('the process slept for days after the answer, which was true when it was asked for: polled again', async () => {
    world.simulator.switches.set({ me_lag_seconds: 60 })
    const { consent, codeId } = await withCode(world)
    await advance(world, { provider: sleepingAfter(world, 'readMe', { days: 4 }) })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'verifying', errorCode: 'not-proven' })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('the bank renewed at the approval already: the same', async () => {
    world.simulator.switches.set({ renews_at: 'approval', me_lag_seconds: 5 })
    const { consent, codeId } = await withCode(world)
    await advance(world)(codeId, aRun())
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
  })
})

describe('/me is unavailable', () => {
  test('for a while: the attempt stays verifying', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'me', kind: 'error-html', count: 2 })
    await advance(world)(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'verifying', errorCode: 'provider-failed' })
    await setAfterAnswer(codeId, 61)
    await bringUpToDate(world, consent.id)
    await setAfterAnswer(codeId, 601)
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
  })

  test('for ten minutes: a doubt, not a refusal; settled when it is available again', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.faults.add({ endpoint: 'me', kind: 'error-html', only: consent.credentialsId })
    await advance(world)(codeId, aRun())
    await setAfterAnswer(codeId, 599)
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('verifying')
    await setAfterAnswer(codeId, 601)
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    world.simulator.faults.clear()
    world.clock.advance({ hours: 6 })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('the token was refreshed elsewhere and our access token is invalid: settled by our own refresh', async () => {
    world.simulator.switches.set({ me_lag_seconds: 5 })
    const { consent, codeId } = await withCode(world)
    await advance(world)(codeId, aRun())
    await world.client.refresh((await world.store.readRefreshToken(consent.id)).token)
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(seen(world, consent, 'refresh')).toHaveLength(2)
  })
})

describe('/me without dates', () => {
  test('a clean 200 for our own code is the proof; the expiry is calculated from it', async () => {
    world.simulator.switches.set({ me_dates: 'none' })
    const { consent, codeId } = await withCode(world)
    await bringUpToDate(world, consent.id)
    const { answeredAt } = await authorisation(world, codeId)
    const renewed = await world.consentOf(consent.id)
    expect(renewed).toMatchObject({ cycle: 2, expiresSource: 'assumed' })
    expect(renewed.expiresAt.diff(world.clock.now()).as('days')).toBeCloseTo(90, 2)
    expect((await world.renewalsOf(consent.id))[0]?.proof).toMatchObject({ basis: 'clean-exchange-without-dates' })
    expect(answeredAt).not.toBeNull()
  })

  test('the process slept after the answer: the expiry is calculated from the sending', async () => {
    world.simulator.switches.set({ me_dates: 'none' })
    const { consent, codeId } = await withCode(world)
    await advance(world, { provider: sleepingAfter(world, 'exchangeCode', { minutes: 50 }) })(codeId, aRun())
    const { exchangeStartedAt } = await authorisation(world, codeId)
    const renewed = await world.consentOf(consent.id)
    expect(renewed).toMatchObject({ cycle: 2, expiresSource: 'assumed' })
    expect(renewed.expiresAt.minus({ days: 90 }).toJSDate()).toEqual(exchangeStartedAt)
  })

  test('without an expiry, but updated since: that is the proof', async () => {
    world.simulator.switches.set({ me_dates: 'no-expiry' })
    const { consent } = await withCode(world)
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, expiresSource: 'assumed' })
    expect((await world.renewalsOf(consent.id))[0]?.proof).toMatchObject({ basis: 'created-or-updated-since' })
  })
})

describe('whose tokens they are', () => {
  const tokens = ['jwt-without-sub', 'opaque'] as const
  test.each(tokens)('%s: the identical refresh token names the connection', async (kind) => {
    world.simulator.switches.set({ access_token: kind })
    const { consent } = await withCode(world)
    const before = await world.tokenOf(consent.id)
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(before)
  })

  test.each(tokens)(
    '%s with a rotated refresh token: kept as pending until /me names the connection, then stored',
    async (kind) => {
      world.simulator.switches.set({ access_token: kind, rotate_refresh_tokens: 'on-reauth' })
      const { consent, codeId } = await withCode(world)
      fault(world, consent, { endpoint: 'me', kind: 'error-json' })
      await advance(world)(codeId, aRun())
      expect(await authorisation(world, codeId)).toMatchObject({ status: 'verifying', tokenOwner: 'pending' })
      expect((await world.consentOf(consent.id)).tokenVersion).toBe(1)
      world.clock.advance({ seconds: 11 })
      await bringUpToDate(world, consent.id)
      expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
      expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    },
  )

  test('the same, and /me is unavailable for long: settled with the pending token, the only valid one', async () => {
    world.simulator.switches.set({ access_token: 'opaque', rotate_refresh_tokens: 'on-reauth' })
    const { consent, codeId } = await withCode(world)
    world.simulator.faults.add({ endpoint: 'me', kind: 'error-json', only: consent.credentialsId })
    await advance(world)(codeId, aRun())
    await setAfterAnswer(codeId, 601)
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    world.simulator.faults.clear()
    world.clock.advance({ hours: 6 })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })

  test('the same, and no new date is shown: the pending token is stored, a day later the user asked', async () => {
    world.simulator.switches.set({
      access_token: 'opaque',
      rotate_refresh_tokens: 'on-reauth',
      me_lag_seconds: 180_000,
    })
    const { consent, codeId } = await withCode(world)
    await advance(world)(codeId, aRun())
    await setAfterAnswer(codeId, 601)
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', tokenOwner: 'ours' })
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    await setAfterAnswer(codeId, 25 * 3600)
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'not-renewed' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })

  test.each(tokens)('%s of another user: /me names the owner, the tokens are dropped, ours untouched', async (kind) => {
    world.simulator.switches.set({ access_token: kind })
    const consent = await askedConsent(world)
    const before = await world.tokenOf(consent.id)
    const codeId = await codeOf(world, consent.id, 'somebody-else')
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'mismatched',
      pendingRefreshToken: null,
      accessToken: null,
    })
    expect(await world.tokenOf(consent.id)).toBe(before)
    expect((await world.consentOf(consent.id)).mismatches).toBe(1)
  })

  test('the database is unavailable while the stored token is compared: the response is not lost', async () => {
    world.simulator.switches.set({ access_token: 'opaque' })
    const { consent, codeId } = await withCode(world)
    let failures = 2
    const store = withStore(world, {
      readRefreshToken: async (id) =>
        failures-- > 0 ? Promise.reject(new Error('connection lost')) : world.store.readRefreshToken(id),
    })
    await advance(world, { store })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(seen(world, consent, 'refresh')).toEqual([])
  })

  test('the database is unavailable when the tokens come: tried until they are stored', async () => {
    const { consent, codeId } = await withCode(world)
    let failures = 2
    let isAway = false
    const lost = async (): Promise<never> => Promise.reject(new Error('connection lost'))
    const provider: World['provider'] = {
      ...world.provider,
      exchangeCode: async (...args) => {
        isAway = true
        return world.provider.exchangeCode(...args)
      },
    }
    const store = withStore(world, {
      storeTokenResponse: async (id, response) => {
        if (failures-- > 0) return lost()
        isAway = false
        return world.store.storeTokenResponse(id, response)
      },
      // Nothing else is asked of it before: the tokens would be lost with the job.
      getAttempt: async (claim) => (isAway ? lost() : world.store.getAttempt(claim)),
      readRefreshToken: async (id) => (isAway ? lost() : world.store.readRefreshToken(id)),
    })
    await advance(world, { store, provider })(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })
})

describe('a crash between the steps', () => {
  test('after the tokens were stored: the next worker only verifies', async () => {
    const { consent, codeId } = await withCode(world)
    const provider = { ...world.provider, readMe: async () => Promise.reject(new Error('died')) }
    await expect(advance(world, { provider })(codeId, aRun())).rejects.toThrow('died')
    expect((await authorisation(world, codeId)).status).toBe('verifying')
    await endLease(world, 'authorisation', codeId)
    await advance(world)(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    expect(seen(world, consent, 'refresh')).toEqual([])
  })

  test('before the proof is committed: verified again', async () => {
    const { consent, codeId } = await withCode(world)
    const store = withStore(world, { commitRenewal: async () => Promise.reject(new Error('died')) })
    await expect(advance(world, { store })(codeId, aRun())).rejects.toThrow('died')
    await endLease(world, 'authorisation', codeId)
    await advance(world)(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })
})
