// Webhooks from the event table to real receivers: order, independence, retries, gaps, replays, and crashes.
import { Duration } from 'luxon'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { DISABLED_AFTER, FAILURES_UNTIL_AWAY, replayDelays, webhookDelays } from '../../src/domain/webhook-retries.ts'
import { PermanentError, TransientError } from '../../src/errors.ts'
import { deliverWebhooks } from '../../src/processors/deliver-webhooks.ts'
import { sweep, WEBHOOK_TRIES_LAST } from '../../src/processors/sweep.ts'
import { sequenceEvents } from '../../src/store/event-sequencer.ts'
import type { EventType } from '../../src/store/events.ts'
import { webhookDelivering } from '../../src/store/webhook-deliveries.ts'
import { webhookAdministration } from '../../src/store/webhook-endpoints.ts'
import type { WebhookDelivering } from '../../src/store/webhook-port.ts'
import { webhookSender } from '../../src/webhooks/sender.ts'
import { newWebhookSecret } from '../../src/webhooks/signature.ts'
import { appendEvent } from '../setup/append-event.ts'
import { startWorld, type World } from '../setup/world.ts'
import { hangs, startReceiver, status, verified } from '../webhooks/receiver.ts'
import { silent } from './rig.ts'

let world: World
let store: WebhookDelivering
let endpoints: ReturnType<typeof webhookAdministration>
beforeAll(async () => {
  world = await startWorld()
  store = webhookDelivering(world.db)
  endpoints = webhookAdministration(world.db)
})
afterAll(async () => world.close())
beforeEach(async () => {
  await world.db.prisma.webhookEndpoint.deleteMany()
  await world.db.prisma.webhookDelivery.deleteMany()
})

const aCourier = (over: Partial<Parameters<typeof deliverWebhooks>[0]> = {}) => {
  const recorded: string[] = []
  const courier = deliverWebhooks({
    store,
    send: webhookSender({ isDevelopment: true }),
    clock: world.clock,
    log: silent,
    record: (result) => recorded.push(result),
    ...over,
  })
  /** Places what was written, takes up what is due, and waits until nothing is under way. */
  const deliver = async (): Promise<void> => {
    await sequenceEvents(world.db)
    await courier.tick()
    await courier.idle()
  }
  return { ...courier, deliver, recorded }
}

const aReceiver = async () => {
  const receiver = await startReceiver()
  onTestFinished(receiver.close)
  return receiver
}

const anEndpoint = async (types: readonly string[] = []) => {
  const receiver = await aReceiver()
  const secret = newWebhookSecret()
  const added = await endpoints.addEndpoint({ url: receiver.url, types, secret, now: world.clock.now() })
  if (added.kind !== 'added') throw new Error(added.kind)
  return { receiver, secret, id: added.id }
}

const aConsent = async () => world.addConsent({ expiresAt: world.clock.now().plus({ days: 60 }) })
const happens = async (consentId: string, ...types: EventType[]): Promise<void> => {
  for (const type of types)
    await world.db.transaction(async (tx) =>
      appendEvent(tx, consentId, { type, at: world.clock.now(), actor: 'system', data: {} }),
    )
}
const endpoint = async (id: string) => (await endpoints.listEndpoints()).find((one) => one.id === id)!
const backlogs = async (endpointId: string) => world.db.prisma.webhookBacklog.findMany({ where: { endpointId } })
const tries = async (endpointId: string) =>
  (await endpoints.listDeliveries({ endpointId, failedOnly: false, limit: 1_000 })).toReversed()
/** To the next try of what waits: the jitter is a tenth at most. */
const moveOn = (delay: Duration): void => world.clock.advance({ milliseconds: Math.ceil(delay.toMillis() * 1.11) })

describe('what is told', () => {
  test('a whole renewal, in its order, signed, with nothing secret', async () => {
    const { receiver, secret } = await anEndpoint()
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    await world.drain()
    await world.goToBank(consent.id, 'approve')
    await world.drain()
    await aCourier().deliver()
    expect(receiver.received.map(({ type }) => type)).toEqual([
      'consent.renewal_opened',
      'consent.asked',
      'consent.renewed',
    ])
    const sequences = receiver.sequencesOf(consent.id)
    expect(sequences).toEqual(sequences.toSorted((one, other) => one - other))
    for (const received of receiver.received) {
      expect(verified(received, secret.reveal())).toEqual({
        type: received.type,
        timestamp: expect.stringMatching(/^2\d{3}-\d\d-\d\dT.*Z$/),
        data: {
          consent_id: consent.id,
          credentials_id: consent.credentialsId,
          user_id: consent.userId,
          sequence: received.sequence,
        },
      })
      expect(received.id).toMatch(new RegExp(`^evt_${consent.id}_${received.sequence}_[0-9a-f]{8}$`))
      expect(received.body).not.toContain(consent.email)
    }
    await world.db.prisma.$executeRaw`UPDATE consents SET status = 'paused', next_action_at = NULL`
  })

  test('an endpoint is told of its types alone, and of nothing that was before it', async () => {
    const consent = await aConsent()
    await happens(consent.id, 'consent.quarantined')
    const { receiver, id } = await anEndpoint(['consent.quarantined', 'token.rejected'])
    await happens(consent.id, 'consent.paused', 'consent.lapsed', 'token.rejected', 'link.made')
    await aCourier().deliver()
    expect(receiver.received.map(({ type }) => type)).toEqual(['token.rejected'])
    expect(await endpoint(id)).toMatchObject({ behind: 0, failingConsents: 0 })
  })

  test('what an endpoint does not want is passed over at once, however much it is', async () => {
    const { receiver, id } = await anEndpoint(['consent.lapsed'])
    const consent = await aConsent()
    await world.db.prisma.$executeRaw`
      INSERT INTO events (consent_id, seq, type, at, actor, hash)
      SELECT ${consent.id}::uuid, seq, CASE WHEN seq = 12000 THEN 'consent.lapsed' ELSE 'token.replaced' END, now(),
        'system', repeat('0', 64)
      FROM generate_series(1, 12000) AS seq`
    await sequenceEvents(world.db, 20_000)
    await aCourier().deliver()
    expect(receiver.sequencesOf(consent.id)).toEqual([12_000])
    expect((await endpoint(id)).behind).toBe(0)
  })

  test('many events of many consents: each consent in its own order, and each once', async () => {
    const { receiver, id } = await anEndpoint()
    const consents = await Promise.all(Array.from({ length: 30 }, aConsent))
    for (let round = 0; round < 8; round += 1)
      for (const { id: consentId } of consents) await happens(consentId, 'token.replaced')
    receiver.answer = (response) => setTimeout(() => status(204)(response, receiver.received[0]!), Math.random() * 20)
    await aCourier().deliver()
    for (const consent of consents)
      expect(receiver.sequencesOf(consent.id)).toEqual(Array.from({ length: 8 }, (_, index) => index + 1))
    expect(await backlogs(id)).toEqual([])
    expect(await tries(id)).toHaveLength(240)
  })
})

