// Codes that come twice, late, or for a consent that has changed; stored tokens that change during an exchange; workers
// with stale claims.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { Secret } from '../../src/secret.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { sealToken } from '../../src/store/refresh-token.ts'
import { aRow } from '../import/rows.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  askedConsent,
  authorisation,
  bringUpToDate,
  codeOf,
  endLease,
  eventTypes,
  fault,
  LEASE,
  liveUntil,
  restoreProvider,
  rungsSent,
  seen,
  withCode,
  withStore,
} from './rig.ts'
import { planting } from '../setup/plant.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(async () => restoreProvider(world))

/** The user went to the bank twice and approved twice. */
const withTwoCodes = async () => {
  const consent = await askedConsent(world)
  const links = [await world.leave(consent.id), await world.leave(consent.id)]
  const codes: string[] = []
  for (const link of links) {
    const answer = await world.receive(world.toCallback(await world.simulator.play({ link, as: 'approve' })))
    if (answer.kind !== 'accepted') throw new Error(answer.kind)
    codes.push(answer.authorisationId)
  }
  return { consent, first: codes[0] ?? '', second: codes[1] ?? '' }
}

describe('two codes of one consent', () => {
  test('the second waits while the first is verified, and stays unsent when the first succeeds', async () => {
    world.simulator.switches.set({ me_lag_seconds: 8 })
    const { consent, first, second } = await withTwoCodes()
    expect(await advance(world)(first, aRun())).toMatchObject({ kind: 'snooze' })
    expect(await advance(world)(second, aRun())).toMatchObject({
      kind: 'snooze',
      reason: 'another code of this consent is being exchanged',
    })
    world.clock.advance({ seconds: 11 })
    await advance(world)(first, aRun())
    expect((await authorisation(world, first)).status).toBe('renewed')
    expect(await authorisation(world, second)).toMatchObject({ status: 'superseded', code: null, nextActionAt: null })
    expect(await advance(world)(second, aRun({ manual: true }))).toMatchObject({ kind: 'skipped' })
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('the first one’s date comes late: the second is sent while its code lives, and renews', async () => {
    world.simulator.switches.set({ me_lag_seconds: 3_600 })
    const { consent, first, second } = await withTwoCodes()
    await advance(world)(first, aRun())
    await advance(world)(second, aRun())
    expect([(await authorisation(world, first)).status, (await authorisation(world, second)).status]).toEqual([
      'verifying',
      'code_received',
    ])
    await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 3 }))
    expect(seen(world, consent, 'exchange')).toEqual(['ok', 'ok'])
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 26 }))
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await rungsSent(world, consent.id)).not.toContain('again-1 sent')
  })

  test('the second is sent when the first fails', async () => {
    const { consent, first, second } = await withTwoCodes()
    fault(world, consent, { endpoint: 'exchange', kind: 'error-json', status: 400, error: 'invalid_grant' })
    await advance(world)(first, aRun())
    expect((await authorisation(world, first)).status).toBe('refused')
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, second)).status).toBe('renewed')
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    // The failed first code caused no further message to the user.
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('the first is in doubt: the second may be sent, and its success supersedes the first', async () => {
    const { consent, first, second } = await withTwoCodes()
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await advance(world)(first, aRun())
    await advance(world)(second, aRun())
    expect([(await authorisation(world, first)).status, (await authorisation(world, second)).status]).toEqual([
      'superseded',
      'renewed',
    ])
  })

  test('both processed, /me shows the first’s date: the second’s proves nothing in the next cycle', async () => {
    const { consent, first, second } = await withTwoCodes()
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'refresh', kind: 'error-json' })
    await advance(world)(first, aRun())
    expect((await authorisation(world, first)).status).toBe('in_doubt')
    world.simulator.switches.set({ me_lag_seconds: 30 })
    world.clock.advance({ seconds: 20 })
    await advance(world)(second, aRun())
    expect((await authorisation(world, second)).status).toBe('renewed')
    const { expiresAt } = await world.consentOf(consent.id)
    expect(
      world.simulator.connection(consent.credentialsId)?.dates.expiresAt.diff(expiresAt).as('seconds'),
    ).toBeGreaterThan(10)

    world.clock.set(expiresAt.minus({ days: 10 }))
    await bringUpToDate(world, consent.id)
    await world.goToBank(consent.id, 'approve')
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 25, seconds: 1 }))
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await rungsSent(world, consent.id)).toContain('again-1 sent')
  })

  /**
   * The first code was processed and the provider could not be asked about it; days later the user has come back with a
   * second code.
   */
  const withDoubt = async () => {
    const { consent, codeId: first } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'refresh', kind: 'error-json' })
    await advance(world)(first, aRun())
    expect((await authorisation(world, first)).status).toBe('in_doubt')
    world.clock.advance({ days: 5 })
    return { consent, first, second: await codeOf(world, consent.id) }
  }

  /** A provider that runs `happens` before or after one of its calls. */
  const meanwhile = (call: 'readMe' | 'exchangeCode', when: 'before' | 'after', happens: () => Promise<unknown>) => ({
    ...world.provider,
    [call]: async (...args: unknown[]) => {
      if (when === 'before') await happens()
      const answer: unknown = await Reflect.apply(world.provider[call], world.provider, args)
      if (when === 'after') await happens()
      return answer
    },
  })

  const endsWithTheDateOfTheSecond = async ({ consent }: { consent: Consent }) => {
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 2 }))
    const { expiresAt, cycle } = await world.consentOf(consent.id)
    expect(cycle).toBe(2)
    expect(seen(world, consent, 'exchange')).toEqual(['ok', 'ok'])
    const theirs = world.simulator.connection(consent.credentialsId)?.dates.expiresAt
    expect(Math.abs(theirs?.diff(expiresAt).as('minutes') ?? Number.NaN)).toBeLessThan(1)
  }

  test('the second is being sent while the first is settled: its outcome comes first, and its date stays', async () => {
    const codes = await withDoubt()
    const provider = meanwhile('exchangeCode', 'before', async () => {
      expect(await advance(world)(codes.first, aRun({ manual: true }))).toMatchObject({
        kind: 'snooze',
        reason: 'a later code of this consent is on its way: its outcome comes first',
      })
    })
    await advance(world, { provider })(codes.second, aRun())
    await endsWithTheDateOfTheSecond(codes)
  })

  test('the second is sent after `/me` was read for the first: that answer proves nothing any more', async () => {
    for (const order of [undefined, { endpoint: 'exchange', kind: 'reset-after' }] as const) {
      const codes = await withDoubt()
      if (order !== undefined) fault(world, codes.consent, order)
      let sent = false
      const provider = meanwhile('readMe', 'after', async () => {
        if (sent) return
        sent = true
        world.clock.advance({ seconds: 1 })
        const isDown = { endpoint: 'refresh', kind: 'error-json' } as const
        if (order !== undefined) fault(world, codes.consent, isDown)
        else world.simulator.switches.set({ me_lag_seconds: 8 })
        await advance(world)(codes.second, aRun())
      })
      await advance(world, { provider })(codes.first, aRun({ manual: true }))
      expect((await world.consentOf(codes.consent.id)).cycle).toBe(1)
      world.simulator.switches.reset()
      await endsWithTheDateOfTheSecond(codes)
    }
  })

  test('`/me` still shows the date of the first while the second is proven: the worker waits for its own', async () => {
    const consent = await askedConsent(world)
    await world.goToBank(consent.id, 'approve')
    await bringUpToDate(world, consent.id)
    const { expiresAt, expiresSource } = await world.consentOf(consent.id)
    // Where the known date is from `/me`, a later date is proof enough, as long as no other code may have moved it.
    expect(expiresSource).toBe('me')
    world.clock.set(expiresAt.minus({ days: 10 }))
    await bringUpToDate(world, consent.id)
    const first = await codeOf(world, consent.id)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'refresh', kind: 'error-json' })
    await advance(world)(first, aRun())
    expect((await authorisation(world, first)).status).toBe('in_doubt')

    world.clock.advance({ days: 5 })
    const second = await codeOf(world, consent.id)
    world.simulator.switches.set({ me_lag_seconds: 8 })
    expect(await advance(world)(second, aRun())).toMatchObject({ kind: 'snooze' })
    expect(await authorisation(world, second)).toMatchObject({ status: 'verifying' })
    world.clock.advance({ seconds: 11 })
    await advance(world)(second, aRun())
    expect((await authorisation(world, second)).status).toBe('renewed')
    const renewed = await world.consentOf(consent.id)
    const theirs = world.simulator.connection(consent.credentialsId)?.dates.expiresAt
    expect(Math.abs(theirs?.diff(renewed.expiresAt).as('minutes') ?? Number.NaN)).toBeLessThan(1)
  })

  test('both at once: never two exchanges in flight, and one renewal', async () => {
    const { consent, first, second } = await withTwoCodes()
    await Promise.all([advance(world)(first, aRun()), advance(world)(second, aRun())])
    world.clock.advance({ seconds: 3 })
    await bringUpToDate(world, consent.id)
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    expect(
      [(await authorisation(world, first)).status, (await authorisation(world, second)).status].toSorted(),
    ).toEqual(['renewed', 'superseded'])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })
})

