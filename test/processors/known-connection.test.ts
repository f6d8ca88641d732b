// A full authentication whose new connection is on record already, because an import came in between: the attempt joins
// it if it belongs to this user at this bank, and leaves it alone otherwise. The events must agree every time.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { imports } from '../../src/store/import.ts'
import { aRow } from '../import/rows.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { asked, verified } from '../verify/lives.ts'
import { advance, authorisation, bringUpToDate, codeOf, eventTypes, liveUntil, rungsSent } from './rig.ts'

let world: World
beforeEach(async () => {
  world = await startWorld({ policy: { providers: { FR: { routes: ['full'] } } } })
})
afterEach(async () => world.close())

const FRENCH = { country: 'FR', providerId: 'fr-stet-caisse-depargne', providerName: "Caisse d'Epargne" }

/** The user approved, the tokens are stored, and `/me` was unavailable just then. */
const approved = async (consent: Consent) => {
  const codeId = await codeOf(world, consent.id)
  world.simulator.faults.add({ endpoint: 'me', kind: 'error-json', count: 1 })
  await advance(world)(codeId, aRun())
  const { newCredentialsId, status } = await authorisation(world, codeId)
  expect(status).toBe('verifying')
  return { codeId, credentialsId: newCredentialsId ?? '' }
}

/** The company imports the new connection; returns our id of it. */
const imported = async (
  consent: Consent,
  credentialsId: string,
  over: Parameters<typeof aRow>[0] = {},
): Promise<string> => {
  const { userId, providerId, providerName, country, redirectUri } = consent
  const row = aRow({
    credentialsId,
    userId,
    providerId,
    providerName,
    country,
    redirectUri,
    refreshToken: `imported-${credentialsId}`,
    ...over,
  })
  const [result] = await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false })
  expect(result?.kind).toBe('created')
  return (await world.store.findConsent(credentialsId))?.id ?? ''
}

/** The company imports that our consent replaced that connection. */
const sayItSupersedes = async (consent: Consent, credentialsId: string): Promise<void> => {
  const { scopes, email, name, locale, timeZone, expiresAt } = await world.consentOf(consent.id)
  const { userId, providerId, providerName, country, redirectUri } = consent
  const row = aRow({
    credentialsId: consent.credentialsId,
    userId,
    providerId,
    providerName,
    country,
    redirectUri,
    scopes,
    email,
    name,
    locale,
    timeZone,
    expiresAt,
    refreshToken: await world.tokenOf(consent.id),
    supersedes: credentialsId,
  })
  const results = await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false })
  expect(results).toEqual([{ kind: 'updated', detail: undefined, superseded: 1 }])
}

const inDays = (days: number) => world.clock.now().plus({ days })
const statuses = async (id: string): Promise<string[]> =>
  (await world.renewalsOf(id)).map(({ cycle, status }) => `${cycle} ${status}`)
const isWhole = async (): Promise<void> => {
  await world.drain()
  await world.store.expireAttempts(world.clock.now(), 1000)
  expect(await verified(world)).toEqual([])
}

