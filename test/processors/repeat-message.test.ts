// A message that its worker died over: sent once more within minutes, at most once, and only while it is wanted; never
// where the last byte is known to have left.
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { StaleClaim } from '../../src/errors.ts'
import { meteredLog, meteredStore } from '../../src/meter.ts'
import { makeMetrics } from '../../src/metrics.ts'
import { smtpChannel } from '../../src/notify/email/smtp-channel.ts'
import type { Channel, Handover } from '../../src/notify/port.ts'
import { explain } from '../../src/presentation/explanation.ts'
import type { Outcome } from '../../src/processors/outcome.ts'
import { Secret } from '../../src/secret.ts'
import { administration } from '../../src/store/administration.ts'
import { verify } from '../../src/verify/verify.ts'
import { scriptedSmtp, type Script } from '../notify/email/scripted-smtp.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  bringUpToDate,
  codeOf,
  dying,
  endLease,
  eventTypes,
  LEASE,
  liveUntil,
  renew,
  rungsSent,
  send,
  silent,
  withStore,
} from './rig.ts'

/** A Monday, ten in the morning in London. */
const MONDAY = DateTime.fromISO('2026-11-23T10:00:00Z', { zone: 'utc' })
let world: World
beforeAll(async () => {
  world = await startWorld({ startAt: MONDAY, policy: { quietHours: { from: '20:00', to: '08:00' } } })
})
afterAll(async () => world.close())
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  world.simulator.faults.clear()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  // Each test has an hour of its own, in which nothing was sent yet.
  world.clock.set(world.clock.now().startOf('day').plus({ days: 1, hours: 10 }))
})

const message = async (id: string) => world.db.prisma.notification.findUniqueOrThrow({ where: { id } })
const used = async () =>
  world.db.prisma.messageHour.findUnique({ where: { hour: world.clock.now().startOf('hour').toJSDate() } })
const queued = async (over: Partial<Consent> = {}) => {
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), ...over })
  await renew(world)(consent.id, aRun())
  return { consent, id: (await world.notificationsOf(consent.id))[0]?.id ?? '' }
}

/** The e-mail channel of a worker that dies as soon as its intent is committed; its lease is over afterwards. */
const dyingChannel = (): Partial<World['channel']> => ({
  send: async (_message, { begin }: Handover) => {
    await begin()
    throw new Error('died')
  },
})
const dieOver = async (id: string, channel = dyingChannel()): Promise<void> => {
  await expect(send(world, { channel, store: dying(world) })(id, aRun())).rejects.toThrow('died')
  await endLease(world, 'notification', id)
}
/** A message whose worker has died between the intent and the last byte. */
const left = async (over: Partial<Consent> = {}) => {
  const one = await queued(over)
  await dieOver(one.id)
  return one
}
const leaveWords = (reason: string | RegExp) => ({
  kind: 'done',
  what: expect.stringMatching(reason instanceof RegExp ? reason : new RegExp(reason)),
})
/** What the database shows of messages: the consents of this file have no event of an import. */
const violations = async () =>
  (await verify(world.db, { now: world.clock.now() })).filter(({ invariant }) => invariant === 6 || invariant === 7)
const scripted = async (script: Script): Promise<Pick<Channel, 'send'>> => {
  const server = await scriptedSmtp(script)
  const channel = smtpChannel({
    smtpUrl: new Secret(`smtp://127.0.0.1:${server.port}`),
    from: 'consents@example.com',
    timeouts: { connectMs: 5_000, silenceMs: 10_000, totalMs: 20_000 },
  })
  cleanups.push(
    () => server.close(),
    () => channel.close(),
  )
  return channel as Pick<Channel, 'send'>
}
const sendBy = (channel: Pick<Channel, 'send'>) => send(world, { channel: channel as Partial<World['channel']> })

