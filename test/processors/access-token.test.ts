// Access tokens for a company that lets Reconsent alone refresh: once at a time for each connection, stored before the
// answer, and in order with codes, settling, imports and outages.
import { Duration } from 'luxon'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import type { Consent, ConsentStatus } from '../../src/domain/model.ts'
import { PermanentError, TransientError } from '../../src/errors.ts'
import {
  type AccessAnswer,
  type AccessOutcome,
  giveAccessToken,
  type GiveAccessTokenDeps,
} from '../../src/processors/give-access-token.ts'
import { prepareAuthorisation } from '../../src/processors/prepare-authorisation.ts'
import { Secret } from '../../src/secret.ts'
import { administration } from '../../src/store/administration.ts'
import { keysInUse } from '../../src/store/cells.ts'
import { imports } from '../../src/store/import.ts'
import { rotateCells } from '../../src/store/key-rotation.ts'
import { openStore } from '../../src/store/open-store.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow } from '../import/rows.ts'
import { holdLocks } from '../setup/locks.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { verified } from '../verify/lives.ts'
import {
  advance,
  authorisation,
  eventTypes,
  fault,
  providerAt,
  renew,
  restoreProvider,
  seen,
  silent,
  withCode,
  withStore,
} from './rig.ts'

let world: World
let outcomes: AccessOutcome[] = []
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
beforeEach(() => {
  outcomes = []
})
afterEach(async () => restoreProvider(world))

const aConnection = async (over: Partial<Consent> & { inDays?: number } = {}): Promise<Consent> => {
  const { inDays = 60, ...rest } = over
  return world.addConsent({ expiresAt: world.clock.now().plus({ days: inDays }), ...rest })
}
const ask = async (
  { id }: Consent,
  over: Partial<GiveAccessTokenDeps> = {},
  by = 'backend',
  rejected?: string,
): Promise<AccessAnswer> => {
  const give = giveAccessToken({
    store: world.store,
    provider: world.provider,
    clock: world.clock,
    log: silent,
    record: (outcome) => outcomes.push(outcome),
    lease: Duration.fromObject({ seconds: 60 }),
    waitsFor: Duration.fromMillis(300),
    signal: new AbortController().signal,
    ...over,
  })
  return give(id, { by, reason: 'a test', rejected: rejected === undefined ? undefined : new Secret(rejected) })
}
/** What the request was answered with, with the token itself in the open. */
const told = (answer: AccessAnswer) =>
  answer.kind === 'token' ? { ...answer, token: answer.token.reveal() } : { ...answer, token: undefined }
const theToken = (answer: AccessAnswer): string => told(answer).token ?? `none: ${JSON.stringify(answer)}`
/** The access token and the refresh token that the provider would accept now. */
const atProvider = ({ credentialsId }: Consent) => {
  const { accessToken, refreshToken } = world.simulator.connection(credentialsId) ?? {}
  return { access: accessToken?.value ?? 'none', refresh: refreshToken ?? 'none' }
}
const rotates = () => world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
const refreshes = (consent: Consent): string[] => seen(world, consent, 'refresh')
const shown = async ({ id }: Consent) =>
  (await world.eventsOf(id)).filter(({ type }) => type === 'access-token.shown').map(({ data }) => data)
const kept = async ({ id }: Consent) => world.db.prisma.accessToken.findUnique({ where: { consentId: id } })
/** The process that refreshes has died, and its time is over. */
const endRefreshLease = async ({ id }: Consent): Promise<void> => {
  await world.db.prisma
    .$executeRaw`UPDATE consents SET refreshing_until = clock_timestamp() - interval '1 second' WHERE id = ${id}::uuid`
}
const importToken = async (consent: Consent, refreshToken: string, over: Parameters<typeof aRow>[0] = {}) => {
  const { credentialsId, userId, providerId, country, redirectUri, expiresAt } = await world.consentOf(consent.id)
  const row = aRow({ credentialsId, userId, providerId, country, redirectUri, expiresAt, refreshToken, ...over })
  await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false })
}
/** The company refreshes beside us: our tokens die. Returns its new refresh token. */
const refreshedByCompany = async (consent: Consent): Promise<string> => {
  const before = world.simulator.switches.all().rotate_refresh_tokens
  rotates()
  await world.client.refresh(new Secret(atProvider(consent).refresh))
  world.simulator.switches.set({ rotate_refresh_tokens: before })
  return atProvider(consent).refresh
}
/** The process dies with the provider's answer in hand. */
const diesBeforeStoring = { storeRefreshed: async () => Promise.reject(new PermanentError('internal')) }

