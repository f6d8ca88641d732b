// Two channels for one user: e-mail, and a test's own channel that an HTTP gateway on loopback serves. Each message of
// a rung goes its own way; the consent is asked about as a whole.
import type { Enqueue } from '../../src/processors/enqueue.ts'
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { judgeRequest } from '../../src/domain/renewal-request.ts'
import type { Consent } from '../../src/domain/model.ts'
import { makeLog } from '../../src/log.ts'
import { explain } from '../../src/presentation/explanation.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { aPolicy } from '../builders.ts'
import { aRow } from '../import/rows.ts'
import { scriptedSmtp } from '../notify/email/scripted-smtp.ts'
import { BOTH, type Gateway, gatewayChannel, registerGateway, startGateway, UNSERVED } from '../setup/gateway.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { smtpChannel } from '../../src/notify/email/smtp-channel.ts'
import { Secret } from '../../src/secret.ts'
import { bringUpToDate, dying, endLease, liveUntil, renew, send } from './rig.ts'

let gateway: Gateway
let world: World
registerGateway(() => gateway.url)

beforeAll(async () => {
  gateway = await startGateway()
  const started = await startWorld({ policy: { channels: BOTH } })
  const channels = { email: started.channel, gateway: gatewayChannel(gateway.url) }
  world = { ...started, jobs: { ...started.jobs, notification: send(started, { channels }) } }
})
afterAll(async () => {
  await world.close()
  await gateway.close()
})
afterEach(() => {
  gateway.answer(() => 202)
  world.simulator.faults.clear()
})

const both = () => ({ email: world.channel, gateway: gatewayChannel(gateway.url) })
const aPhone = (): string => `+44${randomUUID()}`
/** A user with an address and a phone, whose first rung is due. */
const add = async (over: Partial<Consent> = {}) =>
  world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), phone: aPhone(), ...over })
/** The same with the first rung queued. */
const queued = async (over: Partial<Consent> = {}) => {
  const consent = await add(over)
  await renew(world)(consent.id, aRun())
  return consent
}
const messages = async ({ id }: Consent): Promise<string[]> =>
  (await world.notificationsOf(id)).map(({ rung, channel, status }) => `${rung} ${channel} ${status}`).sort()
const rowOf = async ({ id }: Consent, channel: string) => {
  const row = (await world.notificationsOf(id)).find((message) => message.channel === channel)
  if (row === undefined) throw new Error(`no message by ${channel}`)
  return row
}
const came = (consent: Consent): [mails: number, texts: number] => [
  world.mailsTo(consent).length,
  gateway.textsTo(consent.phone).length,
]
const askByHand = async ({ id }: Consent): Promise<void> => {
  await world.db.prisma.renewal.updateMany({ where: { consentId: id }, data: { manualNo: { increment: 1 } } })
}

describe('one rung', () => {
  test('is one message by each channel, both with the same link, each sent once', async () => {
    const consent = await add()
    await bringUpToDate(world, consent.id)
    expect(await messages(consent)).toEqual(['-14d email sent', '-14d gateway sent'])
    const [mail] = world.mailsTo(consent)
    const [text] = gateway.textsTo(consent.phone)
    expect(text?.text).toContain(mail?.links[0])
    for (const { id } of await world.notificationsOf(consent.id)) await world.jobs.notification(id, aRun())
    expect(came(consent)).toEqual([1, 1])
    const events = (await world.eventsOf(consent.id)).map(({ type }) => type)
    expect(
      ['message.queued', 'message.sending', 'message.sent'].map((type) => events.filter((one) => one === type).length),
    ).toEqual([2, 2, 2])
  })

  test('reaches a user with one address by that channel alone', async () => {
    const mailed = await add({ phone: undefined })
    const texted = await add({ email: undefined })
    for (const { id } of [mailed, texted]) await bringUpToDate(world, id)
    expect([await messages(mailed), await messages(texted)]).toEqual([['-14d email sent'], ['-14d gateway sent']])
    expect((await world.consentOf(texted.id)).nextActionReason).not.toContain('no-channel')
  })

  test('is not made again for a channel that is imported after it', async () => {
    const consent = await add({ phone: undefined })
    await bringUpToDate(world, consent.id)
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { phone: aPhone() } })
    await renew(world)(consent.id, aRun({ manual: true }))
    expect(await messages(consent)).toEqual(['-14d email sent'])
    await liveUntil(world, consent.id, consent.expiresAt.minus({ days: 6 }))
    expect(await messages(consent)).toEqual(['-14d email sent', '-7d email sent', '-7d gateway sent'])
  })

  test('is explained by channel', async () => {
    const consent = await queued()
    gateway.answer(() => 503)
    await bringUpToDate(world, consent.id)
    const view = await world.store.getView(consent.id)
    const { rungs } = explain(view ?? (await Promise.reject(new Error('gone'))), world.clock.now(), world.policy)
    expect(
      rungs
        .filter(({ rung }) => rung === '-14d')
        .map(({ channel, state }) => [channel, state])
        .sort(),
    ).toEqual([
      ['email', 'sent'],
      ['gateway', 'pending'],
    ])
  })
})