describe('the same redirect again', () => {
  test('a replay, a double submit and an unknown state cause no second call', async () => {
    const consent = await askedConsent(world)
    const callback = world.toCallback(
      await world.simulator.play({ link: await world.leave(consent.id), as: 'approve' }),
    )
    const answers = await Promise.all([world.receive(callback), world.receive(callback), world.receive(callback)])
    expect(answers.map(({ kind }) => kind).toSorted()).toEqual(['accepted', 'already', 'already'])
    await bringUpToDate(world, consent.id)
    expect(await world.receive(callback)).toMatchObject({ kind: 'already' })
    expect(await world.receive({ state: new Secret('another'), code: new Secret('code') })).toEqual({
      kind: 'unknown-state',
    })
    await bringUpToDate(world, consent.id)
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })
})

describe('a code for an attempt that had ended', () => {
  const verifiers = async (id: string) =>
    (await world.authorisationsOf(id)).map(({ status, verifier }) => [status, verifier !== null])

  test('its verifier is kept as long as the cycle accepts a code, and no longer', async () => {
    const consent = await askedConsent(world)
    await world.goToBank(consent.id, 'deny')
    world.clock.advance({ minutes: 10 })
    await world.leave(consent.id)
    world.clock.advance({ hours: 25 })
    await world.store.expireAttempts(world.clock.now(), 10_000)
    expect(await verifiers(consent.id)).toEqual([
      ['refused', true],
      ['expired', true],
    ])
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect(await verifiers(consent.id)).toEqual([
      ['refused', false],
      ['expired', false],
      ['renewed', false],
    ])
  })

  test('… nor where the cycle ended without a renewal, even if the attempt expires only then', async () => {
    const consent = await askedConsent(world)
    await world.goToBank(consent.id, 'deny')
    world.clock.advance({ minutes: 10 })
    await world.leave(consent.id)
    await administration(world.db, world.policy).closeForGood(consent.id, 'opted_out', {
      now: world.clock.now(),
      reason: 'asked us to',
    })
    world.clock.advance({ hours: 25 })
    await world.store.expireAttempts(world.clock.now(), 10_000)
    expect(await verifiers(consent.id)).toEqual([
      ['refused', false],
      ['expired', false],
    ])
  })

  test('denied, then the user went back and approved: the error did not consume the state', async () => {
    const consent = await askedConsent(world)
    world.simulator.switches.set({ link_use: 'unlimited' })
    const link = await world.leave(consent.id)
    const denied = await world.receive(world.toCallback(await world.simulator.play({ link, as: 'deny' })))
    const approved = await world.receive(world.toCallback(await world.simulator.play({ link, as: 'approve' })))
    expect([denied.kind, approved.kind]).toEqual(['accepted', 'accepted'])
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test.each(['expired', 'superseded'] as const)('%s: accepted as long as the cycle is open', async (status) => {
    const consent = await askedConsent(world)
    const callback = world.toCallback(
      await world.simulator.play({ link: await world.leave(consent.id), as: 'approve' }),
    )
    await planting(world.db).authorisation.updateMany({
      where: { consentId: consent.id },
      data: { status, nextActionAt: null },
    })
    expect((await world.receive(callback)).kind).toBe('accepted')
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('of a cycle that is renewed already: not accepted, nothing sent', async () => {
    const consent = await askedConsent(world)
    const late = world.toCallback(await world.simulator.play({ link: await world.leave(consent.id), as: 'approve' }))
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect((await world.receive(late)).kind).toBe('closed')
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })
})

describe('a code for a consent that had ended', () => {
  const leftBefore = async (status: string, over: { next?: Date } = {}) => {
    const consent = await askedConsent(world)
    const callback = world.toCallback(
      await world.simulator.play({ link: await world.leave(consent.id), as: 'approve' }),
    )
    await planting(world.db).consent.update({
      where: { id: consent.id },
      data: { status, nextActionAt: over.next ?? null, fencingToken: { increment: 1 } },
    })
    return { consent, callback }
  }

  test('paused: exchanged, and the proof ends the pause', async () => {
    const { consent, callback } = await leftBefore('paused')
    expect((await world.receive(callback)).kind).toBe('accepted')
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
  })

  test('paused while the code fails: stays paused, nothing is sent', async () => {
    const { consent, callback } = await leftBefore('paused')
    await world.receive(callback)
    fault(world, consent, { endpoint: 'exchange', kind: 'error-json', status: 400, error: 'invalid_grant' })
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'paused', nextActionAt: undefined })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('lapsed: a late code reopens it', async () => {
    const consent = await askedConsent(world, { inDays: -89 })
    world.simulator.switches.set({ link_life_seconds: 200_000 })
    const link = await world.leave(consent.id)
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 90, minutes: 1 }))
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'lapsed' })
    expect((await world.renewalsOf(consent.id))[0]?.status).toBe('lapsed')
    expect((await world.receive(world.toCallback(await world.simulator.play({ link, as: 'approve' })))).kind).toBe(
      'accepted',
    )
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
    expect((await world.renewalsOf(consent.id))[0]?.status).toBe('renewed')
  })

  test('lapsed, then imported with a later date: the old cycle accepts no code, the new keeps its count', async () => {
    const { consent, callback } = await leftBefore('active', { next: world.clock.now().toJSDate() })
    await planting(world.db).renewal.updateMany({
      where: { consentId: consent.id },
      data: { status: 'lapsed', closedAt: world.clock.now().toJSDate() },
    })
    await world.db.prisma.consent.update({
      where: { id: consent.id },
      data: { cycle: 2, expiresAt: world.clock.now().plus({ days: 13 }).toJSDate() },
    })
    await bringUpToDate(world, consent.id)
    expect((await world.receive(callback)).kind).toBe('closed')
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect((await world.renewalsOf(consent.id)).map(({ status }) => status)).toEqual(['lapsed', 'open'])
  })

  test.each(['revoked', 'opted_out', 'superseded'] as const)('%s: not accepted', async (status) => {
    const { consent, callback } = await leftBefore(status)
    expect((await world.receive(callback)).kind).toBe('closed')
    expect(seen(world, consent, 'exchange')).toEqual([])
  })

  test('opted out between the code and its exchange: the code stays unsent', async () => {
    const { consent, codeId } = await withCode(world)
    await planting(world.db).consent.update({
      where: { id: consent.id },
      data: { status: 'opted_out', nextActionAt: null },
    })
    expect(await advance(world)(codeId, aRun())).toMatchObject({ kind: 'skipped' })
    expect((await authorisation(world, codeId)).status).toBe('superseded')
    expect(seen(world, consent, 'exchange')).toEqual([])
  })

  test('opted out during the exchange: the consent is not reopened, and the provider is not polled', async () => {
    const { consent, codeId } = await withCode(world)
    const optsOut = async (...args: Parameters<World['provider']['exchangeCode']>) => {
      await planting(world.db).consent.update({
        where: { id: consent.id },
        data: { status: 'opted_out', nextActionAt: null },
      })
      return world.provider.exchangeCode(...args)
    }
    await advance(world, { provider: { ...world.provider, exchangeCode: optsOut } })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('superseded')
    expect(seen(world, consent, 'me')).toEqual([])
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'opted_out', cycle: 1 })
  })
})