describe('an access token', () => {
  test('is refreshed once, with its end, and given again until five minutes before it', async () => {
    const consent = await aConnection()
    const first = await ask(consent)
    expect(told(first)).toMatchObject({ kind: 'token', token: atProvider(consent).access, isRefreshed: true })
    if (first.kind !== 'token') throw new Error(first.kind)
    expect(first.endsAt.diff(world.clock.now()).as('minutes')).toBeCloseTo(60, 0)
    expect((await world.client.readMe(first.token)).kind).toBe('me')
    world.clock.set(first.endsAt.minus({ minutes: 5, seconds: 5 }))
    expect(theToken(await ask(consent))).toBe(first.token.reveal())
    expect(refreshes(consent)).toEqual(['ok'])
    world.clock.set(first.endsAt.minus({ minutes: 5 }))
    const second = await ask(consent)
    expect(told(second)).toMatchObject({ token: atProvider(consent).access, isRefreshed: true })
    expect(theToken(second)).not.toBe(first.token.reveal())
    expect(refreshes(consent)).toEqual(['ok', 'ok'])
    expect(outcomes).toEqual(['refreshed', 'cached', 'refreshed'])
  })

  test('comes with a rotated refresh token, which is stored before it is answered', async () => {
    rotates()
    const consent = await aConnection()
    let storedFirst = false
    const store = withStore(world, {
      storeRefreshed: async (...given) => {
        await world.store.storeRefreshed(...given)
        storedFirst = true
      },
    })
    const answer = await ask(consent, { store })
    expect([theToken(answer), storedFirst]).toEqual([atProvider(consent).access, true])
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
    expect(await eventTypes(world, consent.id)).toEqual(['token.replaced', 'access-token.shown'])
    world.clock.advance({ hours: 1 })
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
  })

  test('that the provider has rejected is not given again, and two that say so cost one refresh', async () => {
    const consent = await aConnection()
    const dead = theToken(await ask(consent))
    await world.client.refresh(new Secret(atProvider(consent).refresh))
    const before = refreshes(consent).length
    expect(theToken(await ask(consent))).toBe(dead)
    const next = [await ask(consent, {}, 'one', dead), await ask(consent, {}, 'two', dead)]
    expect(next.map(theToken)).toEqual([atProvider(consent).access, atProvider(consent).access])
    expect(refreshes(consent).length).toBe(before + 1)
    fault(world, consent, { endpoint: 'refresh', kind: 'rate-limited' })
    expect(await ask(consent, {}, 'one', atProvider(consent).access)).toMatchObject({ kind: 'unavailable' })
  })

  test('is kept sealed, and of another row, or an older one, it is as if it were not there', async () => {
    const [consent, other] = [await aConnection(), await aConnection()]
    const token = theToken(await ask(consent))
    const row = await kept(consent)
    expect(row?.accessToken).toMatch(/^v1\.k1\./)
    expect(JSON.stringify(row)).not.toContain(token)
    await ask(other)
    await world.db.prisma.accessToken.update({
      where: { consentId: other.id },
      data: { accessToken: row?.accessToken ?? '' },
    })
    expect(told(await ask(other))).toMatchObject({ isRefreshed: true, token: atProvider(other).access })
  })

  test('is sealed again when keys rotate, and opens with the new key alone', async () => {
    const consent = await aConnection()
    const token = theToken(await ask(consent))
    const keys = ringOf('k2', 'k1')
    const both = openStore({ url: world.url, vault: makeVault({ keys }), connections: 2 })
    await rotateCells(both.db, { keys })
    expect((await keysInUse(both.db.sql)).map(({ keyId }) => keyId)).toEqual(['k2'])
    await both.close()
    const only = openStore({ url: world.url, vault: makeVault({ keys: ringOf('k2') }), connections: 2 })
    expect(theToken(await ask(consent, { store: only.store }))).toBe(token)
    await only.close()
    const back = openStore({ url: world.url, vault: makeVault({ keys: ringOf('k1', 'k2') }), connections: 2 })
    await rotateCells(back.db, { keys: ringOf('k1', 'k2') })
    await back.close()
    expect(refreshes(consent)).toEqual(['ok'])
  })

  test('that does not decrypt is a violation of verify', async () => {
    const consent = await aConnection()
    await ask(consent)
    const { accessToken = '' } = (await kept(consent)) ?? {}
    const where = { consentId: consent.id }
    await world.db.prisma.accessToken.update({ where, data: { version: { increment: 1 } } })
    expect((await verified(world)).filter(({ record }) => record.startsWith('access_tokens'))).toEqual([
      {
        invariant: 4,
        record: `access_tokens ${consent.id}`,
        what: 'access_token does not decrypt: altered, or put back from another row or an older version',
      },
    ])
    await world.db.prisma.accessToken.update({ where, data: { version: { decrement: 1 }, accessToken } })
  })

  test('each refresh is an event that names the key, and a token that was there one event a key and hour', async () => {
    const consent = await aConnection()
    world.clock.set(world.clock.now().startOf('hour').plus({ hours: 1, minutes: 1 }))
    await ask(consent, {}, 'backend')
    for (let times = 0; times < 3; times += 1) await ask(consent, {}, 'backend')
    for (let times = 0; times < 3; times += 1) await ask(consent, {}, 'reports')
    const expected = [
      { by: 'backend', refreshed: true },
      { by: 'reports', refreshed: false },
    ]
    expect(await shown(consent)).toEqual(expected)
    expect((await world.eventsOf(consent.id)).at(-1)).toMatchObject({ actor: 'company', reason: 'a test' })
    await Promise.all([0, 1, 2].map(async () => ask(consent, {}, 'nightly')))
    expect(await shown(consent)).toEqual([...expected, { by: 'nightly', refreshed: false }])
    world.clock.set(world.clock.now().startOf('hour').plus({ hours: 1, seconds: 1 }))
    await ask(consent, {}, 'reports')
    expect((await shown(consent)).length).toBe(4)
  })
})