describe('a newer message', () => {
  test('cancels the older one of its own channel alone', async () => {
    const consent = await queued()
    await world.db.prisma.consent.update({ where: { id: consent.id }, data: { email: null } })
    await askByHand(consent)
    await renew(world)(consent.id, aRun())
    expect(await messages(consent)).toEqual([
      '-14d email pending',
      '-14d gateway cancelled',
      'manual-1 gateway pending',
    ])
  })

  test('of the next rung takes the place of the one that a channel could not send, and disturbs no other', async () => {
    const consent = await queued()
    gateway.answer(() => 503)
    await liveUntil(world, consent.id, consent.expiresAt.minus({ days: 7, seconds: 1 }))
    expect(await messages(consent)).toEqual(['-14d email sent', '-14d gateway pending'])
    gateway.answer(() => 202)
    // The first that happens is the next rung: its job runs before the text's next try.
    world.clock.set(consent.expiresAt.minus({ days: 7 }).plus({ seconds: 1 }))
    await renew(world)(consent.id, aRun())
    await bringUpToDate(world, consent.id)
    expect(await messages(consent)).toEqual([
      '-14d email sent',
      '-14d gateway cancelled',
      '-7d email sent',
      '-7d gateway sent',
    ])
    expect(came(consent)).toEqual([2, 1])
  })
})

describe('one channel is unavailable', () => {
  test('the gateway: only its messages wait, and its try is not counted', async () => {
    const lines: string[] = []
    const log = makeLog({ level: 'warn', pretty: false, to: { write: (line: string) => lines.push(line) } as never })
    const consent = await queued()
    gateway.answer(() => 503)
    const job = send(world, { channels: both(), log })
    for (const { id } of await world.notificationsOf(consent.id)) await job(id, aRun())
    expect(await messages(consent)).toEqual(['-14d email sent', '-14d gateway pending'])
    expect(await rowOf(consent, 'gateway')).toMatchObject({ errorCode: 'message-unavailable', attempts: 0 })
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { alert: 'message-unavailable', channel: 'gateway', about: 'outage' },
    ])
    gateway.answer(() => 202)
    await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 2 }))
    expect(came(consent)).toEqual([1, 1])
  })

  test('the mail server: a text goes out all the same, and each channel is reported', async () => {
    const lines: string[] = []
    const log = makeLog({ level: 'warn', pretty: false, to: { write: (line: string) => lines.push(line) } as never })
    const consent = await queued()
    const other = await queued()
    const away = { smtpUrl: new Secret('smtp://127.0.0.1:9'), from: 'consents@example.com' }
    const mail = smtpChannel({ ...away, timeouts: { connectMs: 1_000, silenceMs: 1_000, totalMs: 2_000 } })
    const job = send(world, { channels: { ...both(), email: { ...world.channel, ...mail } }, log })
    for (const { id } of await world.notificationsOf(consent.id)) await job(id, aRun())
    gateway.answer(() => 429)
    for (const { id } of await world.notificationsOf(other.id)) await job(id, aRun())
    expect(await messages(consent)).toEqual(['-14d email pending', '-14d gateway sent'])
    expect(await messages(other)).toEqual(['-14d email pending', '-14d gateway pending'])
    expect(lines.map((line) => (JSON.parse(line) as { channel: string }).channel).sort()).toEqual(['email', 'gateway'])
  })

  test('a text that the gateway puts off is tried by its own schedule: once more after two minutes', async () => {
    const consent = await queued()
    gateway.answer(() => 425)
    await bringUpToDate(world, consent.id)
    const { nextActionAt, attempts } = await rowOf(consent, 'gateway')
    const waits = ((nextActionAt?.getTime() ?? 0) - world.clock.now().toMillis()) / 60_000
    expect([Math.round(waits), attempts]).toEqual([2, 1])
    await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 3 }))
    expect(await messages(consent)).toEqual(['-14d email sent', '-14d gateway failed'])
  })
})

