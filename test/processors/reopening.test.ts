// Consents that the import's old rule closed and that are reopened: in their old status and cycle, with no message sent
// twice.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { imports } from '../../src/store/import.ts'
import { reopening } from '../../src/store/reopening.ts'
import { administration } from '../../src/store/administration.ts'
import { aRow } from '../import/rows.ts'
import { closeByOldRule } from '../setup/old-rule.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { asked, born, pause, verified } from '../verify/lives.ts'
import { advance, authorisation, bringUpToDate, codeOf, eventTypes, fault, liveUntil, rungsSent } from './rig.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(async () => world.close())

const request = () => ({ now: world.clock.now(), reason: 'two logins', by: 'ada' })
/** Reopens page after page; returns all reopened consents. */
const reopenAll = async (
  filter: Parameters<ReturnType<typeof reopening>['reopenPage']>[0] = {},
  dryRun = false,
  policy = world.policy,
) => {
  const found: Consent[] = []
  let kept = 0
  for (let afterId: string | undefined, more = true; more; more = afterId !== undefined) {
    const page = await reopening(world.db, policy).reopenPage(filter, { ...request(), dryRun, afterId })
    found.push(...page.reopened.map(({ consent }) => consent))
    kept += page.kept
    afterId = page.lastId
  }
  return { ids: found.map(({ id }) => id).toSorted(), consents: found, kept }
}
/** An import brings the same user's other login with a later expiry, and the old rule closes `consent`. */
const closedFor = async (consent: Consent): Promise<Consent> => {
  const newer = await born(world, { userId: consent.userId, providerId: consent.providerId, inDays: 80 })
  await closeByOldRule(world.db, [[consent.id, newer.id]], world.clock.now())
  return newer
}
const isWhole = async (): Promise<void> => {
  await world.drain()
  await world.store.expireAttempts(world.clock.now(), 1000)
  expect(await verified(world)).toEqual([])
}
const statuses = async (id: string): Promise<string[]> =>
  (await world.renewalsOf(id)).map(({ cycle, status }) => `${cycle} ${status}`)