describe('two requests at once in two processes', () => {
  test('make one refresh, and both get its token', async () => {
    rotates()
    const consent = await aConnection()
    const other = openStore({ url: world.url, vault: world.vault, connections: 3 })
    const waitsFor = Duration.fromObject({ seconds: 5 })
    const answers = await Promise.all([
      ask(consent, { waitsFor }, 'one'),
      ask(consent, { waitsFor, store: other.store, provider: providerAt(world, { requestTimeoutMs: 1_500 }) }, 'two'),
    ])
    await other.close()
    expect(answers.map(theToken)).toEqual([atProvider(consent).access, atProvider(consent).access])
    expect(refreshes(consent)).toEqual(['ok'])
    expect((await shown(consent)).map(({ by }) => by).toSorted()).toEqual(['one', 'two'])
  })

  test('the second waits no longer than it may, and asks again later', async () => {
    const consent = await aConnection()
    let second: AccessAnswer | undefined
    const provider = {
      refresh: async (...given: Parameters<World['provider']['refresh']>) => {
        second = await ask(consent)
        return world.provider.refresh(...given)
      },
    }
    await ask(consent, { provider })
    expect(second).toMatchObject({ kind: 'unavailable', retryAfterMs: 2_000 })
    expect(outcomes).toEqual(['put-off', 'refreshed'])
    expect(refreshes(consent)).toEqual(['ok'])
  })

  test('the first has slept past its time: what it brings is stored, and ends the refusal of the second', async () => {
    rotates()
    const consent = await aConnection()
    let second: AccessAnswer | undefined
    const provider = {
      refresh: async (...given: Parameters<World['provider']['refresh']>) => {
        const answer = await world.provider.refresh(...given)
        await endRefreshLease(consent)
        second = await ask(consent)
        return answer
      },
    }
    expect(theToken(await ask(consent, { provider }))).toBe(atProvider(consent).access)
    expect(second).toMatchObject({ kind: 'unavailable' })
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
    expect(await world.consentOf(consent.id)).toMatchObject({ lastErrorCode: undefined })
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
  })

  test('the first has slept while another answer was stored: its token is kept beside that one', async () => {
    rotates()
    const consent = await aConnection()
    const provider = {
      refresh: async (...given: Parameters<World['provider']['refresh']>) => {
        const answer = await world.provider.refresh(...given)
        await endRefreshLease(consent)
        const late = { consentId: consent.id, authorisationId: consent.id, version: 1, token: new Secret('late') }
        expect(await world.store.storeRotated({ ...late, now: world.clock.now() })).toBe(true)
        world.clock.advance({ seconds: 1 })
        return answer
      },
    }
    await ask(consent, { provider })
    expect((await world.consentOf(consent.id)).candidate).toMatchObject({ version: 1 })
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
  })
})

