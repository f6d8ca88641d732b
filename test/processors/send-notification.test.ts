// Handing a message to the mail server, at most once: every way in which a mail server can fail, crashes, retries by an
// operator.
import { DateTime } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { FaultSettings } from '../../simulator/src/fault-kinds.ts'
import type { Consent } from '../../src/domain/model.ts'
import { StaleClaim } from '../../src/errors.ts'
import { makeLog } from '../../src/log.ts'
import { meteredLog, meteredStore } from '../../src/meter.ts'
import { makeMetrics } from '../../src/metrics.ts'
import { type SmtpChannel, smtpChannel } from '../../src/notify/email/smtp-channel.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { aRow } from '../import/rows.ts'
import { scriptedSmtp, type Script } from '../notify/email/scripted-smtp.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  askedConsent,
  bringUpToDate,
  dying,
  endLease,
  eventTypes,
  liveUntil,
  renew,
  rungsSent,
  send,
  silent,
  withStore,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  world.simulator.faults.clear()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A consent with its first message queued. */
const queued = async (over: Partial<Consent> = {}) => {
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), ...over })
  await renew(world)(consent.id, aRun())
  return { consent, id: (await world.notificationsOf(consent.id))[0]?.id ?? '' }
}
const NOBODY_LISTENS = 'smtp://127.0.0.1:9'
const channelTo = (url: string): SmtpChannel => {
  const channel = smtpChannel({
    smtpUrl: new Secret(url),
    from: 'consents@example.com',
    timeouts: { connectMs: 5_000, silenceMs: 10_000, totalMs: 20_000 },
  })
  cleanups.push(() => channel.close())
  return channel
}
/** A mail server that follows a script. */
const scriptedChannel = async (script: Script, login = ''): Promise<SmtpChannel> => {
  const server = await scriptedSmtp(script)
  cleanups.push(() => server.close())
  return channelTo(`smtp://${login}127.0.0.1:${server.port}`)
}
const message = async (id: string) => world.db.prisma.notification.findUniqueOrThrow({ where: { id } })
const mailFault = (consent: Consent, settings: FaultSettings): void =>
  void world.simulator.faults.add({ endpoint: 'mail', ...settings, only: consent.email ?? '' } as never)
const minutesUntil = async (id: string): Promise<number> =>
  Math.round((((await message(id)).nextActionAt?.getTime() ?? Number.NaN) - world.clock.now().toMillis()) / 60_000)