describe('comes back', () => {
  test('a healthy consent: dated for its window, and asked about once when the window opens', async () => {
    const consent = await born(world, { inDays: 60 })
    const newer = await closedFor(consent)
    expect(await reopenAll()).toMatchObject({ ids: [consent.id], kept: 0 })
    const after = await world.consentOf(consent.id)
    expect(after).toMatchObject({ status: 'active', cycle: 1, supersededById: undefined })
    expect(after.nextActionAt?.toISO()).toBe(consent.expiresAt.minus({ days: 14 }).toUTC().toISO())
    expect(await world.consentOf(newer.id)).toMatchObject({ status: 'active' })
    expect((await world.eventsOf(consent.id)).at(-1)).toMatchObject({
      type: 'consent.reopened',
      actor: 'operator',
      reason: 'two logins',
      data: { status: 'active', cycle: 1, by: 'ada' },
    })
    await liveUntil(world, consent.id, consent.expiresAt.minus({ days: 13 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await isWhole()
  })

  test('in the middle of its ladder: sent messages are not sent again, the link in the mail works', async () => {
    const consent = await asked(world)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await closedFor(consent)
    expect(await statuses(consent.id)).toEqual(['1 cancelled'])
    await reopenAll()
    expect(await statuses(consent.id)).toEqual(['1 open'])
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await world.goToBank(consent.id, 'approve')
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
    expect(await statuses(consent.id)).toEqual(['1 renewed'])
    await isWhole()
  })

  test('after weeks: one message, of the rung that is due by then, however many were missed', async () => {
    const consent = await asked(world)
    await closedFor(consent)
    world.clock.advance({ days: 45 })
    await reopenAll()
    await bringUpToDate(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '+30d sent'])
    await isWhole()
  })

  test('with a message that was not sent: it is sent now, or the later one in its place', async () => {
    for (const { days, rungs } of [
      { days: 0, rungs: ['-14d sent'] },
      { days: 8, rungs: ['-14d cancelled', '-3d sent'] },
    ]) {
      const consent = await born(world)
      await world.jobs.consent(consent.id, aRun())
      expect(await rungsSent(world, consent.id)).toEqual(['-14d pending'])
      await closedFor(consent)
      expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled'])
      world.clock.advance({ days })
      await reopenAll({ userId: consent.userId })
      await bringUpToDate(world, consent.id)
      await world.drain()
      expect(await rungsSent(world, consent.id)).toEqual(rungs)
    }
    await isWhole()
  })

  test('past its grace: lapses at the next look without a message; an import with a later date opens it', async () => {
    const consent = await asked(world)
    await closedFor(consent)
    world.clock.advance({ days: 120 })
    await reopenAll()
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'lapsed' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    expect(await statuses(consent.id)).toEqual(['1 lapsed'])
    const { credentialsId, userId, providerId } = consent
    const row = aRow({ credentialsId, userId, providerId, expiresAt: world.clock.now().plus({ days: 80 }) })
    expect(
      await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false }),
    ).toMatchObject([{ kind: 'repaired' }])
    await isWhole()
  })

  test('as paused, quarantined, lapsed or unsupported, as before; resumed, its cycle goes on', async () => {
    const paused = await asked(world)
    await pause(world, paused)
    const lapsed = await asked(world, { inDays: -80 })
    await liveUntil(world, lapsed.id, world.clock.now().plus({ days: 15 }))
    const unsupported = await asked(world, { country: 'FR', providerId: 'fr-bank' })
    const quarantined = await asked(world)
    for (let time = 0; time < 3; time += 1) {
      await world.goToBank(quarantined.id, 'somebody-else')
      await bringUpToDate(world, quarantined.id)
    }
    const all = [paused, lapsed, unsupported, quarantined]
    const before = await Promise.all(all.map(async ({ id }) => world.consentOf(id)))
    expect(before.map(({ status }) => status)).toEqual(['paused', 'lapsed', 'unsupported', 'quarantined'])
    const renewalsBefore = await Promise.all(all.map(async ({ id }) => statuses(id)))
    for (const consent of all) await closedFor(consent)
    expect((await reopenAll()).ids).toEqual(all.map(({ id }) => id).toSorted())
    expect(await Promise.all(all.map(async ({ id }) => world.consentOf(id)))).toEqual(before)
    expect(await Promise.all(all.map(async ({ id }) => statuses(id)))).toEqual(renewalsBefore)
    await administration(world.db, world.policy).resumeConsent(paused.id, request())
    expect(await world.consentOf(paused.id)).toMatchObject({ status: 'active', cycle: 1 })
    await isWhole()
  })

  test('with an exchange in doubt when it was closed: the doubt is settled now, and proves the renewal', async () => {
    const consent = await asked(world)
    const codeId = await codeOf(world, consent.id)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    await advance(world)(codeId, aRun())
    await closedFor(consent)
    await reopenAll()
    world.clock.advance({ minutes: 31 })
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
    await isWhole()
  })

  test('after one of its codes was given up as of a closed cycle: the next approval renews it', async () => {
    const consent = await asked(world)
    const codeId = await codeOf(world, consent.id)
    await closedFor(consent)
    await advance(world)(codeId, aRun())
    expect(await authorisation(world, codeId)).toMatchObject({ status: 'superseded', code: null })
    await reopenAll()
    await bringUpToDate(world, consent.id)
    await world.goToBank(consent.id, 'approve')
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
    await isWhole()
  })

  test('spread over the time of the policy, when many are due', async () => {
    const many = await Promise.all(Array.from({ length: 20 }, async () => born(world)))
    for (const consent of many) await closedFor(consent)
    const policy = { ...world.policy, spread: world.clock.now().plus({ hours: 2 }).diff(world.clock.now()) }
    const { consents } = await reopenAll({}, false, policy)
    const offsets = consents.map(({ nextActionAt }) => nextActionAt?.diff(world.clock.now()).as('minutes') ?? -1)
    expect(Math.min(...offsets)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...offsets)).toBeLessThan(120)
    expect(new Set(offsets).size).toBeGreaterThan(15)
    await isWhole()
  })
})

