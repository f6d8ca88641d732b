// An exchange in doubt: it is settled by one refresh and `/me`, never by sending the code again.
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { FaultOrder } from '../../simulator/src/faults.ts'
import type { Consent } from '../../src/domain/model.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { aRow } from '../import/rows.ts'
import { planting } from '../setup/plant.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  askedConsent,
  authorisation,
  bringUpToDate,
  codeOf,
  daysLeft,
  dying,
  endLease,
  eventTypes,
  fault,
  LEASE,
  liveUntil,
  providerAt,
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

const codeCameAt = async (id: string): Promise<DateTime> =>
  DateTime.fromJSDate((await authorisation(world, id)).codeReceivedAt ?? new Date(Number.NaN), { zone: 'utc' })
const minutesAfterCode = async (id: string): Promise<number> => {
  const { nextActionAt, codeReceivedAt } = await authorisation(world, id)
  return ((nextActionAt?.getTime() ?? Number.NaN) - (codeReceivedAt?.getTime() ?? Number.NaN)) / 60_000
}

describe('the answer was lost after the provider had processed it: renewed at once, without a second exchange', () => {
  const losses: Record<string, FaultOrder> = {
    'connection reset after processing': { endpoint: 'exchange', kind: 'reset-after' },
    'time-out after processing': { endpoint: 'exchange', kind: 'slow', ms: 600, processed: true },
    '500 after processing': { endpoint: 'exchange', kind: 'error-json', processed: true },
    '502 page after processing': { endpoint: 'exchange', kind: 'error-html', processed: true },
    '200 with half a JSON': { endpoint: 'exchange', kind: 'bad-json' },
    '400 with a word nobody knows': {
      endpoint: 'exchange',
      kind: 'error-json',
      status: 400,
      error: 'something_new',
      processed: true,
    },
  }
  test.each(Object.entries(losses))('%s', async (_, order) => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, order)
    const said = await advance(world, { provider: providerAt(world) })(codeId, aRun())
    expect(said).toMatchObject({ kind: 'done', what: expect.stringContaining('renewed until') })
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    expect(seen(world, consent, 'refresh')).toEqual(['ok'])
    expect(await daysLeft(world, consent.id)).toBe(90)
    expect(await eventTypes(world, consent.id)).toContain('authorisation.in-doubt')
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })
})

describe('the provider had not processed it', () => {
  const losses: Record<string, FaultOrder> = {
    'connection reset before processing': { endpoint: 'exchange', kind: 'reset-before' },
    '500 instead of processing': { endpoint: 'exchange', kind: 'error-json' },
  }
  test.each(Object.entries(losses))(
    '%s: concluded after 25 hours, not before, then the user is asked again',
    async (_, order) => {
      const { consent, codeId } = await withCode(world)
      fault(world, consent, order)
      expect(await advance(world)(codeId, aRun())).toMatchObject({
        kind: 'snooze',
        reason: expect.stringContaining('in doubt'),
      })
      expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', code: null })
      expect(await minutesAfterCode(codeId)).toBe(6)
      // An operator's early retry asks the provider, and changes nothing.
      world.clock.advance({ minutes: 5, seconds: 50 })
      for (let time = 0; time < 6; time += 1) await advance(world)(codeId, aRun({ manual: true }))
      expect((await authorisation(world, codeId)).status).toBe('in_doubt')
      await bringUpToDate(world, consent.id)
      expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
      world.clock.advance({ seconds: 11 })
      await bringUpToDate(world, consent.id)
      expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', errorCode: 'not-proven' })
      await liveUntil(world, consent.id, (await codeCameAt(codeId)).plus({ hours: 25, seconds: -30 }))
      for (let time = 0; time < 3; time += 1) await advance(world)(codeId, aRun({ manual: true }))
      expect((await authorisation(world, codeId)).status).toBe('awaiting_date')
      expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
      world.clock.advance({ seconds: 31 })
      await bringUpToDate(world, consent.id)
      expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'not-renewed' })
      expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
      expect(seen(world, consent, 'exchange')).toHaveLength(1)
    },
  )

  test('after ten minutes at the bank: six minutes and 25 hours count from the code, not from the link', async () => {
    const consent = await askedConsent(world)
    world.simulator.switches.set({ link_life_seconds: 3600 })
    const link = await world.leave(consent.id)
    world.clock.advance({ minutes: 10 })
    const answer = await world.receive(world.toCallback(await world.simulator.play({ link, as: 'approve' })))
    if (answer.kind !== 'accepted') throw new Error(answer.kind)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, answer.authorisationId)).status).toBe('in_doubt')
    expect(await minutesAfterCode(answer.authorisationId)).toBe(6)
    const cameAt = await codeCameAt(answer.authorisationId)
    await liveUntil(world, consent.id, cameAt.plus({ hours: 25, seconds: -20 }))
    await advance(world)(answer.authorisationId, aRun({ manual: true }))
    expect((await authorisation(world, answer.authorisationId)).status).toBe('awaiting_date')
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('in grace the refresh is refused as well: the same', async () => {
    const { consent, codeId } = await withCode(world, { inDays: -3 })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await advance(world)(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', errorCode: 'token-invalid' })
    world.clock.advance({ minutes: 6, seconds: 1 })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', errorCode: 'token-invalid' })
    await liveUntil(world, consent.id, (await codeCameAt(codeId)).plus({ hours: 25 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'token-invalid' })
    expect(await rungsSent(world, consent.id)).toEqual(['0d sent', 'again-1 sent'])
  })
})