describe('a worker died after the intent and before the last byte', () => {
  test('the message is sent once more when its lease is over, with the same Message-ID', async () => {
    const { consent, id } = await queued()
    await expect(send(world, { channel: dyingChannel(), store: dying(world) })(id, aRun())).rejects.toThrow('died')
    expect(await message(id)).toMatchObject({ status: 'sending', repeatedAt: null })
    expect((await send(world)(id, aRun({ manual: true }))).kind).toBe('snooze')
    await endLease(world, 'notification', id)
    expect(await send(world)(id, aRun())).toEqual({
      kind: 'done',
      what: 'sent -14d for the second time: its worker died over it',
    })
    expect(await message(id)).toMatchObject({ status: 'sent', attempts: 2, errorCode: null, nextActionAt: null })
    const { sendingAt, repeatedAt } = await message(id)
    expect(repeatedAt?.getTime()).toBeGreaterThan(sendingAt?.getTime() ?? Number.NaN)
    expect(world.mailsTo(consent).map(({ message_id }) => message_id)).toEqual([`${id}@127.0.0.1`])
    expect((await eventTypes(world, consent.id)).slice(-4)).toEqual([
      'message.queued',
      'message.sending',
      'message.repeated',
      'message.sent',
    ])
    expect(await used()).toMatchObject({ used: 2, repeated: 1 })
    expect(await violations()).toEqual([])
  })

  test('ten workers at once repeat it once', async () => {
    const { consent, id } = await left()
    await Promise.all(Array.from({ length: 10 }, async () => send(world)(id, aRun())))
    for (const manual of [false, true])
      expect(await send(world)(id, aRun({ manual }))).toEqual({ kind: 'skipped', reason: 'the message is sent' })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('the sweep finds it within a minute of the end of the lease', async () => {
    const { consent } = await left()
    await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 1 }))
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['-14d sent'], 1])
  })

  test('everyone is told: explain, and the counts of messages', async () => {
    const metrics = makeMetrics({ collectCounts: async () => Promise.reject(new Error('not asked')) })
    const { consent, id } = await left()
    await send(world, { store: meteredStore(world.store, metrics) })(id, aRun())
    const view = await world.store.getView(consent.id)
    if (view === undefined) throw new Error('gone')
    const { rungs } = explain(view, world.clock.now(), world.policy)
    expect(rungs.find(({ rung }) => rung === '-14d')).toMatchObject({
      state: 'sent',
      detail: expect.stringContaining('once more'),
    })
    const text = await metrics.registry.metrics()
    expect(text).toContain('reconsent_messages_total{result="repeated"} 1')
    expect(text).toContain('reconsent_messages_total{result="sent"} 1')
  })

  test('the next worker dies over the repetition too: uncertain, and never a third time', async () => {
    const { consent, id } = await left()
    await dieOver(id)
    expect(await message(id)).toMatchObject({ status: 'sending', repeatedAt: expect.any(Date) })
    for (const manual of [false, true]) {
      const said = await send(world)(id, aRun({ manual }))
      expect(said).toMatchObject(
        manual ? { kind: 'skipped', reason: 'the message is uncertain' } : leaveWords('it was repeated once'),
      )
    }
    expect(await message(id)).toMatchObject({ status: 'uncertain', errorCode: 'message-uncertain' })
    expect([world.mailsTo(consent).length, await used()]).toEqual([0, expect.objectContaining({ used: 2 })])
    expect(await violations()).toEqual([])
  })

  test('the database itself refuses another repetition, and a repeated message that failed', async () => {
    const { id } = await left()
    await send(world)(id, aRun())
    const sql = async (set: string) =>
      world.db.prisma.$executeRawUnsafe(`UPDATE notifications SET ${set} WHERE id = '${id}'`)
    await expect(sql('repeated_at = now()')).rejects.toThrow(/it is repeated only once/)
    await expect(sql('repeated_at = NULL')).rejects.toThrow(/it is repeated only once/)
    await expect(sql(`status = 'failed'`)).rejects.toThrow(/notifications_repeated_is_begun/)
    expect(await sql('error_code = NULL')).toBe(1)
  })
})