/** As another answer of the provider does. */
const replaceStored = async ({ id }: Consent, token: string): Promise<void> => {
  const data = { refreshToken: sealToken(world.vault, id, 2, new Secret(token)), tokenVersion: 2 }
  await world.db.prisma.consent.update({ where: { id }, data })
}

describe('the stored token changed while a code was being exchanged', () => {
  test('to a newer one: the newer one is kept, the outcome settled by polling', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'always' })
    const imports = async (...args: Parameters<World['provider']['exchangeCode']>) => {
      const answer = await world.provider.exchangeCode(...args)
      // Another attempt of ours refreshes the rotated token, and stores what came, before we have stored ours.
      await world.client.refresh(new Secret(world.simulator.connection(consent.credentialsId)?.refreshToken ?? ''))
      await replaceStored(consent, world.simulator.connection(consent.credentialsId)?.refreshToken ?? '')
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode: imports } })(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    expect(await eventTypes(world, consent.id)).toContain('authorisation.in-doubt')
    // The other one's, and ours with the token that it stored.
    expect(seen(world, consent, 'refresh')).toEqual(['ok', 'ok'])
  })

  test('to the very token that came with the code: it is stored already, and nothing is in doubt', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const imports = async (...args: Parameters<World['provider']['exchangeCode']>) => {
      const answer = await world.provider.exchangeCode(...args)
      await replaceStored(consent, world.simulator.connection(consent.credentialsId)?.refreshToken ?? '')
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode: imports } })(codeId, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
    expect(await eventTypes(world, consent.id)).not.toContain('authorisation.in-doubt')
    expect(seen(world, consent, 'refresh')).toEqual([])
  })

  test('to an old one: the new token is kept as pending, because only it may be valid', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const imports = async (...args: Parameters<World['provider']['exchangeCode']>) => {
      const answer = await world.provider.exchangeCode(...args)
      await replaceStored(consent, 'an-old-token')
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode: imports } })(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })
})

