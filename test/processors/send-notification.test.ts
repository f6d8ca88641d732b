// Handing a message to the mail server, at most once: every way a mail server can fail, crashes, retries by hand.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { smtpChannel } from '../../src/notify/smtp-channel.ts'
import { Secret } from '../../src/secret.ts'
import type { FaultSettings } from '../../src/simulator/fault-kinds.ts'
import type { Consent } from '../../src/domain/model.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { askedConsent, bringUpToDate, endLease, eventTypes, renew, rungsSent, send, withStore } from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(() => world.simulator.faults.clear())

/** A consent with its first message queued. */
const queued = async (over: Partial<Consent> = {}) => {
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), ...over })
  await renew(world)(consent.id, aRun())
  return { consent, id: (await world.notificationsOf(consent.id))[0]?.id ?? '' }
}
const message = async (id: string) => world.db.prisma.notification.findUniqueOrThrow({ where: { id } })
const mailFault = (consent: Consent, settings: FaultSettings): void => void world.simulator.faults.add({ endpoint: 'mail', ...settings, only: consent.email ?? '' } as never)
const minutesUntil = async (id: string): Promise<number> => Math.round((((await message(id)).nextActionAt?.getTime() ?? Number.NaN) - world.clock.now().toMillis()) / 60_000)

describe('taken by the mail server', () => {
  test('sent once, with an event, and its Message-ID says which notification it is', async () => {
    const { consent, id } = await queued()
    expect(await send(world)(id, aRun())).toEqual({ kind: 'done', what: 'sent -14d' })
    expect(await message(id)).toMatchObject({ status: 'sent', attempts: 1, errorCode: null, nextActionAt: null, leaseUntil: null })
    expect(world.mailsTo(consent).map(({ message_id }) => message_id)).toEqual([`${id}@127.0.0.1`])
    expect((await eventTypes(world, consent.id)).slice(-3)).toEqual(['message.queued', 'message.sending', 'message.sent'])
  })

  test('running it twice, or ten times at once, acts once', async () => {
    const { consent, id } = await queued()
    await Promise.all(Array.from({ length: 10 }, async () => send(world)(id, aRun())))
    for (const manual of [false, true]) expect(await send(world)(id, aRun({ manual }))).toEqual({ kind: 'skipped', reason: 'the message is sent' })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })
})

describe('certainly not taken', () => {
  const deferrals: Record<string, FaultSettings> = {
    '451 to the recipient': { kind: 'rcpt-4xx' },
    '451 to the message': { kind: 'data-4xx' },
  }
  test.each(Object.entries(deferrals))('%s: again after 1 min, 10 min, 1 h, 4 h, then failed', async (_, fault) => {
    const { consent, id } = await queued()
    mailFault(consent, fault)
    const waits: number[] = []
    for (let time = 0; time < 4; time += 1) {
      expect((await send(world)(id, aRun())).kind).toBe('snooze')
      expect(await message(id)).toMatchObject({ status: 'pending', errorCode: 'mail-deferred', attempts: time + 1 })
      waits.push(await minutesUntil(id))
      expect(await send(world)(id, aRun())).toMatchObject({ kind: 'snooze', reason: 'not due yet' })
      world.clock.advance({ minutes: waits.at(-1) ?? 0, seconds: 1 })
    }
    expect(waits).toEqual([1, 10, 60, 240])
    expect(await send(world)(id, aRun())).toMatchObject({ kind: 'done', what: expect.stringContaining('failed after 5 tries') })
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

  test('nobody listens: deferred, never uncertain', async () => {
    const { id } = await queued()
    const channel = smtpChannel({ smtpUrl: new Secret('smtp://127.0.0.1:9'), from: 'consents@example.com', timeouts: { connectMs: 500, silenceMs: 500, totalMs: 1000 } })
    expect(await send(world, { channel })(id, aRun())).toMatchObject({ kind: 'snooze', reason: expect.stringContaining('mail-deferred') })
    expect((await message(id)).status).toBe('pending')
  })

  test('a person’s retry does not wait for the date', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-4xx', count: 1 })
    await send(world)(id, aRun())
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'done', what: 'sent -14d' })
  })

  const refusals: Record<string, FaultSettings> = { '550 to the recipient': { kind: 'rcpt-5xx' }, '554 to the message': { kind: 'data-5xx' } }
  test.each(Object.entries(refusals))('%s: failed, and the next rung is tried all the same', async (_, fault) => {
    const { consent, id } = await queued()
    mailFault(consent, { ...fault, count: 1 } as FaultSettings)
    await send(world)(id, aRun())
    expect(await message(id)).toMatchObject({ status: 'failed', errorCode: 'mail-refused' })
    expect(await send(world)(id, aRun())).toEqual({ kind: 'skipped', reason: 'the message is failed' })
    world.clock.set(consent.expiresAt.minus({ days: 7 }).plus({ seconds: 1 }))
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d failed', '-7d sent'])
  })

  test('failed, and a person retries it: sent', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-5xx', count: 1 })
    await send(world)(id, aRun())
    expect(await send(world)(id, aRun({ manual: true }))).toEqual({ kind: 'done', what: 'sent -14d' })
    expect(await message(id)).toMatchObject({ status: 'sent', attempts: 1 })
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('failed after all its tries, a person retries it while the mail server still defers: it has its tries again', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-4xx' })
    for (let time = 0; time < 5; time += 1) await send(world)(id, aRun({ manual: true }))
    expect((await message(id)).status).toBe('failed')
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'snooze' })
    expect(await minutesUntil(id)).toBe(1)
  })

  test('failed, renewed meanwhile, and a person retries it: no longer wanted', async () => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'rcpt-5xx' })
    await send(world)(id, aRun())
    await world.goToBank(consent.id, 'approve')
    await bringUpToDate(world, consent.id)
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('no longer wanted') })
    expect(world.mailsTo(consent)).toEqual([])
  })
})