describe('no channel', () => {
  const reasonOf = async ({ id }: Consent) => (await world.consentOf(id)).nextActionReason
  const unreached = async (): Promise<string[]> =>
    (await listing(world.db, BOTH).pageConsents({ withoutChannel: true })).map(({ id }) => id)

  test('only without any address: then nothing is queued, and a request by hand is refused', async () => {
    const nobody = await add({ email: undefined, phone: undefined })
    const texted = await add({ email: undefined })
    for (const { id } of [nobody, texted]) await bringUpToDate(world, id)
    expect(await reasonOf(nobody)).toContain('no-channel')
    const listed = await unreached()
    expect([listed.includes(nobody.id), listed.includes(texted.id)]).toEqual([true, false])
    expect(judgeRequest(nobody, world.clock.now(), world.policy)).toEqual({
      kind: 'refused',
      reason:
        'no-channel: there is no usable address for this user; import the consent with one first (email or phone)',
    })
    expect(judgeRequest(texted, world.clock.now(), world.policy).kind).toBe('allowed')
  })

  test('only when every channel has turned its address down, with the reason of each', async () => {
    const plain = await scriptedSmtp({ extensions: ['8BITMIME'] })
    const mail = smtpChannel({
      smtpUrl: new Secret(`smtp://127.0.0.1:${plain.port}`),
      from: 'consents@example.com',
      timeouts: { connectMs: 1_000, silenceMs: 1_000, totalMs: 2_000 },
    })
    const notification = send(world, { channels: { ...both(), email: { ...world.channel, ...mail } } })
    const here = { ...world, jobs: { ...world.jobs, notification } }
    const served = await add({ email: `zażółć-${randomUUID()}@mail.test` })
    const unserved = await add({ email: `zażółć-${randomUUID()}@mail.test`, phone: `${UNSERVED}${randomUUID()}` })
    gateway.answer(({ to }) => (to.startsWith(UNSERVED) ? 410 : 202))
    for (const { id } of [served, unserved]) await bringUpToDate(here, id)
    expect(await messages(served)).toEqual(['-14d email failed', '-14d gateway sent'])
    expect(await messages(unserved)).toEqual(['-14d email failed', '-14d gateway failed'])
    expect(await reasonOf(served)).not.toContain('no-channel')
    expect(await reasonOf(unserved)).toMatch(
      /^no-channel: our mail server takes no address .* SMTPUTF8; the gateway does not serve this country; the next/,
    )
    // A new number is written to at once; the address that is as it was is not.
    const { credentialsId, userId, providerId, country, redirectUri, email, expiresAt } = unserved
    const row = aRow({ credentialsId, userId, providerId, country, redirectUri, email, expiresAt, phone: aPhone() })
    expect(
      await imports(world.db, world.policy).importBatch([row], { now: world.clock.now(), correct: false }),
    ).toMatchObject([{ kind: 'updated' }])
    await bringUpToDate(here, unserved.id)
    expect(await messages(unserved)).toEqual(['-14d email failed', '-14d gateway sent'])
    mail.close()
    await plain.close()
  })

  test('a stored message of a channel that is gone: cancelled', async () => {
    const consent = await queued({ phone: undefined })
    const { id } = await rowOf(consent, 'email')
    await world.db.prisma.notification.update({ where: { id }, data: { channel: 'pigeon' } })
    expect(await world.jobs.notification(id, aRun())).toMatchObject({ reason: expect.stringContaining('no-channel') })
    expect(await messages(consent)).toEqual(['-14d pigeon cancelled'])
  })

  test('a channel that is not in use: nothing is queued for it, and what was queued before is cancelled', async () => {
    const policy = aPolicy({ channels: ['email'] })
    const [old, fresh, texted] = [await queued(), await add(), await add({ email: undefined })]
    const text = await rowOf(old, 'gateway')
    const job = send(world, { policy, channels: { email: world.channel } })
    expect(await job(text.id, aRun())).toMatchObject({ reason: expect.stringContaining('not in use') })
    for (const { id } of [fresh, texted]) await renew(world, { policy })(id, aRun())
    expect(await messages(old)).toEqual(['-14d email pending', '-14d gateway cancelled'])
    expect([await messages(fresh), await messages(texted)]).toEqual([['-14d email pending'], []])
    expect(await reasonOf(texted)).toContain('no-channel: there is no usable address')
    const listed = await listing(world.db, policy.channels).pageConsents({ withoutChannel: true })
    expect(listed.map(({ id }) => id)).toContain(texted.id)
  })

  test('past grace a user with a phone alone is asked once, by text', async () => {
    const policy = aPolicy({ channels: BOTH, afterGrace: 'ask-once', routes: ['reauth', 'full'] })
    const consent = await add({ email: undefined, expiresAt: world.clock.now().minus({ days: 91 }) })
    await renew(world, { policy })(consent.id, aRun())
    const [id = ''] = (await world.notificationsOf(consent.id)).map((row) => row.id)
    await send(world, { policy, channels: both() })(id, aRun())
    expect(await messages(consent)).toEqual(['after-grace gateway sent'])
  })
})