describe('a process that dies', () => {
  test('before the provider was asked: the next one refreshes once the time of the first is over', async () => {
    const consent = await aConnection()
    const provider = { refresh: async () => Promise.reject(new Error('died')) }
    await expect(ask(consent, { provider })).rejects.toThrow('died')
    expect(await ask(consent)).toMatchObject({ kind: 'unavailable' })
    expect(refreshes(consent)).toEqual([])
    await endRefreshLease(consent)
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
  })

  test('after a rotation that was not stored: the old token is dead, judged as by a link, and said so', async () => {
    rotates()
    const consent = await aConnection()
    let calls = 0
    const provider = {
      refresh: async (...given: Parameters<World['provider']['refresh']>) => {
        calls += 1
        return world.provider.refresh(...given)
      },
    }
    await expect(ask(consent, { store: withStore(world, diesBeforeStoring) })).rejects.toThrow('internal')
    await endRefreshLease(consent)
    const lost = expect.stringContaining('has no known outcome')
    expect(await ask(consent, { provider })).toMatchObject({ kind: 'unavailable', detail: lost })
    expect(calls).toBe(1)
    // Nobody asks the provider again before the five minutes are over.
    world.clock.advance({ minutes: 4, seconds: 50 })
    expect(await ask(consent, { provider })).toMatchObject({ kind: 'unavailable', detail: lost })
    expect(calls).toBe(1)
    expect(await eventTypes(world, consent.id)).not.toContain('token.rejected')
    world.clock.advance({ seconds: 11 })
    expect(await ask(consent, { provider })).toMatchObject({ kind: 'rejected', detail: lost })
    expect(await ask(consent, { provider })).toMatchObject({ kind: 'rejected', detail: lost })
    expect(calls).toBe(2)
    expect((await world.eventsOf(consent.id)).filter(({ type }) => type === 'token.rejected')).toHaveLength(1)
    // An import brings the living one: it is tried at once, and the connection waits for nothing any more.
    await importToken(consent, atProvider(consent).refresh)
    expect(theToken(await ask(consent, { provider }))).toBe(atProvider(consent).access)
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
    expect(await world.consentOf(consent.id)).toMatchObject({ lastErrorCode: undefined, tokenRejectedAt: undefined })
  })

  test('after an answer without a rotation: the next request refreshes again', async () => {
    const consent = await aConnection()
    await expect(ask(consent, { store: withStore(world, diesBeforeStoring) })).rejects.toThrow('internal')
    await endRefreshLease(consent)
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
    expect(refreshes(consent)).toEqual(['ok', 'ok'])
    expect(await kept(consent)).toMatchObject({ doubtSince: null })
  })
})

describe('the answer of a refresh', () => {
  test('is lost on the wire: in doubt, nobody asks for half a minute, then one refresh tells', async () => {
    const consent = await aConnection()
    fault(world, consent, { endpoint: 'refresh', kind: 'reset-after' })
    expect(await ask(consent)).toMatchObject({
      kind: 'unavailable',
      detail: expect.stringContaining('has no known outcome'),
    })
    expect(await ask(consent)).toMatchObject({ kind: 'unavailable' })
    expect(refreshes(consent)).toHaveLength(1)
    world.clock.advance({ seconds: 31 })
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
    expect(refreshes(consent)).toHaveLength(2)
    expect(outcomes).toEqual(['in-doubt', 'put-off', 'refreshed'])
  })

  test('is stored as soon as the database is back, and not answered before', async () => {
    rotates()
    const consent = await aConnection()
    let outages = 3
    const store = withStore(world, {
      storeRefreshed: async (...given) => {
        outages -= 1
        if (outages >= 0) throw new TransientError('database-unavailable')
        return world.store.storeRefreshed(...given)
      },
    })
    const answer = await ask(consent, { store })
    expect([theToken(answer), outages]).toEqual([atProvider(consent).access, -1])
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
    expect(refreshes(consent)).toEqual(['ok'])
  })

  test('is stored once, though the acknowledgement was lost', async () => {
    rotates()
    const consent = await aConnection()
    let acknowledged = 0
    const store = withStore(world, {
      storeRefreshed: async (...given) => {
        await world.store.storeRefreshed(...given)
        acknowledged += 1
        if (acknowledged < 3) throw new TransientError('database-unavailable')
      },
    })
    await ask(consent, { store })
    expect(await eventTypes(world, consent.id)).toEqual(['token.replaced', 'access-token.shown'])
    expect(await world.consentOf(consent.id)).toMatchObject({ tokenVersion: 2 })
  })

  test('is given up with the process, which is told to end', async () => {
    const consent = await aConnection()
    const ending = new AbortController()
    const store = withStore(world, {
      storeRefreshed: async () => {
        ending.abort()
        throw new TransientError('database-unavailable')
      },
    })
    await expect(ask(consent, { store, signal: ending.signal })).rejects.toThrow('database-unavailable')
  })
})