describe('does not come back', () => {
  test('a consent that a full authentication replaced', async () => {
    const french = await startWorld({ policy: { providers: { FR: { routes: ['full'] } } } })
    try {
      const consent = await asked(french, { country: 'FR', providerId: 'fr-stet-caisse-depargne' })
      await french.goToBank(consent.id, 'approve')
      await bringUpToDate(french, consent.id)
      expect(await french.consentOf(consent.id)).toMatchObject({ status: 'superseded' })
      const page = await reopening(french.db, french.policy).reopenPage(
        {},
        { now: french.clock.now(), reason: 'test', dryRun: false },
      )
      expect(page).toEqual({ reopened: [], kept: 0, lastId: undefined })
    } finally {
      await french.close()
    }
  })

  test('a consent that an import closes by supersedes, or that the rule closed and an import named', async () => {
    const [one, two] = [await born(world), await born(world)]
    const newer = await closedFor(one)
    const word = async (consent: Consent, credentialsId: string) =>
      imports(world.db, world.policy).importBatch(
        [
          aRow({
            credentialsId,
            userId: consent.userId,
            providerId: consent.providerId,
            supersedes: consent.credentialsId,
            expiresAt: world.clock.now().plus({ days: 80 }),
          }),
        ],
        { now: world.clock.now(), correct: false },
      )
    await word(one, newer.credentialsId)
    await word(two, 'another-login')
    expect(await world.consentOf(two.id)).toMatchObject({ status: 'superseded' })
    expect(await reopenAll()).toMatchObject({ ids: [], kept: 1 })
    await isWhole()
  })

  test('a consent that the filter leaves out: user, bank, and the time since which', async () => {
    const [first, second] = [
      await born(world, { userId: 'u1' }),
      await born(world, { userId: 'u2', providerId: 'uk-ob-hsbc' }),
    ]
    await closedFor(first)
    world.clock.advance({ days: 2 })
    await closedFor(second)
    const dry = async (filter: Parameters<typeof reopenAll>[0]) => (await reopenAll(filter, true)).ids
    expect(await dry({ userId: 'u1' })).toEqual([first.id])
    expect(await dry({ providerId: 'uk-ob-hsbc' })).toEqual([second.id])
    expect(await dry({ since: world.clock.now().minus({ days: 1 }) })).toEqual([second.id])
    expect(await dry({ userId: 'u1', providerId: 'uk-ob-hsbc' })).toEqual([])
    expect(await dry({})).toEqual([first.id, second.id].toSorted())
  })
})

test('a dry run changes nothing and reports what the run then does; a second run finds nothing', async () => {
  const consents = [await asked(world), await born(world, { inDays: 60 }), await born(world, { inDays: -100 })]
  for (const consent of consents) await closedFor(consent)
  const all = async () =>
    Promise.all(
      ['consents', 'renewals', 'notifications', 'events'].map(async (table) =>
        world.db.prisma.$queryRawUnsafe(`SELECT * FROM ${table} ORDER BY 1, 2`),
      ),
    )
  const before = await all()
  const dry = await reopenAll({}, true)
  expect(await all()).toEqual(before)
  const done = await reopenAll()
  // Dates are not compared, because the world's clock runs on in between.
  const said = (found: typeof dry) =>
    found.consents.map(({ id, status, cycle, nextActionReason }) => ({ id, status, cycle, nextActionReason }))
  expect(said(done)).toEqual(said(dry))
  expect(await reopenAll()).toMatchObject({ ids: [] })
  for (const consent of consents)
    expect(
      await eventTypes(world, consent.id).then((types) => types.filter((type) => type === 'consent.reopened')),
    ).toHaveLength(1)
  await isWhole()
})

test('two runs at once reopen each consent once', async () => {
  const consents = await Promise.all(Array.from({ length: 30 }, async () => born(world)))
  for (const consent of consents) await closedFor(consent)
  const runs = await Promise.all([reopenAll(), reopenAll(), reopenAll()])
  expect(runs.flatMap(({ ids }) => ids).toSorted()).toEqual(consents.map(({ id }) => id).toSorted())
  await isWhole()
})

test('an import that says at the same moment that they were replaced decides, in either order', async () => {
  const pairs = await Promise.all(Array.from({ length: 30 }, async () => born(world)))
  const rows = await Promise.all(
    pairs.map(async (consent) => {
      const { credentialsId, userId, providerId, expiresAt } = await closedFor(consent)
      return aRow({ credentialsId, userId, providerId, expiresAt, supersedes: consent.credentialsId })
    }),
  )
  const words = async (): Promise<unknown> =>
    Promise.all(
      rows.map(async (row) =>
        imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false }),
      ),
    )
  await Promise.all([reopenAll(), words(), reopenAll()])
  for (const { id } of pairs)
    expect(await world.consentOf(id)).toMatchObject({ status: 'superseded', nextActionAt: undefined })
  await isWhole()
})