describe('without an endpoint', () => {
  test('the database is asked once a minute, and no row is written', async () => {
    let asked = 0
    const courier = aCourier({
      store: { ...store, hasEndpoints: async () => ((asked += 1), store.hasEndpoints()) },
    })
    await happens((await aConsent()).id, 'consent.renewed')
    for (let round = 0; round < 5; round += 1) await courier.deliver()
    expect(asked).toBe(1)
    expect(await world.db.prisma.webhookDelivery.count()).toBe(0)
  })
})

describe('endpoints are independent', () => {
  test('one hangs: another gets everything meanwhile', async () => {
    const slow = await anEndpoint()
    const quick = await anEndpoint()
    slow.receiver.answer = hangs
    const courier = aCourier({ send: webhookSender({ isDevelopment: true, timeoutMs: 3_000 }) })
    const consent = await aConsent()
    await happens(consent.id, 'renewal.opened')
    await sequenceEvents(world.db)
    await courier.tick()
    await expect.poll(() => slow.receiver.received.length).toBe(1)
    for (let round = 0; round < 3; round += 1) {
      await happens(consent.id, 'token.replaced')
      await sequenceEvents(world.db)
      const taken = async (): Promise<number> => {
        await courier.tick()
        return quick.receiver.received.length
      }
      await expect.poll(taken).toBe(round + 2)
    }
    expect(quick.receiver.sequencesOf(consent.id)).toEqual([1, 2, 3, 4])
    expect(slow.receiver.received).toHaveLength(1)
    await courier.idle()
  })
})