describe('a code of the same consent', () => {
  const askedBefore = async () => {
    const { consent, codeId } = await withCode(world)
    await ask(consent)
    return { consent, codeId }
  }

  test('is being exchanged: the refresher waits, and then gives the token of the exchange', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'always' })
    const { consent, codeId } = await askedBefore()
    let meanwhile: AccessAnswer | undefined
    const exchangeCode: World['provider']['exchangeCode'] = async (...given) => {
      meanwhile = await ask(consent)
      return world.provider.exchangeCode(...given)
    }
    await advance(world, { provider: { ...world.provider, exchangeCode } })(codeId, aRun())
    expect(meanwhile).toMatchObject({ kind: 'unavailable', detail: expect.stringContaining('a code') })
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(told(await ask(consent))).toMatchObject({ token: atProvider(consent).access, isRefreshed: false })
    expect(refreshes(consent)).toEqual(['ok'])
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
  })

  test('comes while a refresh is under way: it is sent after it, by the token that the refresh brought', async () => {
    rotates()
    const { consent, codeId } = await withCode(world)
    const provider = {
      refresh: async (...given: Parameters<World['provider']['refresh']>) => {
        expect(await advance(world)(codeId, aRun())).toMatchObject({ kind: 'snooze' })
        expect(seen(world, consent, 'exchange')).toEqual([])
        return world.provider.refresh(...given)
      },
    }
    await ask(consent, { provider })
    world.clock.advance({ seconds: 3 })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await eventTypes(world, consent.id)).not.toContain('authorisation.in-doubt')
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
  })

  test('is sent though a refresher has died: its mark ends within the life of a code', async () => {
    const { consent, codeId } = await withCode(world)
    const provider = { refresh: async () => Promise.reject(new Error('died')) }
    await expect(ask(consent, { provider })).rejects.toThrow('died')
    expect(await advance(world)(codeId, aRun())).toMatchObject({ kind: 'snooze' })
    await endRefreshLease(consent)
    world.clock.advance({ seconds: 3 })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
  })

  test('is proven for minutes, because /me is late: the company works with the token of the exchange', async () => {
    world.simulator.switches.set({ me_lag_seconds: 300 })
    const { consent, codeId } = await askedBefore()
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('verifying')
    expect(told(await ask(consent))).toMatchObject({ token: atProvider(consent).access, isRefreshed: false })
    for (const minutes of [2, 10]) {
      world.clock.advance({ minutes })
      await advance(world)(codeId, aRun())
    }
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(refreshes(consent)).toEqual(['ok'])
  })

  const inDoubt = async () => {
    const { consent, codeId } = await askedBefore()
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'refresh', kind: 'reset-before' })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    world.clock.advance({ minutes: 7 })
    return { consent, codeId }
  }

  test('is in doubt: settling waits for a refresh, and settles by the token that it brought', async () => {
    rotates()
    const { consent, codeId } = await inDoubt()
    const before = refreshes(consent).length
    const provider = {
      refresh: async (...given: Parameters<World['provider']['refresh']>) => {
        expect(await advance(world)(codeId, aRun())).toMatchObject({ kind: 'snooze' })
        return world.provider.refresh(...given)
      },
    }
    await ask(consent, { provider })
    expect(refreshes(consent).length).toBe(before + 1)
    world.clock.advance({ seconds: 3 })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(refreshes(consent).slice(before)).toEqual(['ok', 'ok'])
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
  })

  test('is being settled: the refresher waits; the token that the poll has ended is not given out', async () => {
    rotates()
    const { consent, codeId } = await inDoubt()
    expect(told(await ask(consent))).toMatchObject({ isRefreshed: true })
    let meanwhile: AccessAnswer | undefined
    const refresh: World['provider']['refresh'] = async (...given) => {
      meanwhile = await ask(consent)
      return world.provider.refresh(...given)
    }
    await advance(world, { provider: { ...world.provider, refresh } })(codeId, aRun())
    expect(meanwhile).toMatchObject({ kind: 'unavailable' })
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(told(await ask(consent))).toMatchObject({ token: atProvider(consent).access, isRefreshed: true })
    expect(refreshes(consent)).not.toContain('invalid_grant')
  })

  /** A refresh is being begun: its mark is written and not committed. */
  const beingBegun = async ({ id }: Consent) =>
    holdLocks(
      world.db,
      `UPDATE consents SET token_call_no = token_call_no + 1, refreshing_until = clock_timestamp() + interval '1 minute'
       WHERE id = $1`,
      [id],
    )

  test.each(['sent', 'settled'] as const)(
    'is about to be %s as a refresh is begun: it meets the mark',
    async (what) => {
      const { consent, codeId } = what === 'sent' ? await withCode(world) : await inDoubt()
      const [codes, before] = [seen(world, consent, 'exchange').length, refreshes(consent).length]
      const held = await beingBegun(consent)
      const working = advance(world)(codeId, aRun())
      await held.untilWaiting(1)
      await held.commit()
      expect(await working).toMatchObject({ kind: 'snooze' })
      expect([seen(world, consent, 'exchange').length, refreshes(consent).length]).toEqual([codes, before])
      await endRefreshLease(consent)
      world.clock.advance({ seconds: 3 })
      await advance(world)(codeId, aRun())
      expect((await authorisation(world, codeId)).status).toBe('renewed')
    },
  )

  test('is in doubt, and the stored token is refused: nobody is blamed, the code is settled first', async () => {
    const { consent } = await inDoubt()
    await refreshedByCompany(consent)
    expect(await ask(consent)).toMatchObject({ kind: 'unavailable', detail: expect.stringContaining('settled') })
    world.clock.advance({ minutes: 6 })
    expect(await ask(consent)).toMatchObject({ kind: 'unavailable' })
    expect(await world.consentOf(consent.id)).toMatchObject({ lastErrorCode: undefined })
  })

  test('has left a pending token, which may be the only valid one: nothing is refreshed before that', async () => {
    const { consent, codeId } = await askedBefore()
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth', access_token: 'opaque' })
    const readMe: World['provider']['readMe'] = async () => {
      const answer = { kind: 'unavailable', code: 'provider-timeout', retryAfterMs: undefined } as const
      return answer
    }
    await advance(world, { provider: { ...world.provider, readMe } })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'verifying', tokenOwner: 'pending' })
    const provider = { refresh: async () => Promise.reject(new Error('asked')) }
    expect(await ask(consent, { provider })).toMatchObject({ kind: 'unavailable' })
  })
})