test('the cap counts both: the message that is over it waits for the next hour', async () => {
  const consent = await queued()
  world.clock.set(world.clock.now().startOf('hour').plus({ hours: 1 }))
  const policy = { ...world.policy, limits: { messagesPerHour: 1 } }
  const job = send(world, { policy, channels: both() })
  for (const { id } of await world.notificationsOf(consent.id)) await job(id, aRun())
  expect(came(consent).reduce((sum, count) => sum + count, 0)).toBe(1)
  world.clock.advance({ hours: 1 })
  for (const { id } of await world.notificationsOf(consent.id)) await job(id, aRun())
  expect(came(consent)).toEqual([1, 1])
})

describe('a crash', () => {
  test('between the two messages’ jobs: neither is lost, neither sent twice', async () => {
    const consent = await add()
    const handedOver: string[] = []
    const enqueue: Enqueue = async (_, record) => {
      if (handedOver.length === 1) throw new Error('died')
      handedOver.push(typeof record === 'string' ? record : record.id)
    }
    await expect(renew(world, { enqueue, store: dying(world) })(consent.id, aRun())).rejects.toThrow('died')
    expect(await messages(consent)).toEqual(['-14d email pending', '-14d gateway pending'])
    for (const id of handedOver) await world.jobs.notification(id, aRun())
    await endLease(world, 'consent', consent.id)
    await bringUpToDate(world, consent.id)
    expect([await messages(consent), came(consent)]).toEqual([
      ['-14d email sent', '-14d gateway sent'],
      [1, 1],
    ])
  })

  test('before the step is committed: the next run makes both, once', async () => {
    const consent = await add()
    const died = async () => Promise.reject(new Error('died'))
    const store = dying(world, { commitStep: died, backOff: died })
    await expect(renew(world, { store })(consent.id, aRun())).rejects.toThrow('died')
    expect(await messages(consent)).toEqual([])
    await endLease(world, 'consent', consent.id)
    await bringUpToDate(world, consent.id)
    expect([await messages(consent), came(consent)]).toEqual([
      ['-14d email sent', '-14d gateway sent'],
      [1, 1],
    ])
  })

  test('while one is sent: it is uncertain and never sent again, the other is sent', async () => {
    const consent = await queued()
    gateway.answer(() => 'cut')
    await bringUpToDate(world, consent.id)
    expect(await messages(consent)).toEqual(['-14d email sent', '-14d gateway uncertain'])
    gateway.answer(() => 202)
    await liveUntil(world, consent.id, world.clock.now().plus({ days: 1 }))
    expect(came(consent)).toEqual([1, 1])
  })
})

test('a request by hand is not repeated while a channel still has the first one, or has just sent it', async () => {
  const consent = await queued()
  const operator = administration(world.db, world.policy)
  const ask = async () => operator.requestRenewal(consent.id, { now: world.clock.now(), reason: 'support' })
  expect((await ask()).kind).toBe('done')
  gateway.answer(() => 503)
  await bringUpToDate(world, consent.id)
  expect((await messages(consent)).slice(2)).toEqual(['manual-1 email sent', 'manual-1 gateway pending'])
  expect(await ask()).toMatchObject({ kind: 'unchanged', detail: expect.stringContaining('on its way') })
  gateway.answer(() => 400)
  await liveUntil(world, consent.id, world.clock.now().plus({ minutes: 2 }))
  expect((await messages(consent)).slice(2)).toEqual(['manual-1 email sent', 'manual-1 gateway failed'])
  expect(await ask()).toMatchObject({ kind: 'refused', detail: expect.stringContaining('hours ago') })
})

test('a pause keeps both messages back, and both go out when the consent comes back', async () => {
  const consent = await queued()
  const operator = administration(world.db, world.policy)
  await operator.pauseConsent(consent.id, { now: world.clock.now(), reason: 'a look' })
  expect(await messages(consent)).toEqual(['-14d email cancelled', '-14d gateway cancelled'])
  await operator.resumeConsent(consent.id, { now: world.clock.now(), reason: 'seen' })
  await bringUpToDate(world, consent.id)
  expect([await messages(consent), came(consent)]).toEqual([
    ['-14d email sent', '-14d gateway sent'],
    [1, 1],
  ])
})