describe('a worker that was taken for dead', () => {
  /** A worker that sleeps between its intent and the first byte; `wake` lets it go on. */
  const sleeper = (id: string) => {
    const asleep = Promise.withResolvers<void>()
    const woken = Promise.withResolvers<void>()
    const patient = smtpChannel({
      smtpUrl: new Secret(world.simulator.smtpUrl),
      from: 'consents@example.com',
      timeouts: { connectMs: 15_000, silenceMs: 60_000, totalMs: 60_000 },
    })
    cleanups.push(() => patient.close())
    const channel: Partial<World['channel']> = {
      send: async (mail, handover) =>
        patient.send(mail, {
          ...handover,
          begin: async () => {
            const isBegun = await handover.begin()
            asleep.resolve()
            await woken.promise
            return isBegun
          },
        }),
    }
    const ended: Promise<Outcome> = send(world, { channel })(id, aRun())
    return { asleep: asleep.promise, wake: () => woken.resolve(), ended }
  }

  test('wakes after the repetition: two mails, the ledger says which, and its late word is refused', async () => {
    const { consent, id } = await queued()
    const { asleep, wake, ended } = sleeper(id)
    await asleep
    await endLease(world, 'notification', id)
    expect(await send(world)(id, aRun())).toMatchObject({ what: expect.stringContaining('for the second time') })
    const row = await message(id)
    wake()
    expect(await ended).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect(await message(id)).toEqual(row)
    expect(row).toMatchObject({ status: 'sent', repeatedAt: expect.any(Date) })
    const copies = world.mailsTo(consent).map(({ message_id }) => message_id)
    expect(copies).toEqual([`${id}@127.0.0.1`, `${id}@127.0.0.1`])
    expect(await violations()).toEqual([])
  })

  test('slept before its intent: it begins nothing, and one mail leaves', async () => {
    const { consent, id } = await queued()
    const store = withStore(world, {
      beginSending: async (...args) => {
        await endLease(world, 'notification', id)
        await send(world)(id, aRun())
        return world.store.beginSending(...args)
      },
    })
    expect(await send(world, { store })(id, aRun())).toMatchObject({ kind: 'skipped' })
    expect(await message(id)).toMatchObject({ status: 'sent', repeatedAt: null })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('slept with the answer in hand: two mails, and the ledger says so', async () => {
    const { consent, id } = await queued()
    const channel: Partial<World['channel']> = {
      send: async (...args) => {
        const delivery = await world.channel.send(...args)
        await endLease(world, 'notification', id)
        await send(world)(id, aRun())
        return delivery
      },
    }
    expect(await send(world, { channel })(id, aRun())).toMatchObject({
      kind: 'skipped',
      reason: expect.stringContaining('took over'),
    })
    expect(await message(id)).toMatchObject({ status: 'sent', repeatedAt: expect.any(Date) })
    expect(world.mailsTo(consent)).toHaveLength(2)
  })

  test('cannot record a late answer any more, nor may it once the outcome is stored', async () => {
    const { id } = await queued()
    const first = await world.store.claim('notification', id, LEASE)
    if (first.kind !== 'claimed') throw new Error(first.kind)
    const now = world.clock.now()
    expect(await world.store.recordHandedOver(first.claim, now)).toBe(false)
    await world.store.beginSending(first.claim, now, 1_000)
    const stale = { ...first.claim, fencingToken: first.claim.fencingToken - 1 }
    expect(await world.store.recordHandedOver(stale, now)).toBe(false)
    expect(await world.store.recordHandedOver(first.claim, now)).toBe(true)
    await world.store.settleSending(first.claim, 'sent', now)
    expect(await world.store.recordHandedOver(first.claim, now.plus(1))).toBe(false)
    await expect(world.store.postponeRepeat(first.claim, now, { tried: false })).rejects.toThrow(StaleClaim)
  })
})

describe('the last byte had left', () => {
  test('the answer is late, and the worker dies: uncertain, or a slow server would double everything', async () => {
    const { consent, id } = await queued()
    const job = sendBy(await scripted({ dot: 'silence' }))(id, aRun())
    await expect.poll(async () => (await message(id)).handedOverAt, { timeout: 5_000 }).not.toBeNull()
    await endLease(world, 'notification', id)
    for (const manual of [true, false]) {
      const said = await send(world)(id, aRun({ manual }))
      expect(said).toMatchObject(manual ? leaveWords('last byte had left') : { kind: 'skipped' })
    }
    expect(await message(id)).toMatchObject({ status: 'uncertain', repeatedAt: null })
    for (const cleanup of cleanups.splice(0)) await cleanup()
    expect(await job).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect(world.mailsTo(consent)).toEqual([])
  })

  test('the answer comes within a second: nothing more is written', async () => {
    const { id } = await queued()
    const calls: string[] = []
    const counting = Object.fromEntries(
      Object.entries(world.store).map(([name, call]) => [
        name,
        (...args: unknown[]): unknown => {
          calls.push(name)
          return Reflect.apply(call as (...all: unknown[]) => unknown, world.store, args)
        },
      ]),
    ) as unknown as World['store']
    await send(world, { store: counting })(id, aRun())
    expect(calls).toEqual(['claim', 'placeInHour', 'beginSending', 'settleSending'])
    expect((await message(id)).handedOverAt).toBeNull()
  })

  test('a try whose answer was late and which was deferred says nothing of the next one', async () => {
    const { consent, id } = await queued()
    const answer = await world.store.claim('notification', id, LEASE)
    if (answer.kind !== 'claimed') throw new Error(answer.kind)
    const now = world.clock.now()
    await world.store.beginSending(answer.claim, now, 1_000)
    await world.store.recordHandedOver(answer.claim, now)
    await world.store.reschedule(answer.claim, now, { now, tried: true, code: 'message-deferred' })
    await dieOver(id)
    expect(await message(id)).toMatchObject({ status: 'sending', handedOverAt: null })
    await send(world)(id, aRun())
    expect(world.mailsTo(consent)).toHaveLength(1)
  })
})

describe('a message that nobody wants any more is not repeated', () => {
  const operator = () => administration(world.db, world.policy)
  const request = () => ({ now: world.clock.now(), reason: 'a test' })
  const changes: Record<string, { act: (consent: Consent) => Promise<unknown>; says: string }> = {
    'opted out': {
      act: async ({ id }) => operator().closeForGood(id, 'opted_out', request()),
      says: 'the consent is opted_out',
    },
    renewed: {
      act: async ({ id }) => {
        await codeOf(world, id)
        for (const { id: attempt } of await world.authorisationsOf(id)) await world.jobs.authorisation(attempt, aRun())
      },
      says: 'its renewal renewed',
    },
    'the next rung is due within a day': {
      act: async ({ expiresAt }) => world.clock.set(expiresAt.minus({ days: 8 })),
      says: 'message -7d is due within a day',
    },
    'another was made since': {
      act: async ({ id }) => {
        await operator().requestRenewal(id, request())
        await renew(world)(id, aRun())
      },
      says: 'message manual-1 was made since',
    },
    'another was asked for': {
      act: async ({ id }) => operator().requestRenewal(id, request()),
      says: 'message manual-1 is owed',
    },
    'the address is gone': {
      act: async ({ id }) => world.db.prisma.consent.update({ where: { id }, data: { email: null } }),
      says: 'no address is left',
    },
  }
  test.each(Object.entries(changes))('%s: uncertain', async (_, { act, says }) => {
    const { consent, id } = await left()
    await act(consent)
    expect(await send(world)(id, aRun())).toMatchObject(leaveWords(says))
    expect(await message(id)).toMatchObject({ status: 'uncertain', repeatedAt: null, nextActionAt: null })
    expect(world.mailsTo(consent)).toEqual([])
    const uncertain = (await world.eventsOf(consent.id)).findLast(({ type }) => type === 'message.uncertain')
    expect(uncertain?.reason).toContain(says)
  })

  test.each(Object.entries(changes).filter(([name]) => ['opted out', 'another was made since'].includes(name)))(
    '%s after the look: the lock decides, nothing leaves',
    async (_, { act }) => {
      const { consent, id } = await left()
      const store = withStore(world, {
        beginRepeat: async (...args) => {
          await act(consent)
          return world.store.beginRepeat(...args)
        },
      })
      expect(await send(world, { store })(id, aRun())).toMatchObject(leaveWords('not sent again'))
      expect(await message(id)).toMatchObject({ status: 'uncertain', repeatedAt: null })
      expect(world.mailsTo(consent)).toEqual([])
    },
  )
})

describe('not now', () => {
  const request = () => ({ now: world.clock.now(), reason: 'a test' })

  test.each([
    ['before the look', async (act: () => Promise<unknown>) => void (await act())],
    ['after the look: the lock decides', async () => undefined],
  ] as const)('paused %s: it waits as it is, and is sent once the consent goes on', async (_, first) => {
    const { consent, id } = await left()
    const operator = administration(world.db, world.policy)
    const pause = async () => operator.pauseConsent(consent.id, request())
    await first(pause)
    const store = withStore(world, {
      beginRepeat: async (...args) => {
        await pause()
        return world.store.beginRepeat(...args)
      },
    })
    expect(await send(world, { store })(id, aRun())).toMatchObject({ kind: 'snooze' })
    expect(await message(id)).toMatchObject({ status: 'sending', repeatedAt: null, leaseUntil: null })
    expect(world.mailsTo(consent)).toEqual([])
    await operator.resumeConsent(consent.id, request())
    await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 61 }))
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['-14d sent'], 1])
  })

  test('the user is at the bank: it waits as it is, and is sent when they have not come back', async () => {
    const { consent, id } = await left()
    await world.leave(consent.id)
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({
      kind: 'snooze',
      reason: expect.stringContaining('bank'),
    })
    expect(await message(id)).toMatchObject({ status: 'sending', repeatedAt: null, leaseUntil: null })
    const view = await world.store.getView(consent.id)
    const { rungs } = explain(view ?? (await Promise.reject(new Error('gone'))), world.clock.now(), world.policy)
    expect(rungs.find(({ rung }) => rung === '-14d')?.detail).toContain('to be sent once more')
    await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 31 }))
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['-14d sent'], 1])
  })

  test('the user goes to the bank after the look: the lock decides, and nothing leaves', async () => {
    const { consent, id } = await left()
    const store = withStore(world, {
      beginRepeat: async (...args) => {
        await world.leave(consent.id)
        return world.store.beginRepeat(...args)
      },
    })
    expect(await send(world, { store })(id, aRun())).toMatchObject({ kind: 'snooze' })
    expect(await message(id)).toMatchObject({ status: 'sending', repeatedAt: null })
    expect(world.mailsTo(consent)).toEqual([])
  })

  test('quiet hours have begun: it is sent in the morning', async () => {
    const { consent, id } = await left()
    world.clock.set(world.clock.now().startOf('day').plus({ hours: 21 }))
    expect(await send(world)(id, aRun())).toMatchObject({ kind: 'snooze', reason: 'quiet hours of the user' })
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 12 }))
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['-14d sent'], 1])
  })

  const away: Record<string, Script> = {
    'the mail server is away': { greeting: '421 busy' },
    'the recipient is deferred': { RCPT: '451 4.7.1 later' },
  }
  test.each(Object.entries(away))(
    '%s: nothing of the repetition was begun, and it is tried again',
    async (_, script) => {
      const { consent, id } = await left()
      expect(await sendBy(await scripted(script))(id, aRun())).toMatchObject({ kind: 'snooze' })
      expect(await message(id)).toMatchObject({ status: 'sending', repeatedAt: null })
      await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 15 }))
      expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['-14d sent'], 1])
    },
  )

  test('the recipient is refused before it begins: the first copy may have arrived all the same', async () => {
    const { id } = await left()
    expect(await sendBy(await scripted({ RCPT: '550 5.1.1 unknown' }))(id, aRun())).toMatchObject(leaveWords('550'))
    expect(await message(id)).toMatchObject({ status: 'uncertain', repeatedAt: null })
  })
})