describe('an import', () => {
  test('brings what the company has refreshed beside us: the token that was there is not given out', async () => {
    const consent = await aConnection()
    await ask(consent)
    const newer = await refreshedByCompany(consent)
    world.clock.advance({ seconds: 10 })
    await importToken(consent, newer)
    expect(told(await ask(consent))).toMatchObject({ token: atProvider(consent).access, isRefreshed: true })
    expect(await world.tokenOf(consent.id)).toBe(newer)
    expect(refreshes(consent)).toEqual(['ok', 'ok', 'ok'])
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
  })

  test('brings a stale token: it is refused and barred, and ours is refreshed in the same call', async () => {
    rotates()
    const consent = await aConnection()
    await ask(consent)
    world.clock.advance({ hours: 2 })
    await importToken(consent, 'a token of last year')
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
    expect((await world.consentOf(consent.id)).candidate).toBeUndefined()
    expect(told(await ask(consent))).toMatchObject({ isRefreshed: false })
  })

  test('comes while the current token is refused: the candidate is tried next, its new token stored', async () => {
    rotates()
    const consent = await aConnection()
    const newer = await refreshedByCompany(consent)
    await importToken(consent, newer, { tokenIssuedAt: world.clock.now().minus({ days: 2 }) })
    await world.db.prisma.consent.update({
      where: { id: consent.id },
      data: { tokenIssuedAt: world.clock.now().minus({ days: 1 }).toJSDate() },
    })
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
    expect((await world.consentOf(consent.id)).candidate).toBeUndefined()
  })

  test('comes during the refresh: the answer is stored, and the import waits for the next one', async () => {
    rotates()
    const consent = await aConnection()
    const provider = {
      refresh: async (...given: Parameters<World['provider']['refresh']>) => {
        const answer = await world.provider.refresh(...given)
        await importToken(consent, 'came meanwhile')
        return answer
      },
    }
    expect(theToken(await ask(consent, { provider }))).toBe(atProvider(consent).access)
    expect(await world.tokenOf(consent.id)).toBe(atProvider(consent).refresh)
    expect((await world.consentOf(consent.id)).candidate).toMatchObject({ version: 1 })
  })

  test('has the token of another connection: what it brings goes there, and ours is refreshed', async () => {
    rotates()
    const [consent, other] = [await aConnection(), await aConnection()]
    const foreign = atProvider(other).refresh
    await importToken(consent, foreign)
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
    expect((await world.store.readTokens(other.id)).tokens.map(({ token }) => token.reveal())).toContain(
      atProvider(other).refresh,
    )
    expect((await world.consentOf(consent.id)).candidate).toBeUndefined()
  })

  test('says that the connection was superseded: its access token is gone', async () => {
    const consent = await aConnection()
    await ask(consent)
    const next = await aConnection({ userId: consent.userId })
    const { credentialsId, userId, providerId, country, redirectUri, expiresAt } = next
    const row = aRow({ credentialsId, userId, providerId, country, redirectUri, expiresAt, refreshToken: 'of another' })
    const options = { now: world.clock.now(), correct: false }
    await imports(world.db, world.policy).importBatch([{ ...row, supersedes: consent.credentialsId }], options)
    expect(await kept(consent)).toMatchObject({ accessToken: null, endsAt: null })
    expect(await ask(consent)).toMatchObject({ kind: 'refused', status: 'superseded' })
  })
})

