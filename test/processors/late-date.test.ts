// A provider that shows the old date for up to a day after a renewal: the attempt awaits the new one, is polled six and
// 25 hours after its code and at no other time, and holds back messages and lapsing, but neither the button nor another
// code.
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { imports } from '../../src/store/import.ts'
import { aRow } from '../import/rows.ts'
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
  restoreProvider,
  rungsSent,
  seen,
  send,
  withCode,
  withStore,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld({ policy: { providers: { IE: { routes: ['full'] }, GB: { routes: ['reauth'] } } } })
})
afterAll(async () => world.close())
afterEach(async () => restoreProvider(world))

const HOUR = 3600
/** The provider shows the new date so many hours after the renewal. */
const lateBy = (hours: number): void => {
  world.simulator.switches.set({ me_lag_seconds: hours * HOUR })
}

const dueAt = async (id: string): Promise<DateTime> =>
  DateTime.fromJSDate((await authorisation(world, id)).nextActionAt ?? new Date(Number.NaN), { zone: 'utc' })
const hoursAfterCode = async (id: string): Promise<number> => {
  const { codeReceivedAt } = await authorisation(world, id)
  return (await dueAt(id)).diff(DateTime.fromJSDate(codeReceivedAt ?? new Date(Number.NaN))).as('hours')
}
const afterCode = async (id: string, time: { hours?: number; minutes?: number; seconds?: number }): Promise<DateTime> =>
  DateTime.fromJSDate((await authorisation(world, id)).codeReceivedAt ?? new Date(Number.NaN), { zone: 'utc' }).plus(
    time,
  )
const live = async (consent: Consent, until: DateTime): Promise<number> => liveUntil(world, consent.id, until)
const status = async (id: string): Promise<string> => (await authorisation(world, id)).status
const bankDate = ({ credentialsId }: Consent): DateTime => {
  const connection = world.simulator.connection(credentialsId)
  if (connection === undefined) throw new Error('the provider does not know the connection')
  return connection.dates.expiresAt
}
const minutesFromBank = async (consent: Consent): Promise<number> =>
  Math.abs(
    bankDate(consent)
      .diff((await world.consentOf(consent.id)).expiresAt)
      .as('minutes'),
  )

/** A consent whose clean exchange was polled for ten minutes and showed the old date. */
const awaitingOne = async (over: Parameters<typeof withCode>[1] = {}) => {
  const { consent, codeId } = await withCode(world, over)
  await live(consent, await afterCode(codeId, { minutes: 11 }))
  expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', errorCode: 'not-proven' })
  return { consent, codeId }
}