describe('the stored token changed during a refresh that rotated it', () => {
  const overtaken = (consent: Consent): World['provider'] => ({
    ...world.provider,
    refresh: async (...args) => {
      const answer = await world.provider.refresh(...args)
      await replaceStored(consent, `of another answer for ${consent.id}`)
      return answer
    },
  })

  test('the new token is valid, and kept as pending', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    await advance(world, { provider: overtaken(consent) })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'in_doubt',
      errorCode: 'token-changed',
      tokenOwner: 'pending',
    })
    expect((await world.consentOf(consent.id)).cycle).toBe(1)
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })

  test('and nothing was renewed: the pending token is stored before the user is asked', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await advance(world, { provider: overtaken(consent) })(codeId, aRun())
    world.clock.advance({ minutes: 7 })
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('awaiting_date')
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 25 }))
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'not-renewed' })
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })

  test('and the attempt is closed by then: the new token is the candidate', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    const closing: World['provider']['refresh'] = async (...args) => {
      const answer = await overtaken(consent).refresh(...args)
      const data = { status: 'superseded', nextActionAt: null }
      await planting(world.db).authorisation.update({ where: { id: codeId }, data })
      return answer
    }
    await advance(world, { provider: { ...world.provider, refresh: closing } })(codeId, aRun()).catch(() => undefined)
    const { tokens } = await world.store.readTokens(consent.id)
    const [first] = tokens
    expect(first?.place).toBe('candidate')
    expect(first?.token.reveal()).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })
})