describe('taken by the mail server', () => {
  test('sent once, with an event, and its Message-ID names the notification', async () => {
    const { consent, id } = await queued()
    expect(await send(world)(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
    expect(await message(id)).toMatchObject({
      status: 'sent',
      attempts: 1,
      errorCode: null,
      nextActionAt: null,
      leaseUntil: null,
    })
    expect(world.mailsTo(consent).map(({ message_id }) => message_id)).toEqual([`${id}@127.0.0.1`])
    expect((await eventTypes(world, consent.id)).slice(-3)).toEqual([
      'message.queued',
      'message.sending',
      'message.sent',
    ])
  })

  test('running it twice, or ten times at once, acts once', async () => {
    const { consent, id } = await queued()
    await Promise.all(Array.from({ length: 10 }, async () => send(world)(id, aRun())))
    for (const manual of [false, true])
      expect(await send(world)(id, aRun({ manual }))).toEqual({ kind: 'skipped', reason: 'the message is sent' })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })
})

describe('certainly not accepted', () => {
  test('451 to the recipient: again after 1 min, 10 min, 1 h, 4 h, then failed', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-4xx' })
    const waits: number[] = []
    for (let time = 0; time < 4; time += 1) {
      expect((await send(world)(id, aRun())).kind).toBe('snooze')
      expect(await message(id)).toMatchObject({ status: 'pending', errorCode: 'message-deferred', attempts: time + 1 })
      waits.push(await minutesUntil(id))
      expect(await send(world)(id, aRun())).toMatchObject({ kind: 'snooze', reason: 'not due yet' })
      world.clock.advance({ minutes: waits.at(-1) ?? 0, seconds: 1 })
    }
    expect(waits).toEqual([1, 10, 60, 240])
    expect(await send(world)(id, aRun())).toMatchObject({
      kind: 'done',
      what: expect.stringContaining('failed after 5 tries'),
    })
    expect(await message(id)).toMatchObject({ status: 'failed', nextActionAt: null })
    expect(world.mailsTo(consent)).toEqual([])
    expect((await eventTypes(world, consent.id)).at(-1)).toBe('message.failed')
  })

  test('the mail server is back at the second try: sent, one mail', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'data-4xx', count: 1 })
    await send(world)(id, aRun())
    world.clock.advance({ minutes: 2 })
    await bringUpToDate(world, consent.id)
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['-14d sent'], 1])
  })

  test('an operator’s retry does not wait for the date', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-4xx', count: 1 })
    await send(world)(id, aRun())
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'done', what: 'sent -14d' })
  })

  const refusals: Record<string, FaultSettings> = {
    '550 to the recipient': { kind: 'rcpt-5xx' },
    '554 to the message': { kind: 'data-5xx' },
  }
  test.each(Object.entries(refusals))('%s: failed, and the next rung is tried all the same', async (_, fault) => {
    const { consent, id } = await queued()
    mailFault(consent, { ...fault, count: 1 } as FaultSettings)
    await send(world)(id, aRun())
    expect(await message(id)).toMatchObject({ status: 'failed', errorCode: 'message-refused' })
    expect(await send(world)(id, aRun())).toEqual({ kind: 'skipped', reason: 'the message is failed' })
    world.clock.set(consent.expiresAt.minus({ days: 7 }).plus({ seconds: 1 }))
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d failed', '-7d sent'])
  })

  test('failed, and an operator retries it: sent', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-5xx', count: 1 })
    await send(world)(id, aRun())
    expect(await send(world)(id, aRun({ manual: true }))).toEqual({ kind: 'done', what: 'sent -14d' })
    expect(await message(id)).toMatchObject({ status: 'sent', attempts: 1 })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('failed after all its tries, retried by an operator while the server defers: has tries again', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-4xx' })
    for (let time = 0; time < 5; time += 1) await send(world)(id, aRun({ manual: true }))
    expect((await message(id)).status).toBe('failed')
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'snooze' })
    expect(await minutesUntil(id)).toBe(1)
  })

  test('failed, renewed meanwhile, and an operator retries it: no longer wanted', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-5xx' })
    await send(world)(id, aRun())
    await world.goToBank(consent.id, 'approve')
    await bringUpToDate(world, consent.id)
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({
      kind: 'skipped',
      reason: expect.stringContaining('no longer wanted'),
    })
    expect(world.mailsTo(consent)).toEqual([])
  })
})