describe('perhaps taken', () => {
  test.each([true, false])('the connection is cut after the final dot (mail stored: %s): uncertain, never sent again', async (stored) => {
    const { consent, id } = await queued()
    mailFault(consent, { kind: 'cut-after-dot', stored, count: 1 })
    expect(await send(world)(id, aRun())).toMatchObject({ kind: 'done', what: expect.stringContaining('uncertain') })
    expect(await message(id)).toMatchObject({ status: 'uncertain', errorCode: 'mail-uncertain', nextActionAt: null })
    for (const manual of [false, true]) expect(await send(world)(id, aRun({ manual }))).toEqual({ kind: 'skipped', reason: 'the message is uncertain' })
    await bringUpToDate(world, consent.id)
    expect(world.mailsTo(consent)).toHaveLength(stored ? 1 : 0)
    expect((await eventTypes(world, consent.id)).at(-1)).toBe('message.uncertain')
  })
})

describe('a crash', () => {
  test('before the intent: nothing is lost, the next worker sends', async () => {
    const { consent, id } = await queued()
    const store = withStore(world, { beginSending: async () => Promise.reject(new Error('died')) })
    await expect(send(world, { store })(id, aRun())).rejects.toThrow('died')
    expect((await send(world)(id, aRun())).kind).toBe('snooze')
    await endLease(world, 'notification', id)
    await send(world)(id, aRun())
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('between the intent and the mail server’s answer: uncertain when the lease is over, never sent again', async () => {
    const { consent, id } = await queued()
    const channel = { ...world.channel, send: async () => Promise.reject(new Error('died')) }
    await expect(send(world, { channel })(id, aRun())).rejects.toThrow('died')
    expect((await message(id)).status).toBe('sending')
    expect((await send(world)(id, aRun({ manual: true }))).kind).toBe('snooze')
    await endLease(world, 'notification', id)
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'done', what: expect.stringContaining('uncertain') })
    expect(await send(world)(id, aRun({ manual: true }))).toMatchObject({ kind: 'skipped' })
    expect(world.mailsTo(consent)).toEqual([])
  })

  test('between the answer and its record: the same, and the user has one mail', async () => {
    const { consent, id } = await queued()
    const store = withStore(world, { settleSending: async () => Promise.reject(new Error('died')) })
    await expect(send(world, { store })(id, aRun())).rejects.toThrow('died')
    await endLease(world, 'notification', id)
    await bringUpToDate(world, consent.id)
    expect(await rungsSent(world, consent.id)).toEqual(['-14d uncertain'])
    expect(world.mailsTo(consent)).toHaveLength(1)
  })

  test('a sender that sleeps past its lease changes nothing of what was settled since', async () => {
    const { consent, id } = await queued()
    const sleepy = {
      ...world.channel,
      send: async (...args: Parameters<typeof world.channel.send>) => {
        const delivery = await world.channel.send(...args)
        await endLease(world, 'notification', id)
        await send(world)(id, aRun())
        return delivery
      },
    }
    expect(await send(world, { channel: sleepy })(id, aRun())).toMatchObject({ kind: 'skipped', reason: expect.stringContaining('took over') })
    expect((await message(id)).status).toBe('uncertain')
    expect(world.mailsTo(consent)).toHaveLength(1)
  })
})

describe('what it says', () => {
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