describe('what is not taken', () => {
  test('waits with all that follows of its consent; other consents go on', async () => {
    const { receiver, id } = await anEndpoint()
    const [first, other] = [await aConsent(), await aConsent()]
    receiver.answer = (response, { consentId }) =>
      status(consentId === first.id && receiver.sequencesOf(first.id).length < 3 ? 500 : 200)(
        response,
        receiver.received[0]!,
      )
    const courier = aCourier()
    await happens(first.id, 'renewal.opened', 'message.sent')
    await happens(other.id, 'renewal.opened')
    await courier.deliver()
    expect(receiver.sequencesOf(first.id)).toEqual([1])
    expect(receiver.sequencesOf(other.id)).toEqual([1])
    expect(await backlogs(id)).toMatchObject([{ consentId: first.id, seq: 1, failedTries: 1 }])
    await happens(first.id, 'consent.renewed')
    await courier.deliver()
    expect(receiver.sequencesOf(first.id)).toEqual([1])
    moveOn(webhookDelays[0]!)
    await courier.deliver()
    expect(receiver.sequencesOf(first.id)).toEqual([1, 1])
    moveOn(webhookDelays[1]!)
    await courier.deliver()
    expect(receiver.sequencesOf(first.id)).toEqual([1, 1, 1, 2, 3])
    expect(
      new Set(
        receiver.received
          .filter(({ sequence, consentId }) => sequence === 1 && consentId === first.id)
          .map((one) => one.id),
      ).size,
    ).toBe(1)
    expect(await backlogs(id)).toEqual([])
    expect(courier.recorded.toSorted()).toEqual([
      'delivered',
      'delivered',
      'delivered',
      'delivered',
      'failed',
      'failed',
    ])
  })

  test('ten tries in three days; then its consent goes on, and the next event names the gap', async () => {
    const { receiver, id } = await anEndpoint()
    const [poor, well] = [await aConsent(), await aConsent()]
    receiver.answer = (response, received) =>
      status(received.consentId === poor.id && received.sequence === 1 ? 422 : 200)(response, received)
    const courier = aCourier()
    await happens(poor.id, 'renewal.opened', 'message.sent', 'consent.renewed')
    await courier.deliver()
    const begun = world.clock.now()
    for (const [index, delay] of webhookDelays.entries()) {
      expect(receiver.sequencesOf(poor.id)).toHaveLength(index + 1)
      // Just before a tenth less, it is not due.
      world.clock.advance({ milliseconds: delay.toMillis() * 0.89 })
      await courier.deliver()
      expect(receiver.sequencesOf(poor.id)).toHaveLength(index + 1)
      world.clock.advance({ milliseconds: delay.toMillis() * 0.22 })
      // Others are delivered meanwhile, so the endpoint is not disabled.
      await happens(well.id, 'token.replaced')
      await courier.deliver()
    }
    expect(world.clock.now().diff(begun).as('hours')).toBeGreaterThan(72)
    expect(receiver.sequencesOf(poor.id)).toEqual([...Array.from({ length: 10 }, () => 1), 2, 3])
    const gap = {
      id: receiver.received.find((one) => one.consentId === poor.id)?.id,
      type: 'consent.renewal_opened',
      sequence: 1,
    }
    expect(
      receiver.received
        .filter(({ consentId }) => consentId === poor.id)
        .slice(-2)
        .map(({ gaps }) => gaps),
    ).toEqual([[gap], []])
    const log = (await tries(id)).filter((one) => one.consentId === poor.id)
    expect(log.map(({ result }) => result)).toEqual([
      ...Array.from({ length: 9 }, () => 'failed'),
      'given-up',
      'delivered',
      'delivered',
    ])
    expect(log.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 1])
    expect(await backlogs(id)).toEqual([])
    expect(courier.recorded.filter((result) => result === 'given-up')).toHaveLength(1)
    expect((await endpoint(id)).status).toBe('enabled')
  })

  test('a gap that no event follows yet is named by the next one, days later', async () => {
    const { receiver, id } = await anEndpoint()
    const consent = await aConsent()
    receiver.answer = status(500)
    const courier = aCourier()
    await happens(consent.id, 'renewal.opened')
    await courier.deliver()
    await world.db.prisma.webhookBacklog.updateMany({ data: { failedTries: 9 } })
    moveOn(webhookDelays[0]!)
    await courier.deliver()
    expect(await backlogs(id)).toMatchObject([{ seq: null, gaps: [1], nextTryAt: null }])
    receiver.answer = status(200)
    await happens(consent.id, 'consent.renewed')
    await courier.deliver()
    expect(receiver.received.at(-1)).toMatchObject({ sequence: 2, gaps: [{ sequence: 1 }] })
    expect(await backlogs(id)).toEqual([])
  })

  test('Retry-After: nothing is sent to the endpoint before, and the event waits at least as long', async () => {
    const { receiver, id } = await anEndpoint()
    const consents = [await aConsent(), await aConsent()]
    receiver.answer = status(429, { 'retry-after': '3600' })
    const courier = aCourier()
    await happens(consents[0]!.id, 'renewal.opened')
    await courier.deliver()
    receiver.answer = status(200)
    await happens(consents[1]!.id, 'renewal.opened')
    world.clock.advance({ minutes: 59 })
    await courier.deliver()
    expect(receiver.received).toHaveLength(1)
    expect((await endpoint(id)).restsUntil).toBeDefined()
    world.clock.advance({ minutes: 2 })
    await courier.deliver()
    expect(receiver.received).toHaveLength(3)
    expect(await endpoint(id)).toMatchObject({ behind: 0, failingConsents: 0 })
  })

  test('an endpoint that is away gets a probe each five minutes, and everything when it is back', async () => {
    const { receiver, id } = await anEndpoint()
    receiver.answer = status(502)
    const courier = aCourier()
    const consents = await Promise.all(Array.from({ length: 60 }, aConsent))
    for (const { id: consentId } of consents) await happens(consentId, 'renewal.opened')
    await courier.deliver()
    const first = receiver.received.length
    expect(first).toBeGreaterThanOrEqual(FAILURES_UNTIL_AWAY)
    // As many as were on their way, and not one row for each consent.
    expect((await backlogs(id)).length).toBeLessThan(FAILURES_UNTIL_AWAY + 8)
    await courier.deliver()
    expect(receiver.received).toHaveLength(first)
    for (let round = 1; round <= 3; round += 1) {
      moveOn(Duration.fromObject({ minutes: 5 }))
      await courier.deliver()
      expect(receiver.received).toHaveLength(first + round)
    }
    receiver.answer = status(200)
    moveOn(Duration.fromObject({ minutes: 5 }))
    await courier.deliver()
    expect(new Set(receiver.received.slice(first + 3).map(({ consentId }) => consentId)).size).toBe(60)
    expect(await endpoint(id)).toMatchObject({ behind: 0, failingConsents: 0, failingSince: undefined })
  })
})