test('a link asked for while the token is replaced is made with the new one, and nobody is blamed', async () => {
  rotates()
  const consent = await aConnection({ inDays: 10 })
  let asked = 0
  const makeLink: World['provider']['makeLink'] = async (...given) => {
    asked += 1
    if (asked === 1) await ask(consent)
    return world.provider.makeLink(...given)
  }
  const prepare = prepareAuthorisation({ store: world.store, provider: { makeLink } })
  expect((await renew(world, { prepare })(consent.id, aRun())).kind).toBe('done')
  expect([asked, (await world.consentOf(consent.id)).lastErrorCode]).toEqual([2, undefined])
})

describe('a provider that cannot be asked', () => {
  /** A connection whose token is about to end. */
  const ending = async () => {
    const consent = await aConnection()
    const first = await ask(consent)
    if (first.kind !== 'token') throw new Error(first.kind)
    world.clock.set(first.endsAt.minus({ minutes: 4 }))
    return { consent, first: first.token.reveal(), endsAt: first.endsAt }
  }
  const opens = async () => {
    const now = world.clock.now()
    await world.db.prisma.openCircuit.create({
      data: { name: 'client-rejected', since: now.toJSDate(), trialAt: now.plus({ minutes: 1 }).toJSDate() },
    })
  }

  test('the circuit is open: 503 until its next trial call, and a token that is still valid all the same', async () => {
    const { consent, first, endsAt } = await ending()
    const other = await aConnection()
    await opens()
    const provider = providerAt(world, { requestTimeoutMs: 1_500 })
    expect(told(await ask(consent, { provider }))).toMatchObject({ token: first, endsAt })
    const answer = await ask(other, { provider })
    expect(answer).toMatchObject({ kind: 'unavailable', detail: expect.stringContaining('circuit') })
    expect(answer.kind === 'unavailable' && answer.retryAfterMs).toBeGreaterThan(50_000)
    expect([...refreshes(consent), ...refreshes(other)]).toEqual(['ok'])
    // Nobody asks before the trial.
    expect(await ask(other)).toMatchObject({ kind: 'unavailable' })
    expect(refreshes(other)).toEqual([])
  })

  test.each<[string, Parameters<typeof fault>[2], { retryMs: number; isInDoubt: boolean }]>([
    [
      '429 with Retry-After',
      { endpoint: 'refresh', kind: 'rate-limited', retry_after: 120 },
      { retryMs: 120_000, isInDoubt: false },
    ],
    ['429 without', { endpoint: 'refresh', kind: 'rate-limited' }, { retryMs: 30_000, isInDoubt: false }],
    ['500', { endpoint: 'refresh', kind: 'error-json', status: 500 }, { retryMs: 30_000, isInDoubt: true }],
    ['a gateway’s 502', { endpoint: 'refresh', kind: 'error-html' }, { retryMs: 30_000, isInDoubt: true }],
  ])('%s: 503 with that Retry-After, nobody asks before, and a valid token is given', async (_, order, wanted) => {
    const { consent, first } = await ending()
    const other = await aConnection()
    for (const one of [consent, other]) fault(world, one, { ...order, count: 1 })
    expect(told(await ask(consent))).toMatchObject({ token: first, isRefreshed: false })
    const answer = await ask(other)
    if (answer.kind !== 'unavailable') throw new Error(answer.kind)
    expect(Math.abs(answer.retryAfterMs - wanted.retryMs)).toBeLessThan(2_000)
    expect((await kept(other))?.doubtSince !== null).toBe(wanted.isInDoubt)
    await ask(other)
    expect(refreshes(other)).toHaveLength(1)
    world.clock.advance({ milliseconds: wanted.retryMs + 2_000 })
    expect(theToken(await ask(other))).toBe(atProvider(other).access)
  })

  test('a token that may be dead at once is not given: 30 seconds before its end there is none', async () => {
    const { consent, endsAt } = await ending()
    world.clock.set(endsAt.minus({ seconds: 30 }))
    fault(world, consent, { endpoint: 'refresh', kind: 'rate-limited' })
    expect(await ask(consent)).toMatchObject({ kind: 'unavailable' })
  })

  test('invalid_client for a token that is none: the other one tells that our client is accepted', async () => {
    world.simulator.switches.set({ unknown_refresh: 'invalid_client' })
    const consent = await aConnection()
    await importToken(consent, 'garbage')
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
  })

  test('while a circuit is open, a rejection blames nobody', async () => {
    const consent = await aConnection()
    await refreshedByCompany(consent)
    const now = world.clock.now()
    await world.db.prisma.openCircuit.create({
      data: { name: 'link-rejected', since: now.toJSDate(), trialAt: now.plus({ minutes: 1 }).toJSDate() },
    })
    for (let tries = 0; tries < 3; tries += 1) {
      expect(await ask(consent)).toMatchObject({ kind: 'unavailable' })
      world.clock.advance({ minutes: 6 })
    }
    expect(await eventTypes(world, consent.id)).not.toContain('token.rejected')
    await world.store.closeCircuit('link-rejected')
    expect(await ask(consent)).toMatchObject({ kind: 'rejected' })
  })
})

