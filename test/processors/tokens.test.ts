// Refresh tokens that the provider rotates: the company refreshes beside us and imports what it has, in any order, and
// only the provider says which token lives.
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import type { Consent } from '../../src/domain/model.ts'
import { prepareAuthorisation } from '../../src/processors/prepare-authorisation.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { rotateCells } from '../../src/store/key-rotation.ts'
import { openStore } from '../../src/store/open-store.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow } from '../import/rows.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  askedConsent,
  authorisation,
  bringUpToDate,
  daysLeft,
  eventTypes,
  fault,
  renew,
  restoreProvider,
  rungsSent,
  seen,
  withCode,
  withStore,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(async () => restoreProvider(world))

const due = async (over: Partial<Consent> & { inDays?: number } = {}): Promise<Consent> => {
  const { inDays = 10, ...rest } = over
  return world.addConsent({ expiresAt: world.clock.now().plus({ days: inDays }), ...rest })
}
const importToken = async (consent: Consent, refreshToken: string, over: Parameters<typeof aRow>[0] = {}) => {
  const { credentialsId, userId, providerId, country, redirectUri, expiresAt } = await world.consentOf(consent.id)
  const row = aRow({ credentialsId, userId, providerId, country, redirectUri, expiresAt, refreshToken, ...over })
  const now = world.clock.now()
  return (await imports(world.db, world.policy).importBatch([row], { now, correct: false }))[0]
}
/** The token that the provider would accept now. */
const living = ({ credentialsId }: Consent): string => world.simulator.connection(credentialsId)?.refreshToken ?? ''
/** The company refreshes the connection with the newest token: the old one dies. Returns the new one. */
const refreshedByCompany = async (consent: Consent): Promise<string> => {
  const before = world.simulator.switches.all().rotate_refresh_tokens
  world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
  await world.client.refresh(new Secret(living(consent)))
  world.simulator.switches.set({ rotate_refresh_tokens: before })
  return living(consent)
}
const stored = async ({ id }: Consent): Promise<string[]> =>
  (await world.store.readTokens(id)).tokens.map(({ token }) => token.reveal())
const statesOf = async ({ id }: Consent): Promise<string[]> =>
  (await world.db.prisma.tokenFingerprint.findMany({ where: { consentId: id } })).map(({ state }) => state).sort()

