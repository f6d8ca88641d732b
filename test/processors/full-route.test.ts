// Renewal by full authentication: a new connection replaces the old one, and everything that can go wrong on the way.
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { sealToken } from '../../src/store/refresh-token.ts'
import { aConsent } from '../builders.ts'
import { type Consent, detailFields } from '../../src/domain/model.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  askedConsent,
  authorisation,
  bringUpToDate,
  codeOf,
  daysLeft,
  eventTypes,
  fault,
  restoreProvider,
  rungsSent,
  sleepingAfter,
} from './rig.ts'
import { planting } from '../setup/plant.ts'

let world: World
beforeAll(async () => {
  world = await startWorld({ policy: { providers: { FR: { routes: ['full'] } } } })
})
afterAll(async () => world.close())
afterEach(async () => restoreProvider(world))

const FRENCH = { country: 'FR', providerId: 'fr-stet-caisse-depargne', providerName: "Caisse d'Epargne" }
const asked = async () => askedConsent(world, FRENCH)
const exchangeFault = (order: Parameters<World['simulator']['faults']['add']>[0]): void =>
  void world.simulator.faults.add({ count: 1, ...order })

/** The consent that replaced the consent with this id. */
const successorOf = async (id: string) => {
  const { status, supersededById } = await world.consentOf(id)
  expect(status).toBe('superseded')
  return world.consentOf(supersededById ?? 'none')
}

describe('approved', () => {
  test('the old consent is superseded by the new one, and the events of both say so', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    const fresh = await successorOf(consent.id)
    expect(fresh).toMatchObject({
      status: 'active',
      cycle: 1,
      expiresSource: 'me',
    })
    // The bank's name comes from the provider.
    for (const field of detailFields.filter((name) => name !== 'providerName'))
      expect([field, fresh[field]]).toEqual([field, consent[field]])
    expect(fresh.credentialsId).not.toBe(consent.credentialsId)
    expect(await daysLeft(world, fresh.id)).toBe(90)
    expect(await world.tokenOf(fresh.id)).toBe(world.simulator.connection(fresh.credentialsId)?.refreshToken)
    expect((await eventTypes(world, consent.id)).slice(-3)).toEqual([
      'authorisation.answered',
      'consent.renewed',
      'consent.superseded',
    ])
    expect((await world.eventsOf(consent.id)).at(-1)?.data).toEqual({ by: fresh.credentialsId })
    expect((await world.eventsOf(fresh.id)).map(({ type, data }) => [type, data['supersedes']])).toEqual([
      ['consent.imported', consent.credentialsId],
    ])
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'renewed',
      pendingRefreshToken: null,
      accessToken: null,
    })
    expect((await world.renewalsOf(consent.id)).map(({ status, route }) => [status, route])).toEqual([
      ['renewed', 'full'],
    ])
    await bringUpToDate(world, fresh.id)
    expect((await world.consentOf(fresh.id)).nextActionReason).toContain('healthy')
  })

  test('the start page of the old one says that it is renewed, and leads no user to the bank', async () => {
    const consent = await asked()
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect((await world.look(consent.id)).kind).toBe('already-renewed')
    expect((await world.leaveForBank(consent.id)).kind).toBe('not-now')
  })

  test('for the same connection: an ordinary renewal of it', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    // As when the bank recognises its user: the connection is the one we know, with another token.
    world.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })
    const exchange = approvesOurs(consent.credentialsId)
    await advance(world, { provider: exchange })(codeId, aRun())
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2, tokenVersion: 2 })
    expect(await world.tokenOf(consent.id)).toBe('token-of-the-same-connection')
  })

  test('for the same connection, which only /me names, and after an hour: its new token is adopted', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    await planting(world.db).authorisation.update({
      where: { id: codeId },
      data: {
        status: 'in_doubt',
        code: null,
        tokenOwner: 'pending',
        tokenVersion: 1,
        exchangeStartedAt: world.clock.now().toJSDate(),
        answeredAt: world.clock.now().toJSDate(),
        pendingRefreshToken: sealedBeside(
          codeId,
          world.simulator.connection(consent.credentialsId)?.refreshToken ?? '',
        ),
      },
    })
    await world.db.prisma.consent.update({
      where: { id: consent.id },
      data: { refreshToken: sealedToken(consent.id, 'an older one') },
    })
    world.simulator.switches.set({ me_dates: 'none' })
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect(await world.tokenOf(consent.id)).toBe(world.simulator.connection(consent.credentialsId)?.refreshToken)
  })

  test('the company imported the new connection meanwhile: its row is joined, not duplicated', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    fault(world, consent, { endpoint: 'me', kind: 'error-json' })
    exchangeFault({ endpoint: 'me', kind: 'error-json' })
    await advance(world)(codeId, aRun())
    const { newCredentialsId } = await authorisation(world, codeId)
    const imported = await importRow(consent, newCredentialsId ?? '')
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)
    const fresh = await successorOf(consent.id)
    expect(fresh).toMatchObject({ id: imported, tokenVersion: 2, expiresSource: 'me', status: 'active' })
    expect(await world.tokenOf(fresh.id)).toBe(world.simulator.connection(fresh.credentialsId)?.refreshToken)
    expect(await eventTypes(world, imported)).toEqual(['token.replaced', 'consent.repaired'])
  })

  test('the new connection was closed for good meanwhile: it stays closed', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    exchangeFault({ endpoint: 'me', kind: 'error-json' })
    await advance(world)(codeId, aRun())
    const { newCredentialsId } = await authorisation(world, codeId)
    const imported = await importRow(consent, newCredentialsId ?? '')
    await planting(world.db).consent.update({
      where: { id: imported },
      data: { status: 'opted_out', nextActionAt: null },
    })
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(imported)).toMatchObject({
      status: 'opted_out',
      tokenVersion: 1,
      nextActionAt: undefined,
    })
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'superseded', supersededById: imported })
  })
})