describe('events that a receiver rejects for ever', () => {
  /** Twelve, so that the endpoint counts as away, and a receiver that takes everything else. */
  const twelveRejected = async () => {
    const { receiver, id } = await anEndpoint()
    const poor = await Promise.all(Array.from({ length: 12 }, aConsent))
    const isPoor = new Set(poor.map((consent) => consent.id))
    receiver.answer = (response, received) => status(isPoor.has(received.consentId) ? 400 : 200)(response, received)
    for (const consent of poor) await happens(consent.id, 'renewal.opened')
    return { receiver, id, poor }
  }

  test('what is new is delivered beside them, each time', async () => {
    const { receiver, id } = await twelveRejected()
    const courier = aCourier()
    await courier.deliver()
    for (let round = 0; round < 3; round += 1) {
      const well = await aConsent()
      await happens(well.id, 'renewal.opened')
      for (let probe = 0; probe < 2; probe += 1) {
        moveOn(Duration.fromObject({ minutes: 5 }))
        await courier.deliver()
      }
      expect(receiver.sequencesOf(well.id)).toEqual([1])
    }
    expect(await endpoint(id)).toMatchObject({ status: 'enabled', behind: 0 })
  })

  test('after their ten tries they are given up, although the endpoint went away and came back meanwhile', async () => {
    const { receiver, id, poor } = await twelveRejected()
    const courier = aCourier()
    await courier.deliver()
    for (const delay of [...webhookDelays, ...webhookDelays.slice(-2)]) {
      moveOn(delay)
      const well = await aConsent()
      await happens(well.id, 'renewal.opened')
      for (let probe = 0; probe < 3; probe += 1) {
        await courier.deliver()
        moveOn(Duration.fromObject({ minutes: 5 }))
      }
      expect(receiver.sequencesOf(well.id)).toEqual([1])
    }
    expect(await backlogs(id)).toMatchObject(poor.map(() => ({ seq: null, gaps: [1] })))
    expect((await endpoint(id)).status).toBe('enabled')
  })

  test('enabled again, it gets what is new first', async () => {
    const { receiver, id } = await twelveRejected()
    const courier = aCourier()
    await courier.deliver()
    await world.db.prisma.webhookEndpoint.updateMany({
      data: { status: 'disabled', disabledReason: 'no-success', disabledAt: world.clock.now().toJSDate() },
    })
    const well = await aConsent()
    await happens(well.id, 'renewal.opened')
    await endpoints.enableEndpoint(id, world.clock.now())
    await courier.deliver()
    expect(receiver.sequencesOf(well.id)).toEqual([1])
  })

  test('a restarted receiver that rejects one of what waits is found to be back by another', async () => {
    const { receiver, id } = await anEndpoint()
    const consents = await Promise.all(Array.from({ length: 10 }, aConsent))
    for (const consent of consents) await happens(consent.id, 'renewal.opened')
    receiver.answer = status(502)
    const courier = aCourier()
    await courier.deliver()
    expect(await endpoint(id)).toMatchObject({ behind: 0, failingConsents: 10 })
    const first = (await world.db.prisma.webhookBacklog.findFirst({ orderBy: { nextTryAt: 'asc' } }))?.consentId
    receiver.answer = (response, received) => status(received.consentId === first ? 400 : 200)(response, received)
    for (let probe = 0; probe < 4; probe += 1) {
      moveOn(Duration.fromObject({ seconds: 5 }))
      await courier.deliver()
    }
    expect(await endpoint(id)).toMatchObject({ failingConsents: 1, status: 'enabled' })
  })
})

describe('an endpoint that comes and goes', () => {
  test('does not use up the tries of what waits: they are spread over three days all the same', async () => {
    const { receiver, id } = await anEndpoint()
    const consents = await Promise.all(Array.from({ length: 12 }, aConsent))
    for (const consent of consents) await happens(consent.id, 'renewal.opened')
    receiver.answer = status(502)
    const courier = aCourier()
    await courier.deliver()
    // For two hours it takes one event, and fails at all others.
    for (let round = 0; round < 12; round += 1) {
      const well = await aConsent()
      await happens(well.id, 'token.replaced')
      receiver.answer = (response, received) => status(received.consentId === well.id ? 200 : 502)(response, received)
      for (let probe = 0; probe < 2; probe += 1) {
        moveOn(Duration.fromObject({ minutes: 5 }))
        await courier.deliver()
      }
    }
    const waiting = (await backlogs(id)).filter(({ seq }) => seq !== null)
    expect(waiting).toHaveLength(12)
    for (const { failedTries } of waiting) expect(failedTries).toBeLessThanOrEqual(4)
    receiver.answer = status(200)
    for (let probe = 0; probe < 2; probe += 1) {
      moveOn(Duration.fromObject({ minutes: 5 }))
      await courier.deliver()
    }
    expect(await endpoint(id)).toMatchObject({ behind: 0, failingConsents: 0 })
  })
})

describe('several answers at once', () => {
  test('a 410 among successes disables it', async () => {
    const { receiver, id } = await anEndpoint()
    const consents = await Promise.all(Array.from({ length: 8 }, aConsent))
    for (const consent of consents) await happens(consent.id, 'renewal.opened')
    const waiting: Parameters<typeof receiver.answer>[] = []
    receiver.answer = (...one) => {
      waiting.push(one)
      if (waiting.length < 8) return
      const [[gone, received], ...others] = waiting as [(typeof waiting)[number], ...typeof waiting]
      // The others are answered once this answer has left.
      gone.on('close', () => others.forEach((other) => status(200)(...other)))
      status(410, { connection: 'close' })(gone, received)
    }
    await aCourier().deliver()
    expect(await endpoint(id)).toMatchObject({ status: 'disabled', disabledReason: 'gone' })
  })
})