describe('the mail server is unavailable: an outage is not the message’s failure', () => {
  const ways: Record<string, () => Promise<SmtpChannel>> = {
    'nobody listens': async () => channelTo(NOBODY_LISTENS),
    'the connection is cut before the greeting': async () => scriptedChannel({ greeting: 'cut' }),
    'a 421 greeting': async () => scriptedChannel({ greeting: '421 too busy' }),
    'the password has expired (535)': async () =>
      scriptedChannel({ extensions: ['AUTH PLAIN'], AUTH: '535 5.7.8 expired' }, 'user:word@'),
    'our sender is refused (550 to MAIL)': async () => scriptedChannel({ MAIL: '550 5.7.1 not you' }),
    'the connection is cut at the recipient': async () => scriptedChannel({ RCPT: 'cut' }),
    'its disk is full': async () => world.channel,
  }
  test.each(Object.entries(ways))(
    '%s: retried all day, at most an hour apart, and sent when it is available again',
    async (way, open) => {
      const { consent, id } = await queued()
      const channel = await open()
      if (way === 'its disk is full') mailFault(consent, { kind: 'data-4xx' })
      const start = world.clock.now()
      const waits: number[] = []
      while (world.clock.now() < start.plus({ days: 1 })) {
        expect(await send(world, { channel })(id, aRun())).toMatchObject({
          kind: 'snooze',
          reason: expect.stringContaining('message-unavailable'),
        })
        expect(await message(id)).toMatchObject({
          status: 'pending',
          errorCode: 'message-unavailable',
          attempts: 0,
          leaseUntil: null,
        })
        waits.push(await minutesUntil(id))
        world.clock.set(DateTime.fromJSDate((await message(id)).nextActionAt ?? new Date(), { zone: 'utc' }).plus(1))
      }
      // As long again as the message is old: on a busy machine each is a little later, never sooner.
      for (const [index, planned] of [1, 1, 2, 4, 8, 16, 32, 60].entries()) {
        expect(waits[index]).toBeGreaterThanOrEqual(planned)
        expect(waits[index]).toBeLessThanOrEqual(Math.min(60, Math.ceil(planned * 1.1)))
      }
      expect(new Set(waits.slice(8))).toEqual(new Set([60]))
      world.simulator.faults.clear()
      expect(await send(world)(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
      expect(await message(id)).toMatchObject({ status: 'sent', attempts: 1, errorCode: null })
      expect(world.mailsTo(consent)).toHaveLength(1)
    },
  )

  /** The same world with a mail server that cannot be reached. */
  const outage = (): World => ({
    ...world,
    jobs: { ...world.jobs, notification: send(world, { channel: channelTo(NOBODY_LISTENS) }) },
  })

  test('the last rung of all falls into a weekend’s outage: asked on Monday all the same', async () => {
    const consent = await askedConsent(world, { inDays: -70 })
    await liveUntil(outage(), consent.id, consent.expiresAt.plus({ days: 85 }))
    expect(await rungsSent(world, consent.id)).toEqual(['+60d sent', '+83d pending'])
    await liveUntil(world, consent.id, consent.expiresAt.plus({ days: 85, hours: 1 }))
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['+60d sent', '+83d sent'], 2])
  })

  test('a later rung comes meanwhile: one mail when the server is available again, the later one', async () => {
    const { consent } = await queued()
    await liveUntil(outage(), consent.id, consent.expiresAt.minus({ days: 6, hours: 20 }))
    expect(await rungsSent(world, consent.id)).toEqual(['-14d cancelled', '-7d pending'])
    await liveUntil(world, consent.id, world.clock.now().plus({ hours: 1 }))
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([
      ['-14d cancelled', '-7d sent'],
      1,
    ])
  })

  test('renewed meanwhile: nothing is left to send', async () => {
    const { consent, id } = await queued()
    await send(world, { channel: channelTo(NOBODY_LISTENS) })(id, aRun())
    await world.goToBank(consent.id, 'approve')
    await bringUpToDate(world, consent.id)
    expect([await rungsSent(world, consent.id), world.mailsTo(consent).length]).toEqual([['-14d cancelled'], 0])
  })

  test('the outage uses up no tries; the recipient’s own deferrals still have theirs', async () => {
    const { consent, id } = await queued()
    const away = send(world, { channel: channelTo(NOBODY_LISTENS) })
    mailFault(consent, { kind: 'rcpt-4xx' })
    for (let time = 0; time < 4; time += 1) {
      for (let retry = 0; retry < 3; retry += 1)
        expect(await away(id, aRun({ manual: true }))).toMatchObject({ kind: 'snooze' })
      expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({
        kind: 'snooze',
        reason: expect.stringContaining('message-deferred'),
      })
      expect(await message(id)).toMatchObject({ attempts: time + 1, errorCode: 'message-deferred' })
    }
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({
      kind: 'done',
      what: expect.stringContaining('failed after 5 tries'),
    })
  })

  test('a crash during the outage: nothing had begun, and the message is sent when the server is back', async () => {
    const { consent, id } = await queued()
    const store = withStore(world, { reschedule: async () => Promise.reject(new Error('died')) })
    const run = aRun({ signal: AbortSignal.abort() })
    await expect(send(world, { store, channel: channelTo(NOBODY_LISTENS) })(id, run)).rejects.toThrow('died')
    await endLease(world, 'notification', id)
    expect(await message(id)).toMatchObject({ status: 'pending', attempts: 0 })
    expect(await send(world)(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
    expect(await message(id)).toMatchObject({ status: 'sent', attempts: 1, repeatedAt: null })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('it is logged and counted, once a minute for all messages, without an address', async () => {
    const metrics = makeMetrics({ collectCounts: async () => Promise.reject(new Error('not asked')) })
    const lines: string[] = []
    const log = meteredLog(makeLog({ level: 'warn', to: { write: (line: string) => void lines.push(line) } }), metrics)
    const channel = channelTo(NOBODY_LISTENS)
    const away = send(world, { channel, log, store: meteredStore(world.store, metrics) })
    const all = [await queued(), await queued(), await queued()]
    for (const { id } of all) await away(id, aRun())
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({
        level: 'warn',
        alert: 'message-unavailable',
        error_code: 'message-unavailable',
        detail: expect.stringContaining('ECONNREFUSED'),
      }),
    ])
    world.clock.advance({ seconds: 59 })
    await away(all[0]?.id ?? '', aRun({ manual: true }))
    expect(lines).toHaveLength(1)
    world.clock.advance({ seconds: 1 })
    await away(all[0]?.id ?? '', aRun({ manual: true }))
    expect(lines).toHaveLength(2)
    for (const { consent } of all) expect(lines.join()).not.toContain(consent.email)
    const text = await metrics.registry.metrics()
    expect(text).toContain('reconsent_alerts_total{name="message-unavailable"} 2')
    expect(text).toContain('reconsent_messages_total{result="unavailable"} 5')
    expect(text).toContain('reconsent_messages_total{result="postponed"} 0')
  })

  test('a message that its own recipient defers or refuses raises no alert', async () => {
    const raised: unknown[] = []
    const log = meteredLog(silent, { recordAlert: (name) => void raised.push(name) })
    for (const kind of ['rcpt-4xx', 'rcpt-5xx', 'data-5xx'] as const) {
      const { consent, id } = await queued()
      mailFault(consent, { kind })
      await send(world, { log })(id, aRun())
    }
    expect(raised).toEqual([])
  })
})

describe('perhaps accepted', () => {
  test.each([true, false])(
    'the connection is cut after the final dot (mail stored: %s): uncertain, never sent again',
    async (stored) => {
      const { consent, id } = await queued()
      mailFault(consent, { kind: 'cut-after-dot', stored, count: 1 })
      expect(await send(world)(id, aRun())).toMatchObject({ kind: 'done', what: expect.stringContaining('uncertain') })
      expect(await message(id)).toMatchObject({
        status: 'uncertain',
        errorCode: 'message-uncertain',
        nextActionAt: null,
      })
      for (const manual of [false, true])
        expect(await send(world)(id, aRun({ manual }))).toEqual({ kind: 'skipped', reason: 'the message is uncertain' })
      await bringUpToDate(world, consent.id)
      expect(world.mailsTo(consent)).toHaveLength(stored ? 1 : 0)
      expect((await eventTypes(world, consent.id)).at(-1)).toBe('message.uncertain')
    },
  )
})

describe('a crash', () => {
  test('before the intent: nothing is lost, the next worker sends', async () => {
    const { consent, id } = await queued()
    const store = dying(world, { beginSending: async () => Promise.reject(new Error('died')) })
    await expect(send(world, { store })(id, aRun())).rejects.toThrow('died')
    expect((await send(world)(id, aRun())).kind).toBe('snooze')
    await endLease(world, 'notification', id)
    await send(world)(id, aRun())
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('between the connection and the intent: nothing had begun, the next worker sends', async () => {
    const { consent, id } = await queued()
    const channel = { ...world.channel, send: async () => Promise.reject(new Error('died')) }
    await expect(send(world, { channel, store: dying(world) })(id, aRun())).rejects.toThrow('died')
    expect((await message(id)).status).toBe('pending')
    await endLease(world, 'notification', id)
    expect(await send(world)(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('a refusal that is not stored: nothing had begun, and it is refused again', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-5xx' })
    const store = dying(world, { failUnbegun: async () => Promise.reject(new Error('died')) })
    await expect(send(world, { store })(id, aRun({ signal: AbortSignal.timeout(100) }))).rejects.toThrow('died')
    await endLease(world, 'notification', id)
    await send(world)(id, aRun())
    expect(await message(id)).toMatchObject({ status: 'failed', errorCode: 'message-refused', attempts: 1 })
  })

  test('the database is away when the answer comes: it is stored when the database is back', async () => {
    const { consent, id } = await queued()
    let away = 2
    const store = withStore(world, {
      settleSending: async (...args) => {
        away -= 1
        return away >= 0 ? Promise.reject(new Error('away')) : world.store.settleSending(...args)
      },
    })
    expect(await send(world, { store })(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
    expect(await message(id)).toMatchObject({ status: 'sent', repeatedAt: null })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('the acknowledgement of the outcome is lost: it is stored once', async () => {
    const { consent, id } = await queued()
    let lost = 1
    const store = withStore(world, {
      settleSending: async (...args) => {
        await world.store.settleSending(...args)
        lost -= 1
        if (lost >= 0) throw new Error('lost')
      },
    })
    expect(await send(world, { store })(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
    expect((await eventTypes(world, consent.id)).filter((type) => type === 'message.sent')).toHaveLength(1)
  })

  test('a sender that falls asleep as it reschedules a message cannot disturb another’s sending later', async () => {
    const { consent, id } = await queued()
    await world.leave(consent.id)
    let late: unknown
    const store = withStore(world, {
      reschedule: async (...args) => {
        // The user has been back for long, and the worker that took over is just handing the message to the mail
        // server.
        world.clock.advance({ minutes: 31 })
        await endLease(world, 'notification', id)
        const channel: typeof world.channel = {
          ...world.channel,
          send: async (...mail) => {
            late = await world.store.reschedule(...args).catch((error: unknown) => error)
            return world.channel.send(...mail)
          },
        }
        await send(world, { channel })(id, aRun())
        throw late
      },
    })
    await send(world, { store })(id, aRun())
    expect(late).toBeInstanceOf(StaleClaim)
    expect((await message(id)).status).toBe('sent')
    expect(world.mailsTo(consent)).toHaveLength(1)
  })
})

describe('the text of the message', () => {
  test('in the user’s language, with one link on our own domain and no other secret', async () => {
    const consent = await askedConsent(world, { locale: 'fr-CA', timeZone: 'Europe/Paris' })
    const [mail] = world.mailsTo(consent)
    expect(mail?.headers['content-language']).toMatch(/^fr/)
    expect(new Set(mail?.links)).toEqual(new Set([`http://127.0.0.1:3000/r/${await world.startToken(consent.id)}`]))
    expect(`${mail?.text}${mail?.html}`).not.toContain(await world.tokenOf(consent.id))
  })

  test('an unknown language is English, an unknown zone is UTC: still sent', async () => {
    const consent = await askedConsent(world, { locale: 'tlh', timeZone: 'Mars/Olympus' })
    expect(world.mailsTo(consent)[0]?.headers['content-language']).toMatch(/^en/)
  })
})

describe('a problem of the sender itself', () => {
  const owns: Record<string, { script: Script; cause: string }> = {
    'a daily limit, told after the message': {
      script: { dot: '550 5.4.5 Daily user sending limit exceeded' },
      cause: 'limit',
    },
    'a daily limit, told at the recipient': {
      script: { RCPT: '550 5.4.5 Daily sending quota exceeded' },
      cause: 'limit',
    },
    'a rate, without a number': {
      script: { dot: '454 Throttling failure: Maximum sending rate exceeded.' },
      cause: 'limit',
    },
    'an unverified sender': { script: { dot: '554 Message rejected: Email address is not verified.' }, cause: 'setup' },
    'relaying that is denied': { script: { RCPT: '554 5.7.1 Relay access denied' }, cause: 'setup' },
    DMARC: { script: { dot: '550 5.7.26 unauthenticated' }, cause: 'setup' },
  }
  test.each(Object.entries(owns))(
    '%s: waits as in an outage, uses up no try and no place, is reported, and is sent once it is solved',
    async (_, { script, cause }) => {
      const lines: Record<string, unknown>[] = []
      const log = makeLog({
        level: 'info',
        pretty: false,
        to: { write: (line: string) => void lines.push(JSON.parse(line)) },
      })
      const { consent, id } = await queued()
      const used = async () => (await world.db.prisma.messageHour.findMany()).reduce((sum, hour) => sum + hour.used, 0)
      const before = await used()
      const job = send(world, { channel: await scriptedChannel(script), log })
      for (let hours = 0; hours < 8; hours += 1) {
        expect(await job(id, aRun())).toMatchObject({
          kind: 'snooze',
          reason: expect.stringContaining(`message-unavailable (${cause})`),
        })
        expect(await message(id)).toMatchObject({ status: 'pending', attempts: 0, errorCode: 'message-unavailable' })
        expect(await minutesUntil(id)).toBeLessThanOrEqual(60)
        world.clock.advance({ hours: 1 })
      }
      expect(await used()).toBe(before)
      expect(lines.filter(({ alert }) => alert === 'message-unavailable')).toHaveLength(8)
      expect(lines.at(-1)).toMatchObject({
        alert: 'message-unavailable',
        error_code: 'message-unavailable',
        about: cause,
      })
      expect(await send(world)(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
      expect(world.mailsTo(consent)).toHaveLength(1)
    },
  )
})

test('a SIZE below our mail: failed with a code of its own, and reported', async () => {
  const lines: Record<string, unknown>[] = []
  const log = makeLog({
    level: 'info',
    pretty: false,
    to: { write: (line: string) => void lines.push(JSON.parse(line)) },
  })
  const { consent, id } = await queued()
  const done = await send(world, { channel: await scriptedChannel({ extensions: ['SIZE 1000'] }), log })(id, aRun())
  expect(done).toMatchObject({
    kind: 'done',
    what: expect.stringMatching(/^failed: the message has \d+ bytes, the server takes at most 1000 \(SIZE\)$/),
  })
  expect(await message(id)).toMatchObject({ status: 'failed', errorCode: 'message-too-large' })
  expect(lines).toEqual([
    expect.objectContaining({ error_code: 'message-too-large', detail: expect.stringContaining('1000') }),
  ])
  expect((await world.consentOf(consent.id)).status).toBe('active')
})

describe('an address beyond ASCII and a server without SMTPUTF8', () => {
  const beyond = () => ({ email: `zażółć-${Math.random().toString(36).slice(2)}@mail.test` })
  const plain = async () => scriptedChannel({ extensions: ['8BITMIME'] })

  test('no-channel with its reason; the next rung tries again, and succeeds once the server supports it', async () => {
    const { consent, id } = await queued(beyond())
    expect(await send(world, { channel: await plain() })(id, aRun())).toMatchObject({
      kind: 'done',
      what: expect.stringMatching(/^no-channel: the server offers no SMTPUTF8/),
    })
    expect(await message(id)).toMatchObject({ status: 'failed', errorCode: 'no-channel' })
    await renew(world)(consent.id, aRun())
    const row = await world.consentOf(consent.id)
    expect(row.nextActionReason).toMatch(/^no-channel: our mail server takes no address like this user’s/)
    expect(row.nextActionAt?.diff(consent.expiresAt).as('days')).toBe(-7)
    const listed = async (withoutChannel: boolean) =>
      (await listing(world.db).pageConsents({ withoutChannel })).some(({ id: one }) => one === consent.id)
    expect([await listed(true), await listed(false)]).toEqual([true, false])
    expect((await listing(world.db).statusCounts(world.clock.now())).withoutChannel).toBeGreaterThan(0)
    world.clock.set(consent.expiresAt.minus({ days: 7 }))
    await renew(world)(consent.id, aRun())
    const second = (await world.notificationsOf(consent.id))[1]?.id ?? ''
    expect(
      await send(world, { channel: await scriptedChannel({ extensions: ['SMTPUTF8', '8BITMIME'] }) })(second, aRun()),
    ).toEqual({ kind: 'done', what: 'sent -7d' })
    await renew(world)(consent.id, aRun())
    expect([await listed(true), await listed(false)]).toEqual([false, true])
  })

  test('another address by import: the same message goes there at once', async () => {
    const { consent, id } = await queued(beyond())
    await send(world, { channel: await plain() })(id, aRun())
    await renew(world)(consent.id, aRun())
    const { credentialsId, userId, providerId, country, redirectUri, expiresAt } = consent
    const email = `${consent.id}@example.com`
    const row = aRow({
      credentialsId,
      userId,
      providerId,
      country,
      redirectUri,
      expiresAt,
      email,
      providerName: undefined,
      scopes: undefined,
      name: undefined,
      locale: undefined,
      timeZone: undefined,
    })
    await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false })
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d sent'])
    expect(world.mailsTo({ ...consent, email })).toHaveLength(1)
    expect((await world.consentOf(consent.id)).nextActionReason).not.toContain('no-channel')
  })
})