describe('an import brought a candidate while another token was pending', () => {
  const correct = async (consent: Consent, refreshToken: string): Promise<void> => {
    const { credentialsId, userId, providerId, country, redirectUri, expiresAt } = consent
    const row = aRow({ credentialsId, userId, providerId, country, redirectUri, expiresAt, refreshToken })
    const [result] = await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: true })
    expect(result?.kind).toBe('updated')
  }
  const besideUntilMe = async () => {
    world.simulator.switches.set({ access_token: 'opaque', rotate_refresh_tokens: 'always' })
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'me', kind: 'error-json' })
    await advance(world)(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'verifying', tokenOwner: 'pending' })
    return { consent, codeId }
  }
  const endsRenewed = async (consent: Consent): Promise<void> => {
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  }

  test('the pending token is valid: it becomes the current one, and nothing is in doubt', async () => {
    const { consent } = await besideUntilMe()
    await correct(consent, `typed in by hand for ${consent.id}`)
    await endsRenewed(consent)
    expect(await eventTypes(world, consent.id)).not.toContain('authorisation.in-doubt')
    expect(seen(world, consent, 'refresh')).toEqual([])
    expect(await world.consentOf(consent.id)).toMatchObject({ candidate: { version: 1 } })
  })

  test('the corrected token is valid, the pending one invalid: the stored one decides and stays', async () => {
    const { consent } = await besideUntilMe()
    // The company has refreshed the token and imports the new one.
    await world.client.refresh(new Secret(world.simulator.connection(consent.credentialsId)?.refreshToken ?? ''))
    await correct(consent, world.simulator.connection(consent.credentialsId)?.refreshToken ?? '')
    await endsRenewed(consent)
  })

  test('during a refresh that rotated the token: the new token is the current one, nothing is in doubt', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    const refresh: World['provider']['refresh'] = async (...args) => {
      const answer = await world.provider.refresh(...args)
      await correct(consent, `typed in by hand for ${consent.id}`)
      return answer
    }
    await advance(world, { provider: { ...world.provider, refresh } })(codeId, aRun())
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    expect(seen(world, consent, 'refresh')).toEqual(['ok'])
  })

  test('an invalid stored token concludes nothing while another attempt’s pending token is not settled', async () => {
    const { consent, codeId: first } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'me', kind: 'error-json' })
    await advance(world)(first, aRun())
    expect((await authorisation(world, first)).status).toBe('in_doubt')
    const second = await codeOf(world, consent.id)
    const exchangeCode: World['provider']['exchangeCode'] = async (...args) => {
      const answer = await world.provider.exchangeCode(...args)
      await replaceStored(consent, `of another answer for ${consent.id}`)
      return answer
    }
    fault(world, consent, { endpoint: 'me', kind: 'error-json' })
    await advance(world, { provider: { ...world.provider, exchangeCode } })(second, aRun())
    expect(await authorisation(world, second)).toMatchObject({ status: 'in_doubt', tokenOwner: 'pending' })
    world.clock.advance({ minutes: 7 })
    await advance(world)(first, aRun({ manual: true }))
    expect((await authorisation(world, first)).status).toBe('in_doubt')
    await endsRenewed(consent)
  })

  test('nothing names the owner of the pending token, no dates: its clean answer is no proof of ours', async () => {
    world.simulator.switches.set({ access_token: 'opaque' })
    const consent = await askedConsent(world)
    const codeId = await codeOf(world, consent.id, 'somebody-else')
    const nothing = {
      credentialsId: undefined,
      providerId: undefined,
      providerName: undefined,
      consentExpiresAt: undefined,
      consentCreatedAt: undefined,
      consentStatusUpdatedAt: undefined,
    }
    const readMe: World['provider']['readMe'] = async () => ({ kind: 'me', me: nothing })
    const deps = { provider: { ...world.provider, readMe } }
    for (let time = 0; time < 5; time += 1) {
      await advance(world, deps)(codeId, aRun({ manual: true }))
      world.clock.advance({ hours: 1 })
    }
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    expect((await world.consentOf(consent.id)).cycle).toBe(1)
    // An hour after the old expiry the stored token is refused, because nothing was renewed. When it is refused once
    // more, the user is asked again.
    world.clock.set(consent.expiresAt.plus({ minutes: 61 }))
    await advance(world, deps)(codeId, aRun({ manual: true }))
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    await advance(world, deps)(codeId, aRun({ manual: true }))
    expect((await authorisation(world, codeId)).status).toBe('refused')
  })

  test('nothing names the owner of the pending token, the stored one proves the renewal: not adopted', async () => {
    world.simulator.switches.set({ access_token: 'opaque' })
    const consent = await askedConsent(world)
    const before = await world.tokenOf(consent.id)
    const codeId = await codeOf(world, consent.id, 'somebody-else')
    const expiresAt = world.clock.now().plus({ days: 90 })
    const readMe: World['provider']['readMe'] = async () => ({
      kind: 'me',
      me: {
        credentialsId: undefined,
        providerId: undefined,
        providerName: undefined,
        consentExpiresAt: expiresAt,
        consentCreatedAt: undefined,
        consentStatusUpdatedAt: undefined,
      },
    })
    await advance(world, { provider: { ...world.provider, readMe } })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await world.tokenOf(consent.id)).toBe(before)
  })
})