describe('the worker died while it was sending', () => {
  const dies = withDeath('exchangeCode')
  test('after the provider processed it: no other worker acts while the lease lasts, then it is settled', async () => {
    const { consent, codeId } = await withCode(world)
    await expect(advance(world, { provider: dies.after, store: dying(world) })(codeId, aRun())).rejects.toThrow('died')
    expect((await authorisation(world, codeId)).status).toBe('exchanging')
    expect(await advance(world)(codeId, aRun({ manual: true }))).toMatchObject({
      kind: 'snooze',
      reason: 'another worker is at it',
    })
    await endLease(world, 'authorisation', codeId)
    expect(await advance(world)(codeId, aRun())).toMatchObject({
      kind: 'done',
      what: expect.stringContaining('renewed until'),
    })
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('before the code left: not sent again; the provider is polled, the user asked after 25 hours', async () => {
    const { consent, codeId } = await withCode(world)
    await expect(advance(world, { provider: dies.before })(codeId, aRun())).rejects.toThrow('died')
    await endLease(world, 'authorisation', codeId)
    await advance(world)(codeId, aRun())
    await liveUntil(world, consent.id, (await codeCameAt(codeId)).plus({ hours: 25 }))
    expect(seen(world, consent, 'exchange')).toEqual([])
    expect((await authorisation(world, codeId)).status).toBe('refused')
    expect(await rungsSent(world, consent.id)).toContain('again-1 sent')
  })

  test('after the tokens came, before they were stored: settled by a refresh', async () => {
    const { consent, codeId } = await withCode(world)
    const store = withStore(world, { storeTokenResponse: async () => Promise.reject(new Error('died')) })
    const run = aRun({ signal: AbortSignal.abort() })
    await expect(advance(world, { store })(codeId, run)).rejects.toThrow('died')
    await endLease(world, 'authorisation', codeId)
    await advance(world)(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('while it settled: the next worker settles it', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    const store = withStore(world, { commitRenewal: async () => Promise.reject(new Error('died')) })
    await expect(advance(world, { store })(codeId, aRun())).rejects.toThrow('died')
    await endLease(world, 'authorisation', codeId)
    await advance(world)(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })
})

describe('the provider is unavailable when it is polled', () => {
  test('polled at 6 minutes, 1, 6, 25 hours, daily; no message for 26; a late proof ends the cycle', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    world.simulator.faults.add({ endpoint: 'refresh', kind: 'error-html', only: consent.credentialsId })
    const hours: number[] = []
    for (let time = 0; time < 7; time += 1) {
      await bringUpToDate(world, consent.id)
      hours.push((await minutesAfterCode(codeId)) / 60)
      world.clock.set((await authorisationDue(codeId)).plus({ seconds: 1 }))
    }
    expect(hours).toEqual([0.1, 1, 6, 25, 48, 72, 96])
    // The ladder went on after a day, with a message that admits the doubt.
    expect((await world.notificationsOf(consent.id)).map(({ rung, situation }) => [rung, situation])).toEqual([
      ['-14d', 'reminder'],
      ['-7d', 'uncertain'],
    ])
    world.simulator.faults.clear()
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'renewed' })
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })
})

describe('the settling refresh rotates the token', () => {
  test('the new one is stored, and a short outage of the database does not lose it', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    let failures = 2
    const store = withStore(world, {
      storeRotated: async (...args) =>
        failures-- > 0 ? Promise.reject(new Error('connection lost')) : world.store.storeRotated(...args),
    })
    await advance(world, { store })(codeId, aRun())
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
  })

  test('each try to store it has its own time', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    const times: DateTime[] = []
    const store = withStore(world, {
      storeRotated: async (rotated) => {
        times.push(rotated.now)
        if (times.length > 1) return world.store.storeRotated(rotated)
        world.clock.advance({ seconds: 5 })
        return Promise.reject(new Error('connection lost'))
      },
    })
    await advance(world, { store })(codeId, aRun())
    expect(times).toHaveLength(2)
    expect(times[1]?.diff(times[0] ?? times[1]).as('seconds')).toBeGreaterThanOrEqual(5)
    expect((await world.eventsOf(consent.id)).find(({ type }) => type === 'token.replaced')?.at).toEqual(times[1])
  })

  test('a worker with a stale claim stores it all the same', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    const refresh: World['provider']['refresh'] = async (...args) => {
      const answer = await world.provider.refresh(...args)
      await endLease(world, 'authorisation', codeId)
      await world.store.claim('authorisation', codeId, LEASE)
      return answer
    }
    await advance(world, { provider: { ...world.provider, refresh } })(codeId, aRun())
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })
})