describe('the server does not take the second copy', () => {
  const replies: Record<string, Script> = {
    'deferred after the message': { dot: '451 4.7.1 later' },
    'refused after the message': { dot: '554 5.7.1 no' },
    'its disk is full': { dot: '451 4.3.0 full' },
    'the connection is cut': { dot: 'cut' },
  }
  test.each(Object.entries(replies))('%s: uncertain, because of the first copy', async (_, script) => {
    const { id } = await left()
    expect(await sendBy(await scripted(script))(id, aRun())).toMatchObject({ kind: 'done' })
    expect(await message(id)).toMatchObject({ status: 'uncertain', errorCode: 'message-uncertain' })
    // A person's retry does not send it a third time.
    expect(await send(world)(id, aRun({ manual: true }))).toEqual({
      kind: 'skipped',
      reason: 'the message is uncertain',
    })
    expect(await violations()).toEqual([])
  })
})

describe('the limit', () => {
  const raisedBy = () => {
    const raised: unknown[] = []
    return { raised, log: meteredLog(silent, { recordAlert: (name) => void raised.push(name) }) }
  }

  test('five repetitions in an hour of few messages; the sixth waits for the next hour, and is reported', async () => {
    const all = await Promise.all(Array.from({ length: 7 }, async () => left()))
    const { raised, log } = raisedBy()
    const said = await Promise.all(all.map(async ({ id }) => send(world, { log })(id, aRun())))
    expect(said.filter(({ kind }) => kind === 'done')).toHaveLength(5)
    const held = said.filter(({ kind }) => kind === 'snooze')
    expect(held.map((one) => 'until' in one && one.until.toISO()?.slice(11, 16))).toEqual(['11:00', '11:00'])
    expect(raised).toEqual(['messages-repeated', 'messages-repeated'])
    expect(await used()).toMatchObject({ used: 12, repeated: 5 })
    world.clock.set(world.clock.now().startOf('hour').plus({ hours: 1 }))
    for (const { consent } of all) await bringUpToDate(world, consent.id)
    expect(all.map(({ consent }) => world.mailsTo(consent).length)).toEqual([1, 1, 1, 1, 1, 1, 1])
  })

  test.each([
    [699, 'snooze'],
    [700, 'done'],
  ])('of %i messages begun in the hour, with six repeated: %s', async (begun, kind) => {
    const { id } = await left()
    const hour = world.clock.now().startOf('hour').toJSDate()
    // The repetition itself is the last of those that are begun.
    await world.db.prisma.messageHour.update({ where: { hour }, data: { used: begun - 1, repeated: 6 } })
    expect((await send(world)(id, aRun())).kind).toBe(kind)
    expect(await used()).toMatchObject(
      kind === 'done' ? { used: begun, repeated: 7 } : { used: begun - 1, repeated: 6 },
    )
  })

  test('the cap on messages holds for repetitions too, with its own alert', async () => {
    const { id } = await left()
    const { raised, log } = raisedBy()
    const policy = { ...world.policy, limits: { messagesPerHour: 1 } }
    expect(await send(world, { log, policy })(id, aRun())).toMatchObject({
      kind: 'snooze',
      reason: expect.stringContaining('cap of 1 messages'),
    })
    expect([raised, await message(id)]).toEqual([
      ['messages-per-hour'],
      expect.objectContaining({ status: 'sending', repeatedAt: null }),
    ])
    expect(await used()).toMatchObject({ used: 1, repeated: 0 })
  })
})
