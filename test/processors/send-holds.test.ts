// When a message waits and when it is not sent at all: quiet hours, the cap, a user at the bank, a code in flight,
// newer messages.
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { StaleClaim } from '../../src/errors.ts'
import { meteredLog } from '../../src/meter.ts'
import { smtpChannel } from '../../src/notify/email/smtp-channel.ts'
import type { Handover } from '../../src/notify/port.ts'
import { Secret } from '../../src/secret.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  askedConsent,
  bringUpToDate,
  codeOf,
  fault,
  LEASE,
  liveUntil,
  renew,
  rungsSent,
  send,
  silent,
  withStore,
} from './rig.ts'
import { planting } from '../setup/plant.ts'

/** A Monday, ten in the morning in London. */
const MONDAY = DateTime.fromISO('2026-11-23T10:00:00Z', { zone: 'utc' })
let world: World
beforeAll(async () => {
  world = await startWorld({
    startAt: MONDAY,
    policy: { quietHours: { from: '20:00', to: '08:00' }, limits: { messagesPerHour: 5 } },
  })
})
afterAll(async () => world.close())
afterEach(async () => {
  world.simulator.faults.clear()
  world.clock.set(world.clock.now().startOf('day').plus({ days: 1, hours: 10 }))
})

const today = (time: string): DateTime => DateTime.fromISO(`${world.clock.now().toISODate()}T${time}Z`, { zone: 'utc' })
const addDue = async (over: Parameters<World['addConsent']>[0] | object = {}) =>
  world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), ...over })
const queued = async () => {
  const consent = await addDue()
  await renew(world)(consent.id, aRun())
  return { consent, id: (await world.notificationsOf(consent.id))[0]?.id ?? '' }
}
const waitsUntil = async (id: string): Promise<string | undefined> =>
  (await world.db.prisma.notification.findUniqueOrThrow({ where: { id } })).nextActionAt?.toISOString().slice(11, 16)
const mails = (consent: { email: string | undefined }): number =>
  world.simulator.mails({ to: consent.email ?? '' }).length

describe('quiet hours', () => {
  test('imported in the evening: the message waits for the morning, also when an operator retries it', async () => {
    world.clock.set(today('21:00'))
    const { consent, id } = await queued()
    expect(await send(world)(id, aRun())).toMatchObject({ kind: 'snooze', reason: 'quiet hours of the user' })
    expect(await waitsUntil(id)).toBe('08:00')
    expect((await send(world)(id, aRun({ manual: true }))).kind).toBe('snooze')
    await liveUntil(world, consent.id, today('07:59').plus({ days: 1 }))
    expect(mails(consent)).toBe(0)
    await liveUntil(world, consent.id, today('08:01'))
    expect(mails(consent)).toBe(1)
  })

  test('in the user’s own zone', async () => {
    const consent = await addDue({ timeZone: 'America/New_York' })
    await bringUpToDate(world, consent.id)
    const [row] = await world.notificationsOf(consent.id)
    // Ten in London is five in New York; eight in New York is one in the afternoon in London.
    expect([row?.status, row?.nextActionAt?.toISOString().slice(11, 16)]).toEqual(['pending', '13:00'])
  })

  test('made just before they begin, it is still sent; made within them it waits, from the first minute', async () => {
    world.clock.set(today('19:59'))
    const before = await queued()
    world.clock.set(today('20:01'))
    const within = await queued()
    expect((await send(world)(before.id, aRun())).kind).toBe('done')
    expect((await send(world)(within.id, aRun())).kind).toBe('snooze')
    expect([mails(before.consent), mails(within.consent)]).toEqual([1, 0])
  })

  test('held back for hours before they begin, it waits for the morning', async () => {
    const { consent, id } = await queued()
    world.clock.set(today('20:10'))
    expect((await send(world)(id, aRun())).kind).toBe('snooze')
    expect([await waitsUntil(id), mails(consent)]).toEqual(['08:00', 0])
  })
})