describe('a link', () => {
  test('is made with the token that the company refreshed and imported; ours stays, unjudged', async () => {
    const consent = await due()
    const original = living(consent)
    const newer = await refreshedByCompany(consent)
    await importToken(consent, newer)
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    expect(seen(world, consent, 'reauthuri')).toEqual(['ok'])
    expect(await world.tokenOf(consent.id)).toBe(newer)
    expect(await stored(consent)).toEqual([newer, original])
    const { tokenAcceptedAt } = await world.consentOf(consent.id)
    expect(tokenAcceptedAt?.diff(world.clock.now()).as('minutes')).toBeCloseTo(0, 0)
  })

  test('is made with the candidate after ours was rejected, which is barred then', async () => {
    const consent = await askedConsent(world)
    const original = living(consent)
    const newer = await refreshedByCompany(consent)
    // The company's clock is wrong by a day: its token looks older than the acceptance of ours.
    await world.db.prisma.consent.update({
      where: { id: consent.id },
      data: { tokenIssuedAt: world.clock.now().toJSDate() },
    })
    await importToken(consent, newer, { tokenIssuedAt: world.clock.now().minus({ days: 1 }) })
    world.clock.advance({ minutes: 10 })
    await world.leave(consent.id)
    expect(await world.tokenOf(consent.id)).toBe(newer)
    expect(await stored(consent)).toEqual([newer])
    expect(await statesOf(consent)).toEqual(['current', 'rejected'])
    expect(await importToken(consent, original)).toMatchObject({ detail: expect.stringContaining('rejected') })
    expect(await stored(consent)).toEqual([newer])
  })

  test('is made with ours after a stale export was rejected, which is barred then', async () => {
    const consent = await askedConsent(world)
    const ours = living(consent)
    await importToken(consent, 'a token of last year')
    world.clock.advance({ minutes: 10 })
    await world.leave(consent.id)
    expect(await stored(consent)).toEqual([ours])
    expect(await statesOf(consent)).toEqual(['current', 'rejected'])
    expect(await world.consentOf(consent.id)).toMatchObject({ tokenVersion: 1, candidate: undefined })
  })

  test('is made whatever the order in which exports arrive', async () => {
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]) {
      const consent = await due()
      const issuedAt = world.clock.now().minus({ days: 3 })
      const exported = [{ token: living(consent), issuedAt }]
      for (const days of [1, 2])
        exported.push({ token: await refreshedByCompany(consent), issuedAt: issuedAt.plus({ days }) })
      for (const index of order) {
        const { token, issuedAt: tokenIssuedAt } = exported[index] ?? { token: '', issuedAt: undefined }
        await importToken(consent, token, { tokenIssuedAt })
        await bringUpToDate(world, consent.id)
      }
      world.clock.advance({ minutes: 6 })
      await bringUpToDate(world, consent.id)
      expect([order.join(), await world.tokenOf(consent.id)]).toEqual([order.join(), living(consent)])
      expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    }
  })

  test('a worker that dies between acceptance and commit loses nothing: the next one finds the same', async () => {
    const consent = await due()
    const newer = await refreshedByCompany(consent)
    await importToken(consent, newer)
    const store = withStore(world, { commitStep: async () => Promise.reject(new Error('died')) })
    await expect(renew(world, { store })(consent.id, aRun())).rejects.toThrow('died')
    expect((await stored(consent))[0]).toBe(newer)
    expect((await world.consentOf(consent.id)).tokenVersion).toBe(1)
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { retryAfter: null } })
    await renew(world)(consent.id, aRun())
    expect(await world.tokenOf(consent.id)).toBe(newer)
  })

  test('a candidate that came while a link was made with the older one is not taken for accepted', async () => {
    const consent = await due()
    const newer = await refreshedByCompany(consent)
    await importToken(consent, newer)
    const store = withStore(world, {
      commitStep: async (...args) => {
        await importToken(consent, 'came meanwhile')
        return world.store.commitStep(...args)
      },
    })
    await renew(world, { store })(consent.id, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ tokenVersion: 1, candidate: { version: 2 } })
  })

  test('rotated keys between arrival and trial: the candidate opens with the new key', async () => {
    const consent = await due()
    const newer = await refreshedByCompany(consent)
    await importToken(consent, newer)
    const keys = ringOf('k2', 'k1')
    const { url } = world
    const other = openStore({ url, vault: makeVault({ keys }), connections: 2 })
    await rotateCells(other.db, { keys })
    await other.close()
    const only = openStore({ url, vault: makeVault({ keys: ringOf('k2') }), connections: 2 })
    const { tokens } = await only.store.readTokens(consent.id)
    expect(tokens.map(({ token }) => token.reveal())[0]).toBe(newer)
    const store = only.store
    await renew(world, { store, prepare: prepareAuthorisation({ store, provider: world.provider }) })(
      consent.id,
      aRun(),
    )
    expect((await store.readRefreshToken(consent.id)).token.reveal()).toBe(newer)
    await only.close()
    // Back to the key of the other tests.
    const back = openStore({ url, vault: makeVault({ keys: ringOf('k1', 'k2') }), connections: 2 })
    await rotateCells(back.db, { keys: ringOf('k1', 'k2') })
    await back.close()
  })
})

describe('an import during an exchange', () => {
  test('waits as a candidate: the exchange is not disturbed, and its own token is the current one', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const { consent, codeId } = await withCode(world)
    const exchangeCode: World['provider']['exchangeCode'] = async (...args) => {
      const answer = await world.provider.exchangeCode(...args)
      await importToken(consent, `typed in by hand for ${consent.id}`)
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode } })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await eventTypes(world, consent.id)).not.toContain('authorisation.in-doubt')
    expect(seen(world, consent, 'refresh')).toEqual([])
    expect(await world.tokenOf(consent.id)).toBe(living(consent))
    expect(await world.consentOf(consent.id)).toMatchObject({ candidate: { version: 1 } })
  })

  test('of the very token that the exchange brings: it is the current one, and no candidate is left', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const { consent, codeId } = await withCode(world)
    const exchangeCode: World['provider']['exchangeCode'] = async (...args) => {
      const answer = await world.provider.exchangeCode(...args)
      await importToken(consent, living(consent))
      return answer
    }
    await advance(world, { provider: { ...world.provider, exchangeCode } })(codeId, aRun())
    expect(await stored(consent)).toEqual([living(consent)])
    expect(await statesOf(consent)).toEqual(['current', 'superseded'])
  })

  test('a link made with it meanwhile does not make it the current one before the exchange has settled', async () => {
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const { consent, codeId } = await withCode(world)
    const exchangeCode: World['provider']['exchangeCode'] = async (...args) => {
      await importToken(consent, await refreshedByCompany(consent))
      const prepared = await world.prepare(await world.consentOf(consent.id), ['reauth'], world.clock.now())
      if (prepared.kind !== 'prepared') throw new Error(prepared.kind)
      expect(prepared.authorisation.tokenUse?.accepted.place).toBe('candidate')
      await world.store.addHandedOut(await world.renewalPage(consent.id), prepared.authorisation, world.clock.now())
      expect((await world.consentOf(consent.id)).tokenVersion).toBe(1)
      return world.provider.exchangeCode(...args)
    }
    await advance(world, { provider: { ...world.provider, exchangeCode } })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await world.tokenOf(consent.id)).toBe(living(consent))
  })
})