describe('a worker whose lease ran out holds the token that its refresh has just brought', () => {
  test('the next worker is refused the old one and concludes nothing; an hour later it has the new one', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'refresh', kind: 'reset-before' })
    await advance(world)(codeId, aRun())
    world.clock.advance({ hours: 26 })
    const store = withStore(world, {
      storeRotated: async (rotated) => {
        await endLease(world, 'authorisation', codeId)
        await advance(world)(codeId, aRun())
        expect((await authorisation(world, codeId)).status).not.toBe('refused')
        return world.store.storeRotated(rotated)
      },
    })
    await advance(world, { store })(codeId, aRun()).catch(() => undefined)
    expect(seen(world, consent, 'refresh').filter((what) => what === 'ok')).toHaveLength(1)
    world.clock.advance({ minutes: 70 })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })
})

describe('two attempts of one consent are in doubt, and both settle at the same moment', () => {
  const sixMinutesLater = async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId: first } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'refresh', kind: 'reset-before' })
    await advance(world)(first, aRun())
    const second = await codeOf(world, consent.id)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    fault(world, consent, { endpoint: 'refresh', kind: 'reset-before' })
    await advance(world)(second, aRun())
    world.clock.advance({ minutes: 7 })
    for (const id of [first, second]) expect((await authorisation(world, id)).status).toBe('in_doubt')
    return { consent, first, second }
  }
  const settle = async (id: string, over: Parameters<typeof advance>[1] = {}) =>
    advance(world, over)(id, aRun({ manual: true }))

  test('one is refused the token that the other has rotated and not stored yet: nothing is concluded', async () => {
    const { consent, first, second } = await sixMinutesLater()
    const store = withStore(world, {
      storeRotated: async (rotated) => {
        await settle(second)
        expect(await authorisation(world, second)).toMatchObject({ status: 'in_doubt', errorCode: 'token-invalid' })
        return world.store.storeRotated(rotated)
      },
    })
    // The new date may be the first one's, and the second one's may still come: it decides.
    await settle(first, { store })
    expect([(await authorisation(world, first)).status, (await world.consentOf(consent.id)).tokenVersion]).toEqual([
      'in_doubt',
      2,
    ])
    await settle(second)
    expect((await authorisation(world, second)).status).toBe('renewed')
    expect((await authorisation(world, first)).status).toBe('superseded')
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(seen(world, consent, 'refresh').filter((what) => what === 'ok')).toHaveLength(2)
  })

  test('one is refused the token that the other has replaced meanwhile: the new one decides', async () => {
    const { consent, first, second } = await sixMinutesLater()
    const refresh: World['provider']['refresh'] = async (...args) => {
      fault(world, consent, { endpoint: 'me', kind: 'error-json' })
      await settle(first)
      return world.provider.refresh(...args)
    }
    let refreshes = 0
    const provider: World['provider'] = {
      ...world.provider,
      refresh: async (...args) => ((refreshes += 1) === 1 ? refresh(...args) : world.provider.refresh(...args)),
    }
    await settle(second, { provider })
    expect(refreshes).toBe(2)
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 3 })
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })

  test('the one that rotated the token renewed by it: the other is superseded, and the user told nothing', async () => {
    const { consent, first, second } = await sixMinutesLater()
    const refresh: World['provider']['refresh'] = async (...args) => {
      await settle(second)
      return world.provider.refresh(...args)
    }
    await settle(first, { provider: { ...world.provider, refresh } })
    expect((await authorisation(world, second)).status).toBe('renewed')
    expect((await authorisation(world, first)).status).toBe('superseded')
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
  })

  test('neither has a valid token: they do not wait for each other, and the user is asked again', async () => {
    const { consent, first, second } = await sixMinutesLater()
    // The company has refreshed the token, and keeps what came.
    await world.client.refresh(new Secret(world.simulator.connection(consent.credentialsId)?.refreshToken ?? ''))
    for (const id of [first, second]) {
      await settle(id)
      expect(await authorisation(world, id)).toMatchObject({ status: 'in_doubt', errorCode: 'token-invalid' })
    }
    world.clock.advance({ hours: 1 })
    for (const id of [first, second]) {
      await settle(id)
      expect(await authorisation(world, id)).toMatchObject({ status: 'awaiting_date', errorCode: 'token-invalid' })
    }
    await liveUntil(world, consent.id, (await codeCameAt(second)).plus({ hours: 26 }))
    for (const id of [first, second])
      expect(await authorisation(world, id)).toMatchObject({ status: 'refused', errorCode: 'token-invalid' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-2 sent'])
  })
})