describe('an endpoint is disabled', () => {
  test('by 410 at once; enabled again, it gets what waited', async () => {
    const { receiver, id } = await anEndpoint()
    const consent = await aConsent()
    receiver.answer = status(410)
    const courier = aCourier()
    await happens(consent.id, 'renewal.opened', 'message.sent')
    await courier.deliver()
    expect(await endpoint(id)).toMatchObject({ status: 'disabled', disabledReason: 'gone' })
    expect(await endpoints.countDisabled()).toBe(1)
    receiver.answer = status(200)
    await happens(consent.id, 'consent.renewed')
    world.clock.advance({ days: 1 })
    await courier.deliver()
    expect(receiver.received).toHaveLength(1)
    expect(await endpoints.enableEndpoint(id, world.clock.now())).toBe('enabled')
    expect(await endpoints.enableEndpoint(id, world.clock.now())).toBe('unchanged')
    await aCourier().deliver()
    expect(receiver.sequencesOf(consent.id)).toEqual([1, 1, 2, 3])
    expect(await endpoints.countDisabled()).toBe(0)
  })

  test('by three days without any success, and not a moment earlier', async () => {
    const { receiver, id } = await anEndpoint()
    receiver.answer = status(500)
    const courier = aCourier()
    await happens((await aConsent()).id, 'renewal.opened')
    await courier.deliver()
    const since = (await endpoint(id)).failingSince!
    for (let hours = 0; hours < 71; hours += 1) {
      await happens((await aConsent()).id, 'renewal.opened')
      world.clock.advance({ hours: 1 })
      await courier.deliver()
    }
    expect((await endpoint(id)).status).toBe('enabled')
    world.clock.set(since.plus(DISABLED_AFTER))
    await courier.deliver()
    expect(await endpoint(id)).toMatchObject({ status: 'disabled', disabledReason: 'no-success' })
  })

  test('one success in between begins the three days anew', async () => {
    const { receiver, id } = await anEndpoint()
    const [consent, other] = [await aConsent(), await aConsent()]
    receiver.answer = (response, received) => status(received.consentId === consent.id ? 500 : 200)(response, received)
    const courier = aCourier()
    await happens(consent.id, 'renewal.opened')
    await courier.deliver()
    world.clock.advance({ hours: 70 })
    await happens(other.id, 'renewal.opened')
    await courier.deliver()
    world.clock.advance({ hours: 10 })
    await courier.deliver()
    expect((await endpoint(id)).status).toBe('enabled')
  })
})

test('places that were given out anew disable an endpoint, which would pass over what it never got', async () => {
  const { receiver, id } = await anEndpoint()
  const consent = await aConsent()
  await happens(consent.id, 'renewal.opened')
  await aCourier().deliver()
  // As after a restore of a dump, whose feed had got other places meanwhile.
  await world.db.prisma.webhookEndpoint.updateMany({ data: { cursorChain: '0123456789abcdef' } })
  await happens(consent.id, 'consent.renewed')
  await aCourier().deliver()
  expect(await endpoint(id)).toMatchObject({ status: 'disabled', disabledReason: 'feed-changed' })
  expect(receiver.sequencesOf(consent.id)).toEqual([1])
  await endpoints.enableEndpoint(id, world.clock.now())
  await happens(consent.id, 'token.replaced')
  await aCourier().deliver()
  expect(receiver.sequencesOf(consent.id)).toEqual([1, 3])
})

test('a rotation: both secrets sign until the overlap is over', async () => {
  const { receiver, secret, id } = await anEndpoint()
  const consent = await aConsent()
  const newer = newWebhookSecret()
  const now = world.clock.now()
  expect(await endpoints.rotateSecret(id, newer, now, now.plus({ hours: 24 }))).toBe(true)
  const courier = aCourier()
  await happens(consent.id, 'renewal.opened')
  await courier.deliver()
  for (const one of [secret, newer]) expect(verified(receiver.received[0]!, one.reveal())).toBeDefined()
  world.clock.advance({ hours: 25 })
  await happens(consent.id, 'consent.renewed')
  await courier.deliver()
  expect(verified(receiver.received[1]!, newer.reveal())).toBeDefined()
  expect(() => verified(receiver.received[1]!, secret.reveal())).toThrow()
  const sealed = await world.db.prisma.webhookSecret.findMany({ where: { endpointId: id } })
  for (const row of sealed) expect(row.secret).toMatch(/^v1\.k1\./)
})

test('a rotation reaches a course that is under way, and ends what signed before', async () => {
  const { receiver, secret, id } = await anEndpoint()
  const newer = newWebhookSecret()
  const consents = await Promise.all(Array.from({ length: 20 }, aConsent))
  // More than one page.
  for (let round = 0; round < 7; round += 1) for (const consent of consents) await happens(consent.id, 'token.replaced')
  let rotated: Promise<boolean> | undefined
  receiver.answer = (response, received) => {
    const now = world.clock.now()
    rotated ??= endpoints.rotateSecret(id, newer, now, now)
    void rotated.then(() => status(200)(response, received))
  }
  await aCourier().deliver()
  expect(receiver.received).toHaveLength(140)
  for (const received of receiver.received.slice(100)) {
    expect(verified(received, newer.reveal())).toBeDefined()
    expect(() => verified(received, secret.reveal())).toThrow()
  }
})

test('nothing is sent under a lease that may have ended: neither late after a claim nor after a commit', async () => {
  const { receiver, id } = await anEndpoint()
  await happens((await aConsent()).id, 'renewal.opened')
  let late = 0
  const real = performance.now.bind(performance)
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => real() + late)
  onTestFinished(() => spy.mockRestore())
  const sentAtCommit: number[] = []
  const courier = aCourier({
    store: {
      ...store,
      claimEndpoints: async (...given) => {
        const claims = await store.claimEndpoints(...given)
        if (claims.length > 0) late += 25_000
        return claims
      },
      commitPage: async (...given) => {
        sentAtCommit.push(receiver.received.length)
        const next = await store.commitPage(...given)
        if (sentAtCommit.length === 1) late += 25_000
        return next
      },
    },
  })
  await courier.deliver()
  expect(sentAtCommit.slice(0, 3)).toEqual([0, 0, 1])
  expect(await endpoint(id)).toMatchObject({ behind: 0 })
})

