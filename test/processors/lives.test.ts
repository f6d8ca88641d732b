// A consent's whole life cycle by moving the clock: what the user received, what the provider saw, how it ended.
import type { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { administration } from '../../src/store/administration.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  askedConsent,
  authorisation,
  bringUpToDate,
  codeOf,
  daysLeft,
  eventTypes,
  LEASE,
  liveUntil,
  rungsSent,
  seen,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(() => {
  world.simulator.switches.reset()
  world.simulator.faults.clear()
})

const given = async (daysAgo = 0) => world.addConsent({ expiresAt: world.clock.now().plus({ days: 90 - daysAgo }) })
const LADDER = ['-14d', '-7d', '-3d', '-1d', '0d', '+7d', '+30d', '+60d', '+83d']
const sent = (rungs: readonly string[]): string[] => rungs.map((rung) => `${rung} sent`)
const mailDays = (consent: { email: string | undefined; expiresAt: DateTime }): number[] =>
  world.simulator
    .mails({ to: consent.email ?? '' })
    .map(({ at }) => Math.round((Date.parse(at) - consent.expiresAt.toMillis()) / 86_400_000))
    .toReversed()

describe('a user who', () => {
  test('ignores everything for 181 days gets the ladder’s nine messages, one a rung, then it lapses', async () => {
    const consent = await given()
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 91 }))
    expect(await rungsSent(world, consent.id)).toEqual(sent(LADDER))
    expect(mailDays(consent)).toEqual([-14, -7, -3, -1, 0, 7, 30, 60, 83])
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'lapsed', nextActionAt: undefined })
    expect((await world.renewalsOf(consent.id)).map(({ status }) => status)).toEqual(['lapsed'])
    expect((await eventTypes(world, consent.id)).at(-1)).toBe('consent.lapsed')
    // The events have no gap.
    expect((await world.eventsOf(consent.id)).map(({ seq }) => seq)).toEqual(
      (await world.eventsOf(consent.id)).map((_, index) => index + 1),
    )
    // The job makes a link when the cycle opens, at the expiry, and every week.
    const links = seen(world, consent, 'reauthuri').length
    expect(links).toBeGreaterThanOrEqual(14)
    expect(links).toBeLessThanOrEqual(20)
  })

  test('renews late in grace, on the 89th day', async () => {
    const consent = await given(80)
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 89 }))
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ status: 'active', cycle: 2 })
    expect(await daysLeft(world, consent.id)).toBe(90)
    expect(await rungsSent(world, consent.id)).toEqual(sent(LADDER))
  })

  test('renews in each of three cycles gets one message each; three proofs, one token', async () => {
    const consent = await given()
    const token = await world.tokenOf(consent.id)
    for (let cycle = 1; cycle <= 3; cycle += 1) {
      const { expiresAt } = await world.consentOf(consent.id)
      await liveUntil(world, consent.id, expiresAt.minus({ days: 13 }))
      await codeOf(world, consent.id)
      await bringUpToDate(world, consent.id)
      expect((await world.consentOf(consent.id)).cycle).toBe(cycle + 1)
    }
    expect((await world.notificationsOf(consent.id)).map(({ cycle, rung, status }) => [cycle, rung, status])).toEqual([
      [1, '-14d', 'sent'],
      [2, '-14d', 'sent'],
      [3, '-14d', 'sent'],
    ])
    expect((await world.renewalsOf(consent.id)).map(({ status }) => status)).toEqual(['renewed', 'renewed', 'renewed'])
    expect(await world.tokenOf(consent.id)).toBe(token)
    expect(seen(world, consent, 'exchange')).toEqual(['ok', 'ok', 'ok'])
    expect(seen(world, consent, 'refresh')).toEqual([])
  })

  test('denies, then approves gets no message in between', async () => {
    const consent = await askedConsent(world)
    await world.goToBank(consent.id, 'deny')
    await bringUpToDate(world, consent.id)
    expect((await world.look(consent.id)).kind).toBe('ready')
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status).toSorted()).toEqual([
      'refused',
      'renewed',
    ])
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('closes the tab is reminded by the next rung, not at once', async () => {
    const consent = await askedConsent(world)
    const { expiresAt } = consent
    expect((await world.simulator.play({ link: await world.leave(consent.id), as: 'close' })).kind).toBe('closed')
    await liveUntil(world, consent.id, expiresAt.minus({ days: 8 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await liveUntil(world, consent.id, expiresAt.minus({ days: 7 }).plus({ minutes: 1 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '-7d sent'])
  })

  test('left for the bank a minute before a rung gets its message half an hour later, if at all', async () => {
    const consent = await askedConsent(world)
    const rung = consent.expiresAt.minus({ days: 7 })
    await liveUntil(world, consent.id, rung.minus({ minutes: 1 }))
    await world.leave(consent.id)
    await liveUntil(world, consent.id, rung.plus({ minutes: 28 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    await liveUntil(world, consent.id, rung.plus({ minutes: 31 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '-7d sent'])
  })

  test('clicks twice gets two different links and one renewal', async () => {
    const consent = await askedConsent(world)
    const [one, two] = await Promise.all([world.leave(consent.id), world.leave(consent.id)])
    expect(one).not.toBe(two)
    for (const link of [one, two])
      await world.receive(world.toCallback(await world.simulator.play({ link, as: 'approve' })))
    world.clock.advance({ seconds: 3 })
    await bringUpToDate(world, consent.id)
    expect((await world.authorisationsOf(consent.id)).map(({ status }) => status).toSorted()).toEqual([
      'renewed',
      'superseded',
    ])
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('approves from an old mail succeeds: every message has the same start link', async () => {
    const consent = await askedConsent(world)
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 40 }))
    const links = world.mailsTo(consent).map((mail) => mail.links.filter((link) => link.includes('/r/')))
    expect(links.length).toBeGreaterThan(5)
    expect(new Set(links.flat()).size).toBe(1)
    expect(links.flat()[0]).toContain(await world.startToken(consent.id))
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
    expect((await world.look(consent.id)).kind).toBe('already-renewed')
  })
})

describe('things that happen to a consent', () => {
  test('a mail scanner opens the start page a hundred times: nothing changes', async () => {
    const consent = await askedConsent(world)
    const before = [
      await world.authorisationsOf(consent.id),
      await world.consentOf(consent.id),
      await world.eventsOf(consent.id),
    ]
    const looks = await Promise.all(Array.from({ length: 100 }, async () => world.look(consent.id)))
    expect(new Set(looks.map(({ kind }) => kind))).toEqual(new Set(['ready']))
    expect([
      await world.authorisationsOf(consent.id),
      await world.consentOf(consent.id),
      await world.eventsOf(consent.id),
    ]).toEqual(before)
  })

  test('paused while a message waits, resumed, and once more: it is sent when the consent is active', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 13 }) })
    const operator = administration(world.db, world.policy)
    await world.jobs.consent(consent.id, aRun())
    for (let time = 0; time < 2; time += 1) {
      await operator.pauseConsent(consent.id, { now: world.clock.now(), reason: 'asked to' })
      await bringUpToDate(world, consent.id)
      expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled'])
      world.clock.advance({ minutes: 5 })
      await operator.resumeConsent(consent.id, { now: world.clock.now(), reason: 'asked to' })
    }
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('paused until a later rung is due: that one is sent, not both', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 13 }) })
    const operator = administration(world.db, world.policy)
    await world.jobs.consent(consent.id, aRun())
    await operator.pauseConsent(consent.id, { now: world.clock.now(), reason: 'asked to' })
    world.clock.set(consent.expiresAt.minus({ days: 2 }))
    await operator.resumeConsent(consent.id, { now: world.clock.now(), reason: 'asked to' })
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled', '-3d sent'])
  })

  test('paused while the mail server defers a message: it is sent when the consent is active again', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 13 }) })
    const operator = administration(world.db, world.policy)
    await world.jobs.consent(consent.id, aRun())
    const [message] = await world.notificationsOf(consent.id)
    const begun = await world.store.claim('notification', message?.id ?? '', LEASE)
    if (begun.kind !== 'claimed') throw new Error(begun.kind)
    expect(await world.store.beginSending(begun.claim, world.clock.now(), 1_000)).toEqual({ kind: 'reserved' })
    await operator.pauseConsent(consent.id, { now: world.clock.now(), reason: 'asked to' })
    await world.store.reschedule(begun.claim, world.clock.now(), {
      now: world.clock.now(),
      tried: false,
      code: 'message-unavailable',
    })
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled'])
    await operator.resumeConsent(consent.id, { now: world.clock.now(), reason: 'asked to' })
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
  })

  test('seven days of downtime: then one message, the latest, and the ladder goes on', async () => {
    const consent = await askedConsent(world, { inDays: 13 })
    world.clock.set(consent.expiresAt.minus({ days: 2 }))
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '-3d sent'])
    await liveUntil(world, consent.id, consent.expiresAt.minus({ hours: 12 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '-3d sent', '-1d sent'])
  })

  test('seven days of downtime with a message queued before: that message is not sent as well', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 13 }) })
    await world.jobs.consent(consent.id, { manual: false, isLastTry: true, signal: new AbortController().signal })
    world.clock.set(consent.expiresAt.minus({ days: 2 }))
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled', '-3d sent'])
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('downtime over the end of grace with a message queued before: nothing is sent, it lapses', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().minus({ days: 84 }) })
    await world.jobs.consent(consent.id, { manual: false, isLastTry: true, signal: new AbortController().signal })
    world.clock.set(consent.expiresAt.plus({ days: 91 }))
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['+83d cancelled'])
    expect(world.mailsTo(consent)).toHaveLength(0)
    expect((await world.consentOf(consent.id)).status).toBe('lapsed')
  })

  test('imported in the middle of grace: the latest passed rung once, then the rest', async () => {
    const consent = await askedConsent(world, { inDays: -45 })
    expect(await rungsSent(world, consent.id)).toEqual(['+30d sent'])
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 91 }))
    expect(await rungsSent(world, consent.id)).toEqual(sent(['+30d', '+60d', '+83d']))
  })

  test('its user has no address: the reason is recorded, nothing sent, lapses in the end', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), email: undefined })
    await bringUpToDate(world, consent.id)
    expect((await world.consentOf(consent.id)).nextActionReason).toContain('no-channel')
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 91 }))
    expect([(await world.consentOf(consent.id)).status, await rungsSent(world, consent.id)]).toEqual(['lapsed', []])
  })

  test('another user approves, then the owner: told once, renewed once', async () => {
    const consent = await askedConsent(world)
    const codeId = await codeOf(world, consent.id, 'somebody-else')
    await bringUpToDate(world, consent.id)
    expect((await authorisation(world, codeId)).status).toBe('mismatched')
    await codeOf(world, consent.id)
    await bringUpToDate(world, consent.id)
    expect(await world.consentOf(consent.id)).toMatchObject({ cycle: 2, mismatches: 0 })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', 'again-1 sent'])
  })
})