describe('the cap on messages per hour', () => {
  test('holds the sixth back to the next hour, and sends it then', async () => {
    const all = await Promise.all(Array.from({ length: 7 }, async () => queued()))
    world.clock.set(today('11:20'))
    const said = []
    for (const { id } of all) said.push(await send(world)(id, aRun()))
    expect(said.map(({ kind }) => kind)).toEqual([...Array.from({ length: 5 }, () => 'done'), 'snooze', 'snooze'])
    expect(said[5]).toMatchObject({ reason: expect.stringContaining('cap of 5 messages per hour') })
    expect(await waitsUntil(all[5]?.id ?? '')).toBe('12:00')
    // An operator's retry does not send it either.
    expect((await send(world)(all[5]?.id ?? '', aRun({ manual: true }))).kind).toBe('snooze')
    world.clock.set(today('12:00'))
    for (const { consent } of all.slice(5)) await bringUpToDate(world, consent.id)
    expect(all.map(({ consent }) => mails(consent))).toEqual([1, 1, 1, 1, 1, 1, 1])
  })

  test('many senders at once share one count', async () => {
    world.clock.set(today('14:05'))
    const all = await Promise.all(Array.from({ length: 12 }, async () => queued()))
    const said = await Promise.all(all.map(async ({ id }) => send(world)(id, aRun())))
    expect(said.filter(({ kind }) => kind === 'done')).toHaveLength(5)
  })
})

describe('the cap and messages that were certainly not delivered', () => {
  const usedIn = async (time: string): Promise<number> =>
    (await world.db.prisma.messageHour.findUnique({ where: { hour: today(time).toJSDate() } }))?.used ?? 0
  const unreachable = () =>
    smtpChannel({
      smtpUrl: new Secret('smtp://127.0.0.1:9'),
      from: 'consents@example.com',
      timeouts: { connectMs: 500, silenceMs: 500, totalMs: 1000 },
    })

  test('an unavailable mail server uses up no places: no alert of the cap, the whole hour is left', async () => {
    const all = await Promise.all(Array.from({ length: 7 }, async () => queued()))
    world.clock.set(today('11:20'))
    const raised: unknown[] = []
    const log = meteredLog(silent, { recordAlert: (name) => void raised.push(name) })
    const away = send(world, { channel: unreachable(), log })
    for (let round = 0; round < 3; round += 1)
      for (const { id } of all)
        expect(await away(id, aRun({ manual: true }))).toMatchObject({
          reason: expect.stringContaining('message-unavailable'),
        })
    expect([raised, await usedIn('11:00')]).toEqual([['message-unavailable'], 0])
    const said = []
    for (const { id } of all) said.push(await send(world)(id, aRun({ manual: true })))
    expect(said.map(({ kind }) => kind)).toEqual([...Array.from({ length: 5 }, () => 'done'), 'snooze', 'snooze'])
    expect([all.reduce((sum, { consent }) => sum + mails(consent), 0), await usedIn('11:00')]).toEqual([5, 5])
  })

  test('deferred by the server and sent at the second try: one place, in the hour in which it was sent', async () => {
    const { consent, id } = await queued()
    world.clock.set(today('11:59'))
    world.simulator.faults.add({ endpoint: 'mail', kind: 'rcpt-4xx', count: 1, only: consent.email ?? '' })
    await send(world)(id, aRun())
    world.clock.set(today('12:01'))
    await send(world)(id, aRun())
    expect([mails(consent), await usedIn('11:00'), await usedIn('12:00')]).toEqual([1, 0, 1])
  })

  test('the answer comes in the next hour: the place is given back to the hour from which it was taken', async () => {
    await send(world)((await queued()).id, aRun())
    const { id } = await queued()
    world.clock.set(today('10:59'))
    const channel = {
      ...world.channel,
      send: async (_: unknown, { begin }: Handover) => {
        await begin()
        world.clock.set(today('11:00'))
        return { kind: 'unavailable', code: 'message-unavailable', cause: 'outage', detail: '451' } as const
      },
    }
    await send(world, { channel })(id, aRun())
    expect([await usedIn('10:00'), await usedIn('11:00')]).toEqual([1, 0])
  })

  test('the place is given back once, and by no worker with a stale claim', async () => {
    const { id } = await queued()
    const answer = await world.store.claim('notification', id, LEASE)
    if (answer.kind !== 'claimed') throw new Error('not claimed')
    const { claim } = answer
    const now = world.clock.now()
    await send(world)((await queued()).id, aRun())
    await world.store.beginSending(claim, now, 5)
    expect(await usedIn('10:00')).toBe(2)
    const late = { ...claim, fencingToken: claim.fencingToken - 1 }
    await expect(world.store.reschedule(late, now, { now, tried: true })).rejects.toThrow(StaleClaim)
    expect(await usedIn('10:00')).toBe(2)
    for (let time = 0; time < 2; time += 1) await world.store.reschedule(claim, now, { now, tried: true })
    expect(await usedIn('10:00')).toBe(1)
  })

  test('a process that dies, a cut after the final dot, a permanent refusal: each keeps its place', async () => {
    const [died, cut, refused, unknown] = [await queued(), await queued(), await queued(), await queued()]
    const channel = {
      ...world.channel,
      send: async (_: unknown, { begin }: Handover) => {
        await begin()
        throw new Error('died')
      },
    }
    await expect(send(world, { channel })(died.id, aRun())).rejects.toThrow('died')
    expect(await usedIn('10:00')).toBe(1)
    const fault = (kind: 'cut-after-dot' | 'data-5xx' | 'rcpt-5xx', { email }: { email: string | undefined }): void =>
      void world.simulator.faults.add({ endpoint: 'mail', kind, only: email ?? '' })
    fault('cut-after-dot', cut.consent)
    fault('data-5xx', refused.consent)
    fault('rcpt-5xx', unknown.consent)
    for (const { id } of [cut, refused, unknown]) await send(world)(id, aRun())
    expect(await usedIn('10:00')).toBe(4)
    // Its repetition has a place of its own.
    await send(world)(died.id, aRun())
    expect(await usedIn('10:00')).toBe(5)
  })

  test('a server that refuses every recipient fails no more messages in an hour than the cap allows', async () => {
    const all = await Promise.all(Array.from({ length: 7 }, async () => queued()))
    for (const { consent } of all)
      world.simulator.faults.add({ endpoint: 'mail', kind: 'rcpt-5xx', only: consent.email ?? '' })
    const said = []
    for (const { id } of all) said.push(await send(world)(id, aRun()))
    expect(said.map(({ kind }) => kind)).toEqual([...Array.from({ length: 5 }, () => 'done'), 'snooze', 'snooze'])
    expect(await rungsSent(world, all[6]?.consent.id ?? '')).toEqual(['-14d pending'])
    expect(await usedIn('10:00')).toBe(5)
  })
})