describe('a replay', () => {
  test('sends the events of that time again, with the ids they had, in their order', async () => {
    const { receiver, id } = await anEndpoint()
    const consent = await aConsent()
    const courier = aCourier()
    // Later than anything that another test has written.
    world.clock.advance({ days: 100 })
    const times = []
    for (const type of ['renewal.opened', 'message.sent', 'consent.renewed'] as const) {
      await happens(consent.id, type)
      times.push(world.clock.now())
      world.clock.advance({ hours: 1 })
    }
    await courier.deliver()
    expect(
      await endpoints.requestReplay(id, { from: times[1]!, to: world.clock.now(), now: world.clock.now() }),
    ).toEqual({ events: 1 })
    expect(
      await endpoints.requestReplay(id, {
        from: times[0]!.minus({ minutes: 1 }),
        to: times[2]!.minus({ minutes: 1 }),
        now: world.clock.now(),
      }),
    ).toEqual({ events: 2 })
    await courier.deliver()
    expect(receiver.sequencesOf(consent.id)).toEqual([1, 2, 3, 3, 1, 2])
    expect((await endpoint(id)).replays).toBe(0)
    expect((await tries(id)).map(({ isReplay }) => isReplay)).toEqual([false, false, false, true, true, true])
    expect(new Set(receiver.received.map((one) => one.id)).size).toBe(3)
  })

  const aroundNow = () => {
    const now = world.clock.now()
    return { from: now.minus({ minutes: 30 }), to: now.plus({ hours: 1 }), now }
  }

  test('goes on at the event that was not taken, and passes it over after four tries: it was told before', async () => {
    const { receiver, id } = await anEndpoint()
    const [consent, other] = [await aConsent(), await aConsent()]
    const courier = aCourier()
    world.clock.advance({ days: 100 })
    await happens(consent.id, 'renewal.opened', 'message.sent')
    await happens(other.id, 'renewal.opened')
    await courier.deliver()
    receiver.answer = (response, received) =>
      status(received.sequence === 1 && received.consentId === consent.id ? 500 : 200)(response, received)
    expect(await endpoints.requestReplay(id, aroundNow())).toEqual({ events: 3 })
    receiver.received.length = 0
    await courier.deliver()
    for (const delay of replayDelays) {
      expect((await endpoint(id)).replays).toBe(1)
      moveOn(delay)
      await courier.deliver()
    }
    expect((await endpoint(id)).replays).toBe(0)
    expect(receiver.sequencesOf(consent.id)).toEqual([1, 1, 1, 1, 2])
    await happens(consent.id, 'consent.renewed')
    await courier.deliver()
    expect(receiver.received.at(-1)).toMatchObject({ sequence: 3, gaps: [] })
  })

  test('closes the gaps that it delivers: no event names them afterwards', async () => {
    const { receiver, id } = await anEndpoint()
    const consent = await aConsent()
    world.clock.advance({ days: 100 })
    await happens(consent.id, 'renewal.opened')
    await sequenceEvents(world.db)
    await aCourier().deliver()
    await world.db.prisma.webhookBacklog.create({ data: { endpointId: id, consentId: consent.id, gaps: [1] } })
    await endpoints.requestReplay(id, aroundNow())
    await aCourier().deliver()
    expect(receiver.sequencesOf(consent.id)).toEqual([1, 1])
    expect(await backlogs(id)).toEqual([])
    await happens(consent.id, 'consent.renewed')
    await aCourier().deliver()
    expect(receiver.received.at(-1)).toMatchObject({ sequence: 2, gaps: [] })
  })
})

describe('a long replay', () => {
  const aReplay = async () => {
    const { receiver, id } = await anEndpoint(['consent.lapsed', 'consent.renewed'])
    const consent = await aConsent()
    world.clock.advance({ days: 100 })
    const at = world.clock.now().toJSDate()
    await world.db.prisma.$executeRaw`
      INSERT INTO events (consent_id, seq, type, at, actor, hash)
      SELECT ${consent.id}::uuid, seq, CASE WHEN seq = 12000 THEN 'consent.lapsed' ELSE 'token.replaced' END, ${at},
        'system', repeat('0', 64)
      FROM generate_series(1, 12000) AS seq`
    await sequenceEvents(world.db, 20_000)
    await aCourier().deliver()
    receiver.received.length = 0
    const now = world.clock.now()
    const requested = await endpoints.requestReplay(id, {
      from: now.minus({ hours: 1 }),
      to: now.plus({ hours: 1 }),
      now,
    })
    expect(requested).toEqual({ events: 1 })
    // As if it had begun with the first of many that the endpoint does not want.
    await world.db.prisma.$executeRaw`UPDATE webhook_replays SET cursor = last - 12000`
    return { receiver, id, consent }
  }

  test('is read a part at a time, however few events of it are wanted', async () => {
    const { receiver, id, consent } = await aReplay()
    const [before] = await world.db.prisma.webhookReplay.findMany({ where: { endpointId: id } })
    const seen: bigint[] = []
    const counting = {
      ...store,
      readPage: async (...given: Parameters<typeof store.readPage>) => {
        const page = await store.readPage(...given)
        if (page.replay !== undefined) seen.push(page.replay.end - before!.cursor)
        return page
      },
    }
    await aCourier({ store: counting }).deliver()
    expect(seen).toEqual([5_000n, 10_000n, 12_000n])
    expect(receiver.sequencesOf(consent.id)).toEqual([12_000])
    expect((await endpoint(id)).replays).toBe(0)
  })

  test('one that cannot be read holds up nothing that is new, and is tried again', async () => {
    const { receiver, consent } = await aReplay()
    const { sql } = world.db
    let failures = 0
    const broken = webhookDelivering({
      ...world.db,
      sql: {
        ...sql,
        $queryRaw: async (text, ...values) => {
          if (!('raw' in text) || !text.join('').includes('event.at >=')) return sql.$queryRaw(text, ...values)
          failures += 1
          throw new TransientError('database-unavailable')
        },
      },
    })
    const other = await aConsent()
    await happens(other.id, 'consent.renewed')
    await aCourier({ store: broken }).deliver()
    await aCourier({ store: broken }).deliver()
    expect(receiver.sequencesOf(other.id)).toEqual([1])
    expect(failures).toBe(1)
    world.clock.advance({ minutes: 6 })
    await aCourier().deliver()
    expect(receiver.sequencesOf(consent.id)).toEqual([12_000])
  })

  test('is cancelled, also while a page of it is under way', async () => {
    const { receiver, id } = await aReplay()
    receiver.answer = (response, received) =>
      void endpoints.cancelReplays(id).then(() => status(200)(response, received))
    await aCourier().deliver()
    expect(await endpoint(id)).toMatchObject({ replays: 0, behind: 0 })
    expect(await endpoints.cancelReplays(id)).toBe(0)
    expect(await endpoints.cancelReplays('00000000-0000-4000-8000-000000000000')).toBeUndefined()
  })
})