describe('after a clean exchange', () => {
  test('five hours late: nothing wakes it before six hours, one refresh, renewed; no message meanwhile', async () => {
    lateBy(5)
    const { consent, codeId } = await awaitingOne()
    expect(await hoursAfterCode(codeId)).toBe(6)
    expect(await authorisation(world, codeId)).toMatchObject({ accessToken: null, code: null, pollCount: 0 })
    const polls = seen(world, consent, 'me').length
    await live(consent, await afterCode(codeId, { hours: 6, seconds: -20 }))
    expect([seen(world, consent, 'me').length, seen(world, consent, 'refresh')]).toEqual([polls, []])
    await live(consent, await afterCode(codeId, { hours: 6 }))
    expect(await status(codeId)).toBe('renewed')
    expect(seen(world, consent, 'refresh')).toEqual(['ok'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    expect(await eventTypes(world, consent.id)).toContain('authorisation.awaiting-date')
  })

  test('a day late: the rung of the day is held, and the second poll renews it', async () => {
    lateBy(24)
    // The rung three days before the expiry falls into the wait.
    const { consent, codeId } = await awaitingOne({ inDays: 3.5 })
    await live(consent, await afterCode(codeId, { hours: 6 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', errorCode: 'not-proven' })
    expect(await hoursAfterCode(codeId)).toBe(25)
    await live(consent, await afterCode(codeId, { hours: 25, seconds: -20 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-7d sent'])
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await status(codeId)).toBe('renewed')
    expect(seen(world, consent, 'refresh')).toEqual(['ok', 'ok'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
    expect(await rungsSent(world, consent.id)).toEqual(['-7d sent'])
  })

  test('never: not renewed at 25 hours, not a second before, and the user is asked again once', async () => {
    lateBy(1000)
    const { consent, codeId } = await awaitingOne()
    await live(consent, await afterCode(codeId, { hours: 25, seconds: -20 }))
    expect(await status(codeId)).toBe('awaiting_date')
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'not-renewed' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('in grace, a day late: the provider shows an expired date and takes our token', async () => {
    lateBy(24)
    const { consent, codeId } = await awaitingOne({ inDays: -20 })
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await status(codeId)).toBe('renewed')
    expect(await daysLeft(world, consent.id)).toBe(89)
  })

  test('a retry by an operator concludes nothing, sends nothing, and leaves the date as it is', async () => {
    lateBy(24)
    const { consent, codeId } = await awaitingOne()
    for (let time = 0; time < 4; time += 1) {
      expect((await advance(world)(codeId, aRun({ manual: true }))).kind).toBe('snooze')
      expect([await status(codeId), await hoursAfterCode(codeId)]).toEqual(['awaiting_date', 6])
      world.clock.advance({ minutes: 1 })
    }
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await status(codeId)).toBe('renewed')
  })

  test('a message that was made before is not sent meanwhile, whoever looks at it', async () => {
    lateBy(24)
    const { consent, codeId } = await withCode(world)
    const renewal = (await world.renewalsOf(consent.id))[0]
    if (renewal === undefined) throw new Error('no renewal')
    const { id } = await world.db.prisma.notification.create({
      data: {
        id: crypto.randomUUID(),
        consentId: consent.id,
        renewalId: renewal.id,
        cycle: 1,
        rung: 'manual-1',
        channel: 'email',
        situation: 'reminder',
        createdAt: world.clock.now().toJSDate(),
        nextActionAt: world.clock.now().plus({ hours: 2 }).toJSDate(),
      },
    })
    await live(consent, await afterCode(codeId, { hours: 3 }))
    expect(await status(codeId)).toBe('awaiting_date')
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'snooze' })
    // The same where the message was decided on before the attempt came to await its date.
    const claimed = await world.store.claim('notification', id, LEASE)
    if (claimed.kind !== 'claimed') throw new Error(claimed.kind)
    expect(await world.store.beginSending(claimed.claim, world.clock.now(), 100)).toMatchObject({
      kind: 'in-flight',
    })
    await world.store.release(claimed.claim)
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await status(codeId)).toBe('renewed')
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'manual-1 cancelled'])
  })
})

describe('after an exchange in doubt', () => {
  test('the answer was lost, the date is late: asked about at once and at six minutes, then awaited', async () => {
    lateBy(5)
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    await live(consent, await afterCode(codeId, { minutes: 6, seconds: -20 }))
    expect(await status(codeId)).toBe('in_doubt')
    await live(consent, await afterCode(codeId, { minutes: 6 }))
    expect([await status(codeId), await hoursAfterCode(codeId)]).toEqual(['awaiting_date', 6])
    await live(consent, await afterCode(codeId, { hours: 6 }))
    expect(await status(codeId)).toBe('renewed')
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    expect(seen(world, consent, 'refresh')).toEqual(['ok', 'ok', 'ok'])
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('a token that is refused before the expiry: an import brings the valid one, and nobody is asked', async () => {
    const { consent, codeId } = await withCode(world)
    // The company has refreshed with a token that the provider then replaced, and exports the new one at night.
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    await world.client.refresh((await world.store.readRefreshToken(consent.id)).token)
    world.simulator.switches.set({ rotate_refresh_tokens: 'never' })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    await live(consent, await afterCode(codeId, { hours: 1 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', errorCode: 'token-invalid' })
    await importToken(consent, world.simulator.connection(consent.credentialsId)?.refreshToken ?? '')
    await live(consent, await afterCode(codeId, { hours: 6 }))
    expect(await status(codeId)).toBe('renewed')
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('a worker with the answer in hand comes back meanwhile: its tokens are stored and proven', async () => {
    lateBy(5)
    const { consent, codeId } = await withCode(world)
    const sleeps: World['provider']['exchangeCode'] = async (...args) => {
      const answer = await world.provider.exchangeCode(...args)
      await endLease(world, 'authorisation', codeId)
      await live(consent, await afterCode(codeId, { minutes: 7 }))
      expect(await status(codeId)).toBe('awaiting_date')
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode: sleeps } })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'verifying', tokenOwner: 'ours' })
    await live(consent, await afterCode(codeId, { hours: 6 }))
    expect(await status(codeId)).toBe('renewed')
  })
})

describe('at a poll for the date', () => {
  test.each([
    ['refuses to work', { endpoint: 'refresh', kind: 'rate-limited' }],
    ['answers with an error', { endpoint: 'refresh', kind: 'error-html' }],
    ['shows no dates', { endpoint: 'me', kind: 'error-json' }],
  ] as const)('the provider %s at 25 hours: asked again within the hour, nothing concluded', async (_, order) => {
    lateBy(24)
    const { consent, codeId } = await awaitingOne()
    await live(consent, await afterCode(codeId, { hours: 24 }))
    world.simulator.faults.add({ ...order, only: consent.credentialsId })
    for (let hours = 25; hours < 30; hours += 1) {
      await live(consent, await afterCode(codeId, { hours }))
      expect([hours, await status(codeId)]).toEqual([hours, 'awaiting_date'])
    }
    world.simulator.faults.clear()
    await live(consent, await afterCode(codeId, { hours: 32 }))
    expect(await status(codeId)).toBe('renewed')
    expect(await rungsSent(world, consent.id)).not.toContain('again-1 sent')
  })

  test('the token is rotated each time, and each new one is stored before /me is read', async () => {
    lateBy(24)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await awaitingOne()
    const stored: string[] = []
    const readMe: World['provider']['readMe'] = async (token) => {
      stored.push(await world.tokenOf(consent.id))
      expect(stored.at(-1)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
      return world.provider.readMe(token)
    }
    for (const hours of [6, 25]) {
      await live(consent, await afterCode(codeId, { hours, seconds: -20 }))
      world.clock.set(await afterCode(codeId, { hours }))
      await advance(world, { provider: { ...world.provider, readMe } })(codeId, aRun())
    }
    expect(new Set(stored).size).toBe(2)
    expect(await status(codeId)).toBe('renewed')
  })

  test('the worker dies after the refresh and before its token is stored: the next one goes on', async () => {
    lateBy(5)
    const { consent, codeId } = await awaitingOne()
    world.clock.set(await afterCode(codeId, { hours: 6 }))
    const store = dying(world, { storeRotated: async () => Promise.reject(new Error('died')) })
    const run = aRun({ signal: AbortSignal.abort() })
    await expect(advance(world, { store })(codeId, run)).rejects.toThrow('died')
    expect(await status(codeId)).toBe('awaiting_date')
    await endLease(world, 'authorisation', codeId)
    await bringUpToDate(world, consent.id)
    expect(await status(codeId)).toBe('renewed')
    expect(seen(world, consent, 'refresh')).toEqual(['ok', 'ok'])
  })

  test('the same with a token that the provider rotated: refused then, and an import brings it in time', async () => {
    lateBy(5)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await awaitingOne()
    world.clock.set(await afterCode(codeId, { hours: 6 }))
    const store = dying(world, { storeRotated: async () => Promise.reject(new Error('died')) })
    const run = aRun({ signal: AbortSignal.abort() })
    await expect(advance(world, { store })(codeId, run)).rejects.toThrow('died')
    await endLease(world, 'authorisation', codeId)
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', errorCode: 'token-invalid' })
    expect(await hoursAfterCode(codeId)).toBe(25)
    await importToken(consent, world.simulator.connection(consent.credentialsId)?.refreshToken ?? '')
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await status(codeId)).toBe('renewed')
  })

  test('an import comes during the refresh: it waits as a candidate, and the rotated token is stored', async () => {
    lateBy(24)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const { consent, codeId } = await awaitingOne()
    world.clock.set(await afterCode(codeId, { hours: 6 }))
    const refresh: World['provider']['refresh'] = async (...args) => {
      const answer = await world.provider.refresh(...args)
      await importToken(consent, 'typed in by hand')
      return answer
    }
    await advance(world, { provider: { ...world.provider, refresh } })(codeId, aRun())
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    expect([await status(codeId), await hoursAfterCode(codeId)]).toEqual(['awaiting_date', 25])
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await status(codeId)).toBe('renewed')
  })

  test('a worker whose lease ran out writes nothing any more', async () => {
    lateBy(24)
    const { codeId } = await awaitingOne()
    world.clock.set(await afterCode(codeId, { hours: 6 }))
    const sleeps: World['provider']['readMe'] = async (token) => {
      const answer = await world.provider.readMe(token)
      await endLease(world, 'authorisation', codeId)
      await world.store.claim('authorisation', codeId, LEASE)
      return answer
    }
    const said = await advance(world, { provider: { ...world.provider, readMe: sleeps } })(codeId, aRun())
    expect(said).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect(await authorisation(world, codeId)).toMatchObject({ pollCount: 0, leaseUntil: expect.any(Date) })
    await endLease(world, 'authorisation', codeId)
  })

  test('the process dies before the wait is committed: the next one decides the same', async () => {
    lateBy(5)
    const { consent, codeId } = await withCode(world)
    await live(consent, await afterCode(codeId, { minutes: 9 }))
    world.clock.set(await afterCode(codeId, { minutes: 11 }))
    const store = withStore(world, { awaitDate: async () => Promise.reject(new Error('died')) })
    await expect(advance(world, { store })(codeId, aRun())).rejects.toThrow('died')
    expect(await status(codeId)).toBe('verifying')
    await endLease(world, 'authorisation', codeId)
    await bringUpToDate(world, consent.id)
    expect(await status(codeId)).toBe('awaiting_date')
  })
})

describe('a second code while the date of the first is awaited', () => {
  const withSecond = async (hours: number, before?: () => void) => {
    const { consent, codeId: first } = await awaitingOne()
    await live(consent, await afterCode(first, { hours }))
    expect((await world.look(consent.id)).kind).toBe('ready')
    before?.()
    const second = await codeOf(world, consent.id)
    return { consent, first, second }
  }

  test('the provider shows the first’s date, then the second’s: the second’s is committed', async () => {
    lateBy(24)
    const { consent, first, second } = await withSecond(3)
    await live(consent, await afterCode(second, { hours: 1 }))
    // `/me` shows the first one's true date by now, three hours before the second one's.
    expect([await status(first), await status(second)]).toEqual(['awaiting_date', 'awaiting_date'])
    const polls = seen(world, consent, 'refresh').length
    await live(consent, await afterCode(second, { hours: 6, seconds: -20 }))
    expect(seen(world, consent, 'refresh')).toHaveLength(polls)
    await live(consent, await afterCode(second, { hours: 25 }))
    expect([await status(first), await status(second)]).toEqual(['superseded', 'renewed'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
    expect(seen(world, consent, 'refresh')).toHaveLength(polls + 2)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('the provider shows the second’s date at once: committed at once, the first is superseded', async () => {
    lateBy(24)
    const { consent, first, second } = await withSecond(3, () => lateBy(0))
    await bringUpToDate(world, consent.id)
    expect([await status(first), await status(second)]).toEqual(['superseded', 'renewed'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
  })

  test('the second never arrived: its last poll takes the date of the first', async () => {
    lateBy(24)
    const { consent, first, second } = await withSecond(3)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await live(consent, await afterCode(first, { hours: 25, minutes: 30 }))
    expect([await status(first), await status(second)]).toEqual(['awaiting_date', 'awaiting_date'])
    await live(consent, await afterCode(second, { hours: 25 }))
    expect([await status(first), await status(second)]).toEqual(['superseded', 'renewed'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('neither renewed anything: both end within minutes, and the user gets one message', async () => {
    const { consent, codeId: first } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before', count: 2 })
    await live(consent, await afterCode(first, { hours: 3 }))
    const second = await codeOf(world, consent.id)
    await live(consent, await afterCode(second, { hours: 1 }))
    expect([await status(first), await status(second)]).toEqual(['awaiting_date', 'awaiting_date'])
    await live(consent, await afterCode(second, { hours: 25, seconds: -20 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await live(consent, await afterCode(second, { hours: 27 }))
    expect([await status(first), await status(second)]).toEqual(['refused', 'refused'])
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-2 sent'])
  })

  test('the answer to the second was lost and nobody can be asked: the first commits nothing meanwhile', async () => {
    lateBy(24)
    const { consent, first, second } = await withSecond(3)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    world.simulator.faults.add({ endpoint: 'refresh', kind: 'error-html', only: consent.credentialsId })
    await live(consent, await afterCode(second, { minutes: 30 }))
    expect([await status(first), await status(second)]).toEqual(['awaiting_date', 'in_doubt'])
    world.simulator.faults.clear()
    // `/me` shows the date of the first. An operator asks for it, and it is not committed.
    await advance(world)(first, aRun({ manual: true }))
    expect(await status(first)).toBe('awaiting_date')
    await live(consent, await afterCode(second, { hours: 25 }))
    expect([await status(first), await status(second)]).toEqual(['superseded', 'renewed'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
  })

  test('it is sent between /me and the commit of the first: the commit looks once more', async () => {
    lateBy(5)
    const { consent, codeId: first } = await awaitingOne()
    world.clock.set(await afterCode(first, { hours: 6 }))
    let second = ''
    const readMe: World['provider']['readMe'] = async (token) => {
      const answer = await world.provider.readMe(token)
      if (second !== '') return answer
      world.clock.advance({ seconds: 1 })
      second = await codeOf(world, consent.id)
      await advance(world)(second, aRun())
      world.clock.advance({ minutes: 11 })
      await advance(world)(second, aRun())
      expect(await status(second)).toBe('awaiting_date')
      return answer
    }
    await advance(world, { provider: { ...world.provider, readMe } })(first, aRun({ manual: true }))
    expect(await status(first)).toBe('awaiting_date')
    await live(consent, await afterCode(second, { hours: 6 }))
    expect([await status(first), await status(second)]).toEqual(['superseded', 'renewed'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
  })

  test('the first one’s tokens come late, while the second’s date is awaited: the second’s date counts', async () => {
    lateBy(6)
    const { consent, codeId: first } = await withCode(world)
    let second = ''
    const sleeps: World['provider']['exchangeCode'] = async (...args) => {
      const answer = await world.provider.exchangeCode(...args)
      await endLease(world, 'authorisation', first)
      await live(consent, await afterCode(first, { hours: 2 }))
      second = await codeOf(world, consent.id)
      await live(consent, await afterCode(second, { minutes: 11 }))
      expect([await status(first), await status(second)]).toEqual(['awaiting_date', 'awaiting_date'])
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode: sleeps } })(first, aRun())
    expect(await status(first)).toBe('verifying')
    await live(consent, await afterCode(second, { hours: 6, minutes: -1 }))
    expect((await world.look(consent.id)).kind).toBe('ready')
    await live(consent, await afterCode(second, { hours: 26 }))
    expect([await status(first), await status(second)]).toEqual(['superseded', 'renewed'])
    expect(await minutesFromBank(consent)).toBeLessThan(1)
  })
})

describe('grace ends while the date is awaited', () => {
  test('the new date comes: renewed, and the consent has never lapsed', async () => {
    lateBy(24)
    const { consent, codeId } = await awaitingOne({ inDays: -89.5 })
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect(await status(codeId)).toBe('renewed')
    expect(await eventTypes(world, consent.id)).not.toContain('consent.lapsed')
    expect(await daysLeft(world, consent.id)).toBe(89)
  })

  test('it does not come and no route is left: the consent lapses then, not before', async () => {
    lateBy(1000)
    const { consent, codeId } = await awaitingOne({ inDays: -89.5 })
    const before = await rungsSent(world, consent.id)
    await live(consent, await afterCode(codeId, { hours: 25, seconds: -20 }))
    expect((await world.consentOf(consent.id)).status).toBe('active')
    await live(consent, await afterCode(codeId, { hours: 25 }))
    expect((await world.consentOf(consent.id)).status).toBe('lapsed')
    expect(await rungsSent(world, consent.id)).toEqual(before)
  })

  test('it does not come: one last message by the route that is left, seven days, then it lapses', async () => {
    const { consent, codeId } = await withCode(world, {
      inDays: -89.5,
      country: 'IE',
      providerId: 'ie-ob-aib',
      providerName: 'AIB',
    })
    const readMe: World['provider']['readMe'] = async (token) => {
      const answer = await world.provider.readMe(token)
      return answer.kind === 'me' ? { ...answer, me: { ...answer.me, providerId: undefined } } : answer
    }
    // The provider never names the bank of the new connection.
    const provider = { ...world.provider, readMe }
    for (const time of [{ seconds: 1 }, { minutes: 11 }, { hours: 6 }]) {
      world.clock.set(await afterCode(codeId, time))
      await advance(world, { provider })(codeId, aRun())
      await bringUpToDate(world, consent.id)
    }
    expect(await status(codeId)).toBe('awaiting_date')
    const before = await rungsSent(world, consent.id)
    await live(consent, await afterCode(codeId, { hours: 25, seconds: -20 }))
    world.clock.set(await afterCode(codeId, { hours: 25 }))
    await advance(world, { provider })(codeId, aRun())
    const concludedAt = world.clock.now()
    await bringUpToDate(world, consent.id)
    expect(await status(codeId)).toBe('refused')
    expect(await rungsSent(world, consent.id)).toEqual([...before, 'again-1 sent'])
    expect((await world.look(consent.id)).kind).toBe('ready')
    await live(consent, concludedAt.plus({ days: 7, seconds: -5 }))
    expect((await world.consentOf(consent.id)).status).toBe('active')
    await live(consent, concludedAt.plus({ days: 7, seconds: 5 }))
    expect((await world.consentOf(consent.id)).status).toBe('lapsed')
    expect(await rungsSent(world, consent.id)).toEqual([...before, 'again-1 sent'])
  })
})

describe('no date counts any more', () => {
  test('an import begins the next cycle: closed at its next poll without a call', async () => {
    lateBy(24)
    const { consent, codeId } = await awaitingOne()
    await importToken(consent, await world.tokenOf(consent.id), bankDate(consent))
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    await live(consent, await afterCode(codeId, { hours: 6 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'superseded', nextActionAt: null })
    expect(seen(world, consent, 'refresh')).toEqual([])
  })

  test('a poll without an answer is repeated: lapsing waits for it, a day long; a later proof counts', async () => {
    lateBy(24)
    const { consent, codeId } = await awaitingOne({ inDays: -89.5 })
    world.simulator.faults.add({ endpoint: 'refresh', kind: 'error-html', only: consent.credentialsId })
    await live(consent, await afterCode(codeId, { hours: 47 }))
    expect((await world.consentOf(consent.id)).status).toBe('active')
    await live(consent, await afterCode(codeId, { hours: 52 }))
    expect((await world.consentOf(consent.id)).status).toBe('lapsed')
    expect(await status(codeId)).toBe('awaiting_date')
    world.simulator.faults.clear()
    await live(consent, await afterCode(codeId, { hours: 74 }))
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
  })
})

const importToken = async (consent: Consent, refreshToken: string, expiresAt = consent.expiresAt): Promise<void> => {
  const { credentialsId, userId, providerId, country, redirectUri } = consent
  const row = aRow({ credentialsId, userId, providerId, country, redirectUri, expiresAt, refreshToken })
  const correct = expiresAt === consent.expiresAt
  const [result] = await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct })
  expect(result?.kind).toBe(correct ? 'updated' : 'repaired')
}

test('the page behind the mail’s link is the ordinary one, and leads to the bank', async () => {
  lateBy(24)
  const consent = await askedConsent(world)
  const codeId = await codeOf(world, consent.id)
  await live(consent, await afterCode(codeId, { minutes: 11 }))
  expect((await world.look(consent.id)).kind).toBe('ready')
  expect((await world.leaveForBank(consent.id)).kind).toBe('to-bank')
})