describe('the user is on the way', () => {
  test('at the bank for less than half an hour: held, also when an operator retries it', async () => {
    const { consent, id } = await queued()
    await world.leave(consent.id)
    for (const manual of [false, true])
      expect(await send(world)(id, aRun({ manual }))).toMatchObject({
        kind: 'snooze',
        reason: expect.stringContaining('bank'),
      })
    await liveUntil(world, consent.id, today('10:31'))
    expect(mails(consent)).toBe(1)
  })

  test('a code came in: its outcome comes first, and then no message is needed', async () => {
    const { consent, id } = await queued()
    await codeOf(world, consent.id)
    expect(await send(world)(id, aRun())).toMatchObject({ kind: 'snooze' })
    await bringUpToDate(world, consent.id)
    expect([await rungsSent(world, consent.id), mails(consent)]).toEqual([['-14d cancelled'], 0])
  })

  test('a code in doubt that nobody can ask about: held a day longer than the last planned poll', async () => {
    const { consent, id } = await queued()
    await codeOf(world, consent.id)
    fault(world, consent, { endpoint: 'exchange', kind: 'reset-after' })
    world.simulator.faults.add({ endpoint: 'refresh', kind: 'error-html', only: consent.credentialsId })
    await bringUpToDate(world, consent.id)
    for (const manual of [false, true])
      expect(await send(world)(id, aRun({ manual }))).toMatchObject({
        kind: 'snooze',
        reason: expect.stringContaining('in doubt'),
      })
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 47 }))
    expect(mails(consent)).toBe(0)
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 5 }))
    expect(mails(consent)).toBe(1)
  })

  test('a code comes in at the last moment, after the look: still held', async () => {
    const { consent, id } = await queued()
    const callback = world.toCallback(
      await world.simulator.play({ link: await world.leave(consent.id), as: 'approve' }),
    )
    await world.db.prisma.authorisation.updateMany({ where: { consentId: consent.id }, data: { handedOutAt: null } })
    const store = withStore(world, {
      beginSending: async (...args) => {
        await world.receive(callback)
        return world.store.beginSending(...args)
      },
    })
    expect(await send(world, { store })(id, aRun())).toMatchObject({
      kind: 'snooze',
      reason: expect.stringContaining('outcome comes first'),
    })
    expect(mails(consent)).toBe(0)
  })
})