describe('a death between sending and recording', () => {
  test('sends again, with the same ids and bodies, and loses nothing', async () => {
    const { receiver, id } = await anEndpoint()
    const consent = await aConsent()
    await happens(consent.id, 'renewal.opened', 'message.sent')
    const dying = aCourier({
      store: {
        ...store,
        commitPage: async () => {
          throw new PermanentError('internal')
        },
      },
    })
    const dead = dying.deliver()
    await expect.poll(() => receiver.received.length).toBe(2)
    // The other process finds the lease, and waits until it has run out.
    await aCourier().deliver()
    expect(receiver.received).toHaveLength(2)
    await world.db.prisma.$executeRaw`UPDATE webhook_endpoints SET lease_until = clock_timestamp()`
    await aCourier().deliver()
    expect(receiver.sequencesOf(consent.id)).toEqual([1, 2, 1, 2])
    const [first, second, again, last] = receiver.received
    expect([again?.id, again?.body, last?.id, last?.body]).toEqual([first?.id, first?.body, second?.id, second?.body])
    expect(await endpoint(id)).toMatchObject({ behind: 0, failingConsents: 0 })
    await dead
  })

  test('a process whose claim was taken over moves nothing, and logs what it has sent', async () => {
    const { receiver, id } = await anEndpoint()
    await happens((await aConsent()).id, 'renewal.opened')
    receiver.answer = (response, received) => {
      void world.db.prisma
        .$executeRaw`UPDATE webhook_endpoints SET fencing_token = fencing_token + 1, lease_until = NULL`.then(() =>
        status(200)(response, received),
      )
    }
    await aCourier().deliver()
    expect(await endpoint(id)).toMatchObject({ behind: 1 })
    expect(await tries(id)).toMatchObject([{ seq: 1, result: 'delivered' }])
    receiver.answer = status(200)
    await aCourier().deliver()
    expect(receiver.received.map((one) => one.sequence)).toEqual([1, 1])
    expect(await tries(id)).toHaveLength(2)
  })

  test('an endpoint that is removed while it is served: what was sent is logged, and why it ends', async () => {
    const { receiver, id } = await anEndpoint()
    await happens((await aConsent()).id, 'renewal.opened')
    receiver.answer = (response, received) =>
      void endpoints.removeEndpoint(id).then(() => status(200)(response, received))
    const said: unknown[] = []
    const log = { ...silent, info: (_: object, text: string) => said.push(text) } as typeof silent
    await aCourier({ log }).deliver()
    expect(await tries(id)).toMatchObject([{ seq: 1, result: 'delivered' }])
    expect(said).toEqual(['an endpoint of webhooks was removed while it was served'])
  })

  test('two workers at once: each event once', async () => {
    const { receiver, id } = await anEndpoint()
    const consents = await Promise.all(Array.from({ length: 20 }, aConsent))
    for (const consent of consents) await happens(consent.id, 'renewal.opened', 'consent.renewed')
    await Promise.all([aCourier(), aCourier(), aCourier()].map(async ({ deliver }) => deliver()))
    expect(receiver.received).toHaveLength(40)
    expect(await tries(id)).toHaveLength(40)
  })

  test('the database is away while the result is recorded: it is recorded when it is back', async () => {
    const { receiver, id } = await anEndpoint()
    await happens((await aConsent()).id, 'renewal.opened')
    let refusals = 3
    const courier = aCourier({
      store: {
        ...store,
        commitPage: async (claim, page) => {
          refusals -= 1
          if (refusals >= 0) throw new TransientError('database-unavailable')
          return store.commitPage(claim, page)
        },
      },
    })
    await courier.deliver()
    expect(receiver.received).toHaveLength(1)
    expect(await endpoint(id)).toMatchObject({ behind: 0 })
  })

  test('the answer to a commit is lost: the page is not recorded twice', async () => {
    const { receiver, id } = await anEndpoint()
    await happens((await aConsent()).id, 'renewal.opened')
    let commits = 0
    const courier = aCourier({
      store: {
        ...store,
        commitPage: async (claim, page) => {
          const next = await store.commitPage(claim, page)
          commits += 1
          if (commits === 1) throw new TransientError('database-unavailable')
          return next
        },
      },
    })
    await courier.deliver()
    expect(await tries(id)).toHaveLength(1)
    await world.db.prisma.$executeRaw`UPDATE webhook_endpoints SET lease_until = NULL`
    await courier.deliver()
    expect(receiver.received).toHaveLength(1)
    expect(await endpoint(id)).toMatchObject({ behind: 0 })
  })

  test('a stop while endpoints are claimed gives them back, and begins nothing', async () => {
    const { receiver } = await anEndpoint()
    await happens((await aConsent()).id, 'renewal.opened')
    const courier = aCourier({
      store: {
        ...store,
        claimEndpoints: async (...given) => {
          const claims = await store.claimEndpoints(...given)
          courier.stop()
          return claims
        },
      },
    })
    await courier.deliver()
    expect(receiver.received).toEqual([])
    await aCourier().deliver()
    expect(receiver.received).toHaveLength(1)
  })

  test('a stop abandons what hangs, keeps what was taken, and gives the endpoint back', async () => {
    const { receiver, id } = await anEndpoint()
    const [quick, slow] = [await aConsent(), await aConsent()]
    receiver.answer = (response, received) =>
      received.consentId === slow.id ? undefined : status(200)(response, received)
    await happens(quick.id, 'renewal.opened')
    await happens(slow.id, 'renewal.opened')
    const courier = aCourier()
    await sequenceEvents(world.db)
    await courier.tick()
    await expect.poll(() => receiver.received.length).toBe(2)
    courier.stop()
    await courier.idle()
    receiver.answer = status(200)
    await aCourier().deliver()
    expect(receiver.sequencesOf(quick.id)).toEqual([1])
    expect(receiver.sequencesOf(slow.id)).toEqual([1, 1])
    expect(await endpoint(id)).toMatchObject({ behind: 0 })
  })
})