describe('a consent that is', () => {
  test.each<[ConsentStatus, string]>([
    ['paused', 'resume'],
    ['quarantined', 'operator'],
    ['lapsed', 'lapsed'],
    ['revoked', 'revoked'],
    ['opted_out', 'opted out'],
    ['superseded', 'superseded_by'],
  ])('%s has no access token: the answer says the status, and nobody asks the provider', async (status, words) => {
    const consent = await aConnection({ status })
    expect(await ask(consent)).toMatchObject({ kind: 'refused', status, detail: expect.stringContaining(words) })
    expect(refreshes(consent)).toEqual([])
  })

  test('unsupported has one until it ends: only its renewal is not possible', async () => {
    const consent = await aConnection({ status: 'unsupported' })
    expect(theToken(await ask(consent))).toBe(atProvider(consent).access)
  })

  test('over, and not renewed yet, has none', async () => {
    const consent = await aConnection({ inDays: -1 })
    expect(await ask(consent)).toMatchObject({ kind: 'refused', status: 'active' })
    expect(refreshes(consent)).toEqual([])
  })

  test('paused or closed keeps no access token', async () => {
    const consent = await aConnection()
    await ask(consent)
    const request = { now: world.clock.now(), reason: 'a test' }
    await administration(world.db, world.policy).pauseConsent(consent.id, request)
    expect(await kept(consent)).toMatchObject({ accessToken: null, endsAt: null })
    await administration(world.db, world.policy).resumeConsent(consent.id, request)
    expect(told(await ask(consent))).toMatchObject({ isRefreshed: true })
    await administration(world.db, world.policy).closeForGood(consent.id, 'revoked', request)
    expect(await kept(consent)).toMatchObject({ accessToken: null })
  })

  test('with a token that does not decrypt is quarantined', async () => {
    const consent = await aConnection()
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { tokenVersion: 7 } })
    expect(await ask(consent)).toMatchObject({ kind: 'refused', status: 'quarantined' })
    expect((await world.consentOf(consent.id)).status).toBe('quarantined')
  })

  test('not there is missing', async () => {
    expect(await ask({ id: '00000000-0000-4000-8000-000000000000' } as Consent)).toEqual({ kind: 'missing' })
  })
})