describe('not approved as it should be', () => {
  test('at a different bank: mismatched, nothing of ours changes, the new tokens are dropped', async () => {
    world.simulator.switches.set({ somebody_else: 'other-provider' })
    const consent = await asked()
    const codeId = await codeOf(world, consent.id, 'somebody-else')
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'mismatched', pendingRefreshToken: null })
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', mismatches: 1 })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
  })

  test('the outcome is unknown: nothing can settle it, so the user is asked again at once', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    exchangeFault({ endpoint: 'exchange', kind: 'reset-after' })
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused', errorCode: 'exchange-in-doubt' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect((await successorOf(consent.id)).status).toBe('active')
  })

  test('tokens stored and /me unavailable for hours: settled with the new connection’s own token', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    const { id: faultId } = world.simulator.faults.add({ endpoint: 'me', kind: 'error-html' })
    for (const step of [{ seconds: 1 }, { hours: 1, seconds: 1 }]) {
      world.clock.advance(step)
      await bringUpToDate(world, consent.id)
    }
    expect((await authorisation(world, codeId)).status).toBe('in_doubt')
    world.simulator.faults.remove(faultId)
    world.clock.advance({ hours: 6 })
    await bringUpToDate(world, consent.id)
    expect((await successorOf(consent.id)).status).toBe('active')
  })

  test('without a refresh token the new connection could never be renewed: this is no success', async () => {
    const consent = await asked()
    world.simulator.switches.set({ return_refresh_token: false })
    const codeId = await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'refused' })
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 1 })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
  })
})

describe('/me does not name the bank of the new connection', () => {
  const readMe: World['provider']['readMe'] = async (token) => {
    const answer = await world.provider.readMe(token)
    return answer.kind === 'me' ? { ...answer, me: { ...answer.me, providerId: undefined } } : answer
  }
  const nameless = (): World['provider'] => ({ ...world.provider, readMe })
  /** Runs the attempt's job at each of its dates until the attempt ends or `hours` are over. */
  const liveOn = async (codeId: string, hours: number): Promise<void> => {
    const until = world.clock.now().plus({ hours })
    for (let time = 0; time < 20; time += 1) {
      await advance(world, { provider: nameless() })(codeId, aRun())
      const { nextActionAt } = await authorisation(world, codeId)
      const next = nextActionAt === null ? undefined : DateTime.fromJSDate(nextActionAt, { zone: 'utc' })
      if (next === undefined || next > until) return
      world.clock.set(next)
    }
    throw new Error('no end of dates')
  }

  test('for a day: never taken for a renewal, then the user is asked again', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    await liveOn(codeId, 25)
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'refused',
      errorCode: 'not-proven',
      pendingRefreshToken: null,
    })
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 1, supersededById: undefined })
    await bringUpToDate(world, consent.id)
    expect((await rungsSent(world, consent.id)).at(-1)).toBe('again-1 sent')
  })

  test('on the first day, and the process slept two days after an answer: this does not end the day', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    await liveOn(codeId, 2)
    world.clock.advance({ hours: 6 })
    await advance(world, { provider: sleepingAfter(world, 'readMe', { days: 2 }, nameless()) })(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'awaiting_date', errorCode: 'not-proven' })
    await bringUpToDate(world, consent.id)
    expect((await successorOf(consent.id)).status).toBe('active')
  })

  test('for two hours: then it does, and the renewal counts', async () => {
    const consent = await asked()
    const codeId = await codeOf(world, consent.id)
    await liveOn(codeId, 2)
    expect((await authorisation(world, codeId)).status).toBe('awaiting_date')
    world.clock.advance({ hours: 6 })
    await bringUpToDate(world, consent.id)
    expect((await successorOf(consent.id)).status).toBe('active')
  })
})

const approvesOurs = (credentialsId: string): World['provider'] => ({
  ...world.provider,
  exchangeCode: async () => ({
    kind: 'tokens',
    tokens: {
      accessToken: secret('access'),
      refreshToken: secret('token-of-the-same-connection'),
      credentialsId,
      expiresInSeconds: 3600,
    },
  }),
  readMe: async () => ({
    kind: 'me',
    me: {
      credentialsId,
      providerId: undefined,
      providerName: undefined,
      consentExpiresAt: world.clock.now().plus({ days: 90 }),
      consentCreatedAt: undefined,
      consentStatusUpdatedAt: world.clock.now(),
    },
  }),
})

const secret = (value: string): Secret => new Secret(value)
const sealedBeside = (id: string, token: string): string =>
  world.vault.seal(secret(token), { table: 'authorisations', column: 'new_refresh_token', rowId: id, version: 1 })
const sealedToken = (id: string, token: string): string => sealToken(world.vault, id, 1, secret(token))

/** The row that an import creates for a connection that the provider knows already. */
const importRow = async (old: Consent, credentialsId: string): Promise<string> => {
  const { id, userId, providerId, country, redirectUri } = aConsent({
    ...old,
    id: crypto.randomUUID(),
    credentialsId,
    expiresAt: world.clock.now().plus({ days: 89 }),
  })
  const now = world.clock.now().toJSDate()
  await world.db.prisma.consent.create({
    data: {
      id,
      credentialsId,
      userId,
      providerId,
      country,
      redirectUri,
      expiresAt: world.clock.now().plus({ days: 89 }).toJSDate(),
      expiresSource: 'imported',
      refreshToken: sealedToken(id, 'as imported'),
      nextActionAt: now,
      createdAt: now,
      updatedAt: now,
    },
  })
  return id
}