test('an endpoint whose secret does not decrypt gets nothing, and holds up no other', async () => {
  const [broken, well] = [await anEndpoint(), await anEndpoint()]
  await world.db.prisma.webhookSecret.updateMany({ where: { endpointId: broken.id }, data: { secret: 'v1.k9.a.b' } })
  const before = world.clock.now()
  await happens((await aConsent()).id, 'renewal.opened')
  await aCourier().deliver()
  expect([broken.receiver.received.length, well.receiver.received.length]).toEqual([0, 1])
  expect(await endpoint(broken.id)).toMatchObject({ behind: 1, status: 'enabled' })
  expect(await endpoints.countBehind(before)).toBe(0)
  expect(await endpoints.countBehind(before.plus({ hours: 1 }))).toBe(1)
})

test('the log of tries is kept for thirty days; a sweep deletes what is older, with endpoints or without', async () => {
  const { id } = await anEndpoint()
  const consent = await aConsent()
  await happens(consent.id, 'renewal.opened')
  await aCourier().deliver()
  await endpoints.removeEndpoint(id)
  const sweeps = async (over: Partial<typeof world.store> = {}) =>
    sweep({
      store: { ...world.store, ...over },
      queue: { add: async () => undefined, countWaiting: async () => 0 },
      clock: world.clock,
      log: silent,
      pageSize: 1_000,
      maxWaiting: 1_000,
      queuedFor: Duration.fromObject({ minutes: 10 }),
    })()
  world.clock.advance({ days: WEBHOOK_TRIES_LAST.as('days'), minutes: -1 })
  await sweeps()
  expect(await tries(id)).toHaveLength(1)
  world.clock.advance({ minutes: 2 })
  // One that fails holds up neither the sweep nor webhooks.
  const failing = async (): Promise<number> => {
    throw new TransientError('database-unavailable')
  }
  expect(await sweeps({ purgeWebhookTries: failing })).toMatchObject({ kind: 'done' })
  expect(await tries(id)).toHaveLength(1)
  await sweeps()
  expect(await tries(id)).toEqual([])
})

test('sixteen endpoints ask the database four at a time', async () => {
  for (let index = 0; index < 16; index += 1) await anEndpoint()
  await happens((await aConsent()).id, 'renewal.opened')
  let [running, most] = [0, 0]
  const counted =
    <Given extends unknown[], Result>(call: (...given: Given) => Promise<Result>) =>
    async (...given: Given): Promise<Result> => {
      running += 1
      most = Math.max(most, running)
      return call(...given).finally(() => (running -= 1))
    }
  await aCourier({
    store: { ...store, readPage: counted(store.readPage), commitPage: counted(store.commitPage) },
  }).deliver()
  expect(most).toBe(4)
  expect(await world.db.prisma.webhookDelivery.count()).toBe(16)
})

test('there are as many endpoints as one process serves at once, and no two with one address', async () => {
  const add = async (url: string) =>
    (await endpoints.addEndpoint({ url, types: [], secret: newWebhookSecret(), now: world.clock.now() })).kind
  for (let index = 0; index < 16; index += 1) expect(await add(`https://hooks.example.com/${index}`)).toBe('added')
  expect(await add('https://hooks.example.com/3')).toBe('known')
  expect(await add('https://hooks.example.com/16')).toBe('full')
  const [first] = await endpoints.listEndpoints()
  expect(await endpoints.removeEndpoint(first?.id ?? '')).toBe(true)
  expect(await endpoints.removeEndpoint(first?.id ?? '')).toBe(false)
  expect(await add('https://hooks.example.com/16')).toBe('added')
})