describe('no longer wanted', () => {
  const stops: Record<string, string> = {
    paused: 'paused',
    opted_out: 'opted_out',
    revoked: 'revoked',
    lapsed: 'lapsed',
    quarantined: 'quarantined',
  }
  test.each(Object.entries(stops))('%s meanwhile: cancelled, also when an operator retries it', async (status) => {
    const { consent, id } = await queued()
    await planting(world.db).consent.update({ where: { id: consent.id }, data: { status, nextActionAt: null } })
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({
      kind: 'skipped',
      reason: expect.stringContaining(status),
    })
    expect([await rungsSent(world, consent.id), mails(consent)]).toEqual([['-14d cancelled'], 0])
  })

  test('the address was removed: cancelled as no-channel', async () => {
    const { consent, id } = await queued()
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { email: null } })
    expect(await send(world)(id, aRun())).toMatchObject({
      kind: 'skipped',
      reason: expect.stringContaining('no-channel'),
    })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled'])
  })

  test('a newer message cancels an older one that was never sent', async () => {
    const { consent, id } = await queued()
    await world.db.prisma.renewal.updateMany({ where: { consentId: consent.id }, data: { manualNo: 1 } })
    await renew(world)(consent.id, aRun())
    expect(await send(world)(id, aRun({ manual: true }))).toEqual({
      kind: 'skipped',
      reason: 'the message is cancelled',
    })
    await bringUpToDate(world, consent.id)
    expect([await rungsSent(world, consent.id), mails(consent)]).toEqual([['-14d cancelled', 'manual-1 sent'], 1])
  })

  test('cancelled between the look and the sending: not sent, and not reported as an error of ours', async () => {
    const { consent, id } = await queued()
    const store = withStore(world, {
      beginSending: async (...args) => {
        await world.db.prisma.renewal.updateMany({ where: { consentId: consent.id }, data: { manualNo: 1 } })
        await renew(world)(consent.id, aRun())
        return world.store.beginSending(...args)
      },
    })
    expect(await send(world, { store })(id, aRun())).toMatchObject({ kind: 'skipped' })
    expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled', 'manual-1 pending'])
  })

  test('a newer message was made while the older one was being deferred: one of them is sent', async () => {
    const { consent, id } = await queued()
    const channel = {
      ...world.channel,
      send: async (_: unknown, { begin }: Handover) => {
        await begin()
        await world.db.prisma.renewal.updateMany({ where: { consentId: consent.id }, data: { manualNo: 1 } })
        await renew(world)(consent.id, aRun())
        return { kind: 'deferred' as const, code: 'message-deferred' as const, detail: '451' }
      },
    }
    await send(world, { channel })(id, aRun())
    await liveUntil(world, consent.id, today('10:30'))
    expect([await rungsSent(world, consent.id), mails(consent)]).toEqual([['-14d cancelled', 'manual-1 sent'], 1])
  })

  test('an unsent message gives way to that of a later rung that is due by now', async () => {
    const consent = await askedConsent(world, { inDays: 9 })
    await liveUntil(world, consent.id, consent.expiresAt.minus({ days: 7 }).minus({ seconds: 1 }))
    world.clock.set(consent.expiresAt.minus({ days: 7 }).plus({ seconds: 1 }))
    await renew(world)(consent.id, aRun())
    world.clock.set(consent.expiresAt.minus({ days: 3 }).plus({ seconds: 1 }))
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent', '-7d cancelled', '-3d sent'])
  })
})