describe('an exchange in doubt is settled', () => {
  const inDoubt = async () => {
    const { consent, codeId } = await withCode(world)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    fault(world, consent, { endpoint: 'refresh', kind: 'reset-before' })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    world.clock.advance({ minutes: 7 })
    return { consent, codeId }
  }

  test('by the candidate, if the company has refreshed beside us; its new token is stored', async () => {
    const { consent, codeId } = await inDoubt()
    await importToken(consent, await refreshedByCompany(consent))
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await world.tokenOf(consent.id)).toBe(living(consent))
    expect(await daysLeft(world, consent.id)).toBeGreaterThan(89)
    expect(await statesOf(consent)).toEqual(['candidate', 'current', 'superseded'])
  })

  test('by ours, after a stale candidate was refused and barred', async () => {
    const { consent, codeId } = await inDoubt()
    await importToken(consent, `stale for ${consent.id}`)
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await stored(consent)).toEqual([living(consent)])
    expect(await statesOf(consent)).toContain('rejected')
  })

  test('by the candidate after ours was refused, which is barred then', async () => {
    const { consent, codeId } = await inDoubt()
    const issuedAt = world.clock.now()
    await importToken(consent, await refreshedByCompany(consent), { tokenIssuedAt: issuedAt.minus({ days: 1 }) })
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { tokenIssuedAt: issuedAt.toJSDate() } })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await stored(consent)).toEqual([living(consent)])
    expect(await statesOf(consent)).toEqual(['current', 'rejected'])
  })

  test('in grace every refresh is refused: nothing is barred by it', async () => {
    const { consent, codeId } = await withCode(world, { inDays: -3 })
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-before' })
    await importToken(consent, `another for ${consent.id}`)
    await advance(world)(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'in_doubt', errorCode: 'token-invalid' })
    expect(seen(world, consent, 'refresh')).toEqual(['invalid_grant'])
    expect(await statesOf(consent)).toEqual(['candidate', 'current'])
  })

  test('a candidate of another connection: its consent gets the new token, ours decides here', async () => {
    const owner = await askedConsent(world)
    const { consent, codeId } = await inDoubt()
    // A shifted row with a token that nobody has seen yet.
    await importToken(consent, await refreshedByCompany(owner))
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    await advance(world)(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await stored(consent)).toEqual([living(consent)])
    expect(await stored(owner)).toContain(living(owner))
  })

  test('an import replaces the candidate while it is refreshed: the new token is kept, and settles', async () => {
    const { consent, codeId } = await inDoubt()
    await importToken(consent, await refreshedByCompany(consent))
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    const refresh: World['provider']['refresh'] = async (...args) => {
      const answer = await world.provider.refresh(...args)
      await importToken(consent, `meanwhile for ${consent.id}`)
      return answer
    }
    await advance(world, { provider: { ...world.provider, refresh } })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await world.tokenOf(consent.id)).toBe(living(consent))
  })

  test('the acknowledgement of an accepted candidate is lost: the repetition finds it stored', async () => {
    const { consent, codeId } = await inDoubt()
    await importToken(consent, await refreshedByCompany(consent))
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
    let calls = 0
    const store = withStore(world, {
      acceptCandidate: async (...args) => {
        const answer = await world.store.acceptCandidate(...args)
        return (calls += 1) === 1 ? Promise.reject(new Error('connection lost')) : answer
      },
    })
    await advance(world, { store })(codeId, aRun())
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(await world.tokenOf(consent.id)).toBe(living(consent))
  })
})