describe('the cycle was closed while a code was being exchanged', () => {
  test('the new token is stored all the same: the old one is invalid', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const { credentialsId, userId, providerId, country, redirectUri } = consent
    const row = aRow({
      credentialsId,
      userId,
      providerId,
      country,
      redirectUri,
      refreshToken: await world.tokenOf(consent.id),
      expiresAt: world.clock.now().plus({ days: 30 }),
    })
    const repaired = async (...args: Parameters<World['provider']['exchangeCode']>) => {
      const answer = await world.provider.exchangeCode(...args)
      const [result] = await imports(world.db, world.policy).importBatch([row], {
        now: world.clock.now(),
        correct: false,
      })
      expect(result?.kind).toBe('repaired')
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode: repaired } })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('superseded')
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, tokenVersion: 2 })
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(credentialsId)?.refreshToken)
  })
})

describe('a worker with a stale claim', () => {
  test('writes no decision, but its token response is stored', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const sleeps = async (...args: Parameters<World['provider']['exchangeCode']>) => {
      const answer = await world.provider.exchangeCode(...args)
      // The worker sleeps past its lease; another takes over, finds the old token invalid, and cannot conclude anything
      // yet.
      await endLease(world, 'authorisation', codeId)
      await advance(world)(codeId, aRun())
      expect((await authorisation(world, codeId)).status).toBe('in_doubt')
      return answer
    }
    const said = await advance(world, { provider: { ...world.provider, exchangeCode: sleeps } })(codeId, aRun())
    expect(said).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'verifying' })
    world.clock.advance({ minutes: 6, seconds: 1 })
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('stores its answer while the other worker polls: what that one decides without it is refused', async () => {
    const { consent, codeId } = await withCode(world)
    const lateAnswer = Promise.withResolvers<undefined>()
    const isTakenOver = Promise.withResolvers<undefined>()
    const sleeps = async (...args: Parameters<World['provider']['exchangeCode']>) => {
      const answer = await world.provider.exchangeCode(...args)
      await endLease(world, 'authorisation', codeId)
      isTakenOver.resolve(undefined)
      await lateAnswer.promise
      return answer
    }
    const first = advance(world, { provider: { ...world.provider, exchangeCode: sleeps } })(codeId, aRun())
    await isTakenOver.promise
    world.simulator.switches.set({ me_dates: 'none' })
    const store = withStore(world, {
      schedulePoll: async (...args) => {
        lateAnswer.resolve(undefined)
        await first
        return world.store.schedulePoll(...args)
      },
    })
    expect(await advance(world, { store })(codeId, aRun())).toMatchObject({ kind: 'skipped' })
    const { status, nextActionAt } = await authorisation(world, codeId)
    expect([status, (nextActionAt ?? new Date(0)) <= world.clock.now().toJSDate()]).toEqual(['verifying', true])
    expect(await bringUpToDate(world, consent.id)).not.toEqual([])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('that got a refusal changes nothing of what the other worker decided', async () => {
    const { consent, codeId } = await withCode(world)
    const sleeps = async (): Promise<{ kind: 'refused'; code: 'grant-refused' }> => {
      await endLease(world, 'authorisation', codeId)
      await advance(world)(codeId, aRun())
      return { kind: 'refused', code: 'grant-refused' }
    }
    const said = await advance(world, { provider: { ...world.provider, exchangeCode: sleeps } })(codeId, aRun())
    expect(said).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    expect((await world.renewalsOf(consent.id))[0]?.againNo).toBe(0)
  })

  test('that was told "not processed" leaves the code to the worker that holds the record now', async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'rate-limited' })
    const sleeps: World['provider']['exchangeCode'] = async (...args) => {
      const answer = await world.provider.exchangeCode(...args)
      await endLease(world, 'authorisation', codeId)
      await world.store.claim('authorisation', codeId, LEASE)
      return answer
    }
    const said = await advance(world, { provider: { ...world.provider, exchangeCode: sleeps } })(codeId, aRun())
    expect(said).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'exchanging',
      errorCode: null,
      leaseUntil: expect.any(Date),
    })
  })

  test('that polled in vain leaves date and lease to the worker that holds the record now', async () => {
    world.simulator.switches.set({ me_lag_seconds: 3600 })
    const { codeId } = await withCode(world)
    await advance(world)(codeId, aRun())
    world.clock.advance({ seconds: 11 })
    const sleeps: World['provider']['readMe'] = async (token) => {
      const answer = await world.provider.readMe(token)
      await endLease(world, 'authorisation', codeId)
      await world.store.claim('authorisation', codeId, LEASE)
      return answer
    }
    const { nextActionAt, pollCount } = await authorisation(world, codeId)
    const said = await advance(world, { provider: { ...world.provider, readMe: sleeps } })(codeId, aRun())
    expect(said).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'verifying',
      nextActionAt,
      pollCount,
      leaseUntil: expect.any(Date),
    })
  })
})