describe('of the same user at the same bank: joined, and its next cycle begins', () => {
  test('with a cycle open, a message on its way, a failure and a lease: all of them are ended', async () => {
    const consent = await asked(world, FRENCH)
    const { credentialsId } = await approved(consent)
    const known = await imported(consent, credentialsId, { expiresAt: inDays(5) })
    await world.jobs.consent(known, aRun())
    expect(await rungsSent(world, known)).toEqual(['-7d pending'])
    const later = inDays(1).toJSDate()
    await world.db.prisma.consent.update({
      where: { id: known },
      data: {
        failedAttempts: 3,
        lastErrorCode: 'link-rejected',
        retryAfter: later,
        queuedUntil: later,
        leaseUntil: later,
        nextActionAt: later,
        mismatches: 2,
      },
    })
    const { fencingToken } = await world.db.prisma.consent.findUniqueOrThrow({ where: { id: known } })
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)

    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'superseded', supersededById: known })
    expect(await world.db.prisma.consent.findUniqueOrThrow({ where: { id: known } })).toMatchObject({
      status: 'active',
      cycle: 2,
      tokenVersion: 2,
      failedAttempts: 0,
      lastErrorCode: null,
      retryAfter: null,
      queuedUntil: null,
      leaseUntil: null,
      mismatches: 0,
      fencingToken: fencingToken + 1,
    })
    expect(await statuses(known)).toEqual(['1 repaired'])
    expect(await rungsSent(world, known)).toEqual(['-7d cancelled'])
    expect((await world.eventsOf(known)).at(-1)).toMatchObject({
      type: 'consent.repaired',
      actor: 'user',
      data: { cycle: 1, status: 'active', supersedes: consent.credentialsId },
    })
    const { expiresAt } = await world.consentOf(known)
    expect(Math.round(expiresAt.diff(world.clock.now()).as('days'))).toBe(90)
    expect(await world.tokenOf(known)).toBe(world.simulator.connection(credentialsId)?.refreshToken)

    await liveUntil(world, known, expiresAt.minus({ days: 6 }))
    expect(await rungsSent(world, known)).toEqual(['-7d cancelled', '-14d sent', '-7d sent'])
    expect(await statuses(known)).toEqual(['1 repaired', '2 open'])
    await isWhole()
  })

  test('lapsed in its cycle: the next window opens as usual', async () => {
    const consent = await asked(world, FRENCH)
    const { credentialsId } = await approved(consent)
    const known = await imported(consent, credentialsId, { expiresAt: inDays(-90).plus({ minutes: 20 }) })
    await bringUpToDate(world, known)
    world.clock.advance({ minutes: 21 })
    await bringUpToDate(world, known)
    expect(await world.consentOf(known)).toMatchObject({ status: 'lapsed', cycle: 1 })
    expect(await statuses(known)).toEqual(['1 lapsed'])
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(known)).toMatchObject({ status: 'active', cycle: 2 })
    await liveUntil(world, known, (await world.consentOf(known)).expiresAt.minus({ days: 13 }))
    expect(await statuses(known)).toEqual(['1 lapsed', '2 open'])
    expect((await rungsSent(world, known)).at(-1)).toBe('-14d sent')
    await isWhole()
  })
})

describe('not to be joined: its row stays unchanged, the user is asked again, and the next approval counts', () => {
  const table: Record<string, { over: Parameters<typeof aRow>[0]; superseded?: boolean; says: string }> = {
    'of another user': { over: { userId: 'somebody else' }, says: 'on record for another user' },
    'at another bank': { over: { providerId: 'fr-another-bank' }, says: 'on record at another bank' },
    'superseded by this very consent': { over: {}, superseded: true, says: 'on record as superseded by this one' },
  }
  test.each(Object.entries(table))('%s', async (_, { over, superseded = false, says }) => {
    const consent = await asked(world, FRENCH)
    const { codeId, credentialsId } = await approved(consent)
    const known = await imported(consent, credentialsId, { expiresAt: inDays(5), ...over })
    if (superseded) await sayItSupersedes(consent, credentialsId)
    const before = await world.db.prisma.consent.findUniqueOrThrow({ where: { id: known } })
    world.clock.advance({ seconds: 11 })
    await bringUpToDate(world, consent.id)

    expect(await world.db.prisma.consent.findUniqueOrThrow({ where: { id: known } })).toEqual(before)
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'mismatched',
      errorCode: 'other-connection',
      pendingRefreshToken: null,
      accessToken: null,
    })
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 1, mismatches: 1 })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
    const told = (await world.eventsOf(consent.id)).find(({ type }) => type === 'authorisation.mismatched')
    expect(told).toMatchObject({
      reason: expect.stringContaining(says),
      data: { authorisation_id: codeId, known_as: known },
    })

    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    const { status, supersededById } = await world.consentOf(consent.id)
    expect(status).toBe('superseded')
    expect(await world.consentOf(supersededById ?? '')).toMatchObject({
      status: 'active',
      userId: consent.userId,
      providerId: consent.providerId,
    })
    expect(await eventTypes(world, supersededById ?? '')).toEqual(['consent.imported'])
    await isWhole()
  })
})