describe('every token is rejected', () => {
  const minutesLeft = async ({ id }: Consent): Promise<number> =>
    Math.round((await world.consentOf(id)).nextActionAt?.diff(world.clock.now()).as('minutes') ?? Number.NaN)
  const links = (consent: Consent): number =>
    world.simulator.ledger
      .entries({ what: 'reauthuri' })
      .filter(({ credentials_id: id }) => id === consent.credentialsId).length

  test('rests five minutes untold, then waits for a token, is tried daily, and at once when one arrives', async () => {
    const consent = await due({ inDays: 10 })
    const newer = await refreshedByCompany(consent)
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ lastErrorCode: 'token-rejected', failedAttempts: 1 })
    expect(await minutesLeft(consent)).toBe(5)
    expect(await eventTypes(world, consent.id)).toEqual(['link.failed'])
    // By hand, a minute later: no second time.
    world.clock.advance({ minutes: 1 })
    await renew(world)(consent.id, aRun({ manual: true }))
    expect(await eventTypes(world, consent.id)).toEqual(['link.failed'])
    expect(await minutesLeft(consent)).toBe(4)

    world.clock.advance({ minutes: 4, seconds: 1 })
    await bringUpToDate(world, consent.id)
    expect(await eventTypes(world, consent.id)).toEqual(['link.failed', 'token.rejected'])
    const waiting = await world.consentOf(consent.id)
    expect(waiting).toMatchObject({ status: 'active', tokenRejectedAt: expect.any(DateTime) })
    expect(waiting.nextActionReason).toContain('waiting for a token')
    expect(await minutesLeft(consent)).toBeGreaterThan(21 * 60)

    world.clock.advance({ hours: 27 })
    await bringUpToDate(world, consent.id)
    expect(await eventTypes(world, consent.id)).toEqual(['link.failed', 'token.rejected'])
    expect(await minutesLeft(consent)).toBeGreaterThan(21 * 60)

    await importToken(consent, newer)
    expect(await minutesLeft(consent)).toBeCloseTo(0)
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    expect(await world.consentOf(consent.id)).toMatchObject({ tokenRejectedAt: undefined, lastErrorCode: undefined })
    expect(await world.tokenOf(consent.id)).toBe(newer)
  })

  test('and the route full is open: the user gets a link by it, and nothing waits', async () => {
    const policy = aPolicy({ routes: ['reauth', 'full'] })
    const consent = await due()
    world.simulator.revokeConnection(consent.credentialsId)
    await importToken(consent, `another for ${consent.id}`)
    await renew(world, { policy })(consent.id, aRun())
    expect((await world.renewalsOf(consent.id))[0]?.route).toBe('full')
    // A link that is built without a call shows nothing about any token.
    expect(await world.consentOf(consent.id)).toMatchObject({ tokenVersion: 1, tokenAcceptedAt: undefined })
    expect((await stored(consent)).length).toBe(2)
  })

  test('an answer that names the redirect_uri or our client tries no other token', async () => {
    const redirect = await due({ redirectUri: 'https://not-registered.example/callback' })
    await importToken(redirect, `other for ${redirect.id}`)
    await renew(world)(redirect.id, aRun())
    expect(await world.consentOf(redirect.id)).toMatchObject({
      lastErrorCode: 'link-rejected',
      candidate: { version: 1 },
    })
    const client = await due()
    await importToken(client, `other for ${client.id}`)
    world.simulator.faults.add({ endpoint: 'reauthuri', kind: 'error-json', status: 401, error: 'invalid_client' })
    const before = world.simulator.ledger.count({ what: 'reauthuri' })
    await renew(world)(client.id, aRun())
    expect(world.simulator.ledger.count({ what: 'reauthuri' }) - before).toBe(1)
    expect(await world.consentOf(client.id)).toMatchObject({ lastErrorCode: 'client-rejected', failedAttempts: 0 })
  })

  const dead = async (count: number): Promise<Consent[]> => {
    const consents = await Promise.all(Array.from({ length: count }, async () => due()))
    for (const consent of consents) world.simulator.revokeConnection(consent.credentialsId)
    return consents
  }
  const isOpen = async (): Promise<boolean> =>
    (await world.store.getHealth()).open.some(({ code }) => code === 'link-rejected')

  test('of twelve connections, while one that worked lately still does: it is theirs, and work goes on', async () => {
    const canary = await askedConsent(world)
    const before = links(canary)
    const consents = await dead(12)
    for (const { id } of consents) await renew(world)(id, aRun())
    expect(await isOpen()).toBe(false)
    expect(links(canary)).toBe(before + 1)
    for (const { id } of consents)
      expect(await world.consentOf(id)).toMatchObject({ lastErrorCode: 'token-rejected', failedAttempts: 1 })
    const healthy = await due()
    await bringUpToDate(world, healthy.id)
    expect(await rungsSent(world, healthy.id)).toEqual(['-14d sent'])
    // The verdict comes with the second rejection, of every one of them.
    world.clock.advance({ minutes: 5, seconds: 1 })
    for (const { id } of consents) await renew(world)(id, aRun())
    for (const { id } of consents) expect(await eventTypes(world, id)).toEqual(['link.failed', 'token.rejected'])
    expect((await world.authorisationsOf(canary.id)).length).toBe(1)
  })

  test('of ten, and none ever worked: on hold; nobody is blamed, trials go through them in turn', async () => {
    await world.db.prisma.consent.updateMany({ data: { tokenAcceptedAt: null } })
    const consents = await dead(12)
    for (const { id } of consents) await renew(world)(id, aRun())
    expect(await isOpen()).toBe(true)
    expect(await world.consentOf(consents[9]?.id ?? '')).toMatchObject({ lastErrorCode: 'provider-circuit-open' })
    const tried: string[] = []
    for (let minute = 1; minute <= 3; minute += 1) {
      world.clock.advance({ seconds: 61 })
      const before = world.simulator.ledger.entries({ what: 'reauthuri' }).length
      for (const { id } of consents) await renew(world)(id, aRun({ manual: true }))
      const made = world.simulator.ledger.entries({ what: 'reauthuri' }).slice(before)
      tried.push(...made.map(({ credentials_id: id }) => String(id)))
    }
    // The two that were not rejected yet go first; after a minute without one of those, any other.
    expect(tried.slice(0, 2)).toEqual(consents.slice(10).map(({ credentialsId }) => credentialsId))
    for (const { id } of consents) expect(await eventTypes(world, id)).not.toContain('token.rejected')
    // One that lives is among those who wait: its trial ends the hold.
    const healthy = await due()
    world.clock.advance({ seconds: 61 })
    await bringUpToDate(world, healthy.id)
    expect(await isOpen()).toBe(false)
    expect(await rungsSent(world, healthy.id)).toEqual(['-14d sent'])
  })

  test('of ten, and the one that worked lately is rejected as well: ours, on hold', async () => {
    const canary = await askedConsent(world)
    await askedConsent(world)
    world.simulator.faults.add({ endpoint: 'reauthuri', kind: 'error-json', status: 401, error: 'unauthorized' })
    const consents = await dead(11)
    for (const { id } of consents) await renew(world)(id, aRun())
    expect(await isOpen()).toBe(true)
    expect(await world.consentOf(canary.id)).toMatchObject({ tokenRejectedAt: undefined, failedAttempts: 0 })
    // Our client is let in again: a trial call with a dead connection finds that out by another canary.
    world.simulator.faults.clear()
    world.clock.advance({ minutes: 2, seconds: 1 })
    await renew(world)(consents[0]?.id ?? '', aRun({ manual: true }))
    expect(await isOpen()).toBe(false)
  })

  test('of ten, and our credentials are refused: ours, and no connection is asked', async () => {
    const canary = await askedConsent(world)
    const before = links(canary)
    const consents = await dead(10)
    world.simulator.switches.set({ invalid_client_until: world.clock.now().plus({ hours: 1 }).toISO() })
    for (const { id } of consents) await renew(world)(id, aRun())
    expect(await isOpen()).toBe(true)
    expect(links(canary)).toBe(before)
  })
})

test('a pending token that another answer has replaced is not overwritten: the new one is the candidate', async () => {
  const { consent, codeId } = await withCode(world)
  world.simulator.switches.set({ access_token: 'opaque', rotate_refresh_tokens: 'always' })
  fault(world, consent, { endpoint: 'me', kind: 'error-json' })
  await advance(world)(codeId, aRun())
  const used = (await world.store.readPendingToken(codeId)) ?? new Secret('')
  const rotated = { used, credentialsId: consent.credentialsId, now: world.clock.now() }
  expect(await world.store.replacePendingToken(codeId, { ...rotated, token: new Secret('first') })).toBe(true)
  expect(await world.store.replacePendingToken(codeId, { ...rotated, token: new Secret('first') })).toBe(true)
  expect(await world.store.replacePendingToken(codeId, { ...rotated, token: new Secret('second') })).toBe(false)
  expect((await world.store.readPendingToken(codeId))?.reveal()).toBe('first')
  expect((await stored(consent))[0]).toBe('second')
})