describe('the process slept after an answer, which was true when it was asked for: polled again', () => {
  test('a refresh that was refused while the code could still take effect', async () => {
    const { consent, codeId } = await withCode(world, { inDays: -5 })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await advance(world, { provider: sleepingAfter(world, 'refresh', { days: 2 }) })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', errorCode: 'token-invalid' })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'token-invalid' })
    expect(seen(world, consent, 'refresh')).toEqual(['invalid_grant', 'invalid_grant'])
  })

  test('a date that had not moved yet', async () => {
    world.simulator.switches.set({ me_lag_seconds: 60 })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    await advance(world, { provider: sleepingAfter(world, 'readMe', { days: 2 }) })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', errorCode: 'not-renewed' })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'renewed' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('no dates, and a refresh that worked before the old expiry: no proof an hour after the expiry', async () => {
    world.simulator.switches.set({ me_dates: 'none' })
    const { consent, codeId } = await withCode(world, { inDays: 1 })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await advance(world, { provider: sleepingAfter(world, 'refresh', { days: 2 }) })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', errorCode: 'token-invalid' })
    world.clock.advance({ minutes: 70 })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'token-invalid' })
    expect((await world.consentOf(consent.id)).cycle).toBe(1)
  })
})

describe('unknown and /me gives no dates', () => {
  test('before the old expiry nothing is concluded; an hour after it a refresh that works is the proof', async () => {
    world.simulator.switches.set({ me_dates: 'none' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    await bringUpToDate(world, consent.id)
    const decidesAt = consent.expiresAt.plus({ hours: 1 })
    expect((await authorisationDue(codeId)).toMillis()).toBe(decidesAt.toMillis())
    await liveUntil(world, consent.id, decidesAt.minus({ seconds: 5 }))
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    expect(seen(world, consent, 'refresh')).toHaveLength(1)
    await liveUntil(world, consent.id, decidesAt.plus({ seconds: 5 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'renewed' })
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, expiresSource: 'assumed' })
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('and when it was not renewed, the refresh is refused then and an hour later: the user is asked', async () => {
    world.simulator.switches.set({ me_dates: 'none' })
    const { consent, codeId } = await withCode(world, { inDays: 5 })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await liveUntil(world, consent.id, consent.expiresAt.plus({ hours: 1, seconds: 5 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', errorCode: 'token-invalid' })
    await liveUntil(world, consent.id, consent.expiresAt.plus({ hours: 2, minutes: 15 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'token-invalid' })
    expect(await rungsSent(world, consent.id)).toContain('again-1 sent')
  })
})

describe('no outcome counts any more: closed without a call', () => {
  const doubtful = async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    expect(seen(world, consent, 'refresh')).toHaveLength(1)
    world.clock.advance({ minutes: 6, seconds: 1 })
    return { consent, codeId }
  }
  const isClosedUnasked = async (consent: Consent, codeId: string, refreshes: number): Promise<void> => {
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'superseded',
      nextActionAt: null,
      accessToken: null,
      pendingRefreshToken: null,
    })
    expect(seen(world, consent, 'refresh')).toHaveLength(refreshes)
    expect((await world.renewalsOf(consent.id))[0]?.againNo).toBe(0)
  }

  test.each(['revoked', 'opted_out', 'superseded'] as const)('the consent is %s', async (status) => {
    const { consent, codeId } = await doubtful()
    await planting(world.db).consent.update({ where: { id: consent.id }, data: { status, nextActionAt: null } })
    expect(await advance(world)(codeId, aRun())).toMatchObject({ kind: 'done', what: expect.stringContaining(status) })
    await isClosedUnasked(consent, codeId, 1)
    expect(await world.consentOf(consent.id)).toMatchObject({ status, nextActionAt: undefined })
  })

  test('opted out while the code was being sent, and the answer was lost', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    const exchangeCode: World['provider']['exchangeCode'] = async (...args) => {
      await planting(world.db).consent.update({
        where: { id: consent.id },
        data: { status: 'opted_out', nextActionAt: null },
      })
      return world.provider.exchangeCode(...args)
    }
    await advance(world, { provider: { ...world.provider, exchangeCode } })(codeId, aRun())
    await isClosedUnasked(consent, codeId, 0)
  })

  test('an import has begun the next cycle', async () => {
    const { consent, codeId } = await doubtful()
    const { credentialsId, userId, providerId, country, redirectUri } = consent
    const row = aRow({
      credentialsId,
      userId,
      providerId,
      country,
      redirectUri,
      refreshToken: await world.tokenOf(consent.id),
      expiresAt: world.clock.now().plus({ days: 60 }),
    })
    await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false })
    await advance(world)(codeId, aRun())
    await isClosedUnasked(consent, codeId, 1)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
  })
})

const authorisationDue = async (id: string): Promise<DateTime> =>
  DateTime.fromJSDate((await authorisation(world, id)).nextActionAt ?? new Date(0), { zone: 'utc' })

/** A provider during whose call the process dies: before the call leaves, or after it was processed. */
function withDeath(call: 'exchangeCode') {
  const gate = (): World['provider'] => world.provider
  const died = async () => Promise.reject(new Error('died'))
  return {
    get before(): World['provider'] {
      return { ...gate(), [call]: died }
    },
    get after(): World['provider'] {
      return {
        ...gate(),
        [call]: async (...args: Parameters<World['provider'][typeof call]>) => {
          await gate()[call](...args)
          return died()
        },
      }
    },
  }
}
