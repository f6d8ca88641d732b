// When a webhook is tried again, and what an endpoint's answers make of the endpoint.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import {
  DISABLED_AFTER,
  type EndpointHealth,
  FAILURES_UNTIL_AWAY,
  healthAfter,
  healthy,
  isAway,
  nextWebhookTry,
  probesFeed,
  replayDelays,
  resultOf,
  webhookDelays,
} from '../../src/domain/webhook-retries.ts'

const now = DateTime.fromISO('2026-12-01T09:00:00Z', { zone: 'utc' })
const hoursUntil = (failed: number, key: string, retryAfterMs?: number): number | undefined =>
  nextWebhookTry(failed, { now, key, retryAfterMs })?.diff(now).as('hours')

describe('the tries of an event', () => {
  test('are ten in three days', () => {
    expect(webhookDelays).toHaveLength(9)
    const hours = webhookDelays.reduce((sum, delay) => sum + delay.as('hours'), 0)
    expect(hours).toBeCloseTo(72, 1)
    expect(hoursUntil(10, 'a')).toBeUndefined()
  })

  test('each delay is up to a tenth shorter or longer, by the event and not by chance', () => {
    for (const [index, delay] of webhookDelays.entries()) {
      const drawn = Array.from({ length: 100 }, (_, key) => hoursUntil(index + 1, `event ${key}`)!)
      for (const hours of drawn) {
        expect(hours).toBeGreaterThanOrEqual(delay.as('hours') * 0.9)
        expect(hours).toBeLessThanOrEqual(delay.as('hours') * 1.1)
      }
      expect(new Set(drawn).size).toBeGreaterThan(50)
      expect(hoursUntil(index + 1, 'event 1')).toBe(drawn[1])
    }
  })

  test('are four in a replay, within the hour', () => {
    const minutes = replayDelays.reduce((sum, delay) => sum + delay.as('minutes'), 0)
    expect(minutes).toBeLessThan(60)
    const next = (failed: number) => nextWebhookTry(failed, { now, key: 'a', isReplay: true })
    expect([next(3), next(4)]).toEqual([expect.any(DateTime), undefined])
  })

  test('Retry-After delays a try, and never hastens it', () => {
    expect(hoursUntil(1, 'a', 7_200_000)).toBe(2)
    expect(hoursUntil(9, 'a', 1_000)).toBeGreaterThan(18)
  })
})

test.each([
  [200, 'delivered'],
  [204, 'delivered'],
  [299, 'delivered'],
  [199, 'failed'],
  [301, 'failed'],
  [302, 'failed'],
  [400, 'failed'],
  [404, 'failed'],
  [410, 'gone'],
  [429, 'failed'],
  [500, 'failed'],
  [undefined, 'failed'],
])('status %s is %s', (status, kind) => expect(resultOf(status, undefined).kind).toBe(kind))

describe('the health of an endpoint', () => {
  const failed = { kind: 'failed' } as const
  const after = (before: EndpointHealth, at: DateTime, result: Parameters<typeof healthAfter>[1] = failed) =>
    healthAfter(before, result, { now: at, key: 'e', isProbe: isAway(before) })
  const failing: EndpointHealth = { ...healthy, failedInARow: 3, failingSince: now }

  test('three days without a success disable it: the second before, at and after', () => {
    for (const [seconds, disabled] of [
      [-1, undefined],
      [0, 'no-success'],
      [1, 'no-success'],
    ] as const)
      expect(after(failing, now.plus(DISABLED_AFTER).plus({ seconds })).disabled).toBe(disabled)
  })

  test('one failure after a long silence does not', () => {
    expect(after(healthy, now.plus({ years: 1 }))).toMatchObject({ failedInARow: 1, disabled: undefined })
  })

  test('410 disables it at once', () => expect(after(healthy, now, { kind: 'gone' }).disabled).toBe('gone'))

  test('a success forgets every failure', () => {
    expect(after(failing, now, { kind: 'delivered' })).toEqual(healthy)
  })

  test('a success does not end a rest that it asked for, but ends one that we gave it', () => {
    const restsUntil = now.plus({ minutes: 10 })
    const away = { ...failing, failedInARow: FAILURES_UNTIL_AWAY, restsUntil }
    expect(after(away, now, { kind: 'delivered' })).toEqual(healthy)
    expect(after({ ...away, askedUntil: restsUntil }, now, { kind: 'delivered' }).restsUntil).toBe(restsUntil)
  })

  // Several answers are on their way at once, and come in either order.
  test.each<[string, Parameters<typeof healthAfter>[1], Parameters<typeof healthAfter>[1], Partial<EndpointHealth>]>([
    ['410 and a success', { kind: 'gone' }, { kind: 'delivered' }, { disabled: 'gone' }],
    ['410 and a failure', { kind: 'gone' }, failed, { disabled: 'gone' }],
    [
      'Retry-After and a success',
      { kind: 'failed', retryAfterMs: 60_000 },
      { kind: 'delivered' },
      { restsUntil: now.plus(60_000) },
    ],
    [
      'Retry-After and a failure without one',
      { kind: 'failed', retryAfterMs: 60_000 },
      failed,
      { restsUntil: now.plus(60_000) },
    ],
    [
      'a long and a short Retry-After',
      { kind: 'failed', retryAfterMs: 60_000 },
      { kind: 'failed', retryAfterMs: 1_000 },
      { restsUntil: now.plus(60_000) },
    ],
  ])('%s, in either order', (_, one, other, expected) => {
    for (const before of [healthy, { ...failing, failedInARow: FAILURES_UNTIL_AWAY - 1 }])
      for (const [first, second] of [
        [one, other],
        [other, one],
      ] as const) {
        const health = [first, second].reduce(
          (known, result) => healthAfter(known, result, { now, key: 'e', isProbe: false }),
          before,
        )
        expect(health).toMatchObject(expected)
      }
  })

  test('it is probed after 5 s, 30 s, 2 min, and then about every five minutes', () => {
    let health: EndpointHealth = { ...failing, failedInARow: FAILURES_UNTIL_AWAY - 1 }
    for (const seconds of [5, 30, 120, 300, 300, 300]) {
      health = after({ ...health, restsUntil: undefined }, now)
      const delay = health.restsUntil?.diff(now).as('seconds')
      expect(delay).toBeGreaterThanOrEqual(seconds * 0.9)
      expect(delay).toBeLessThanOrEqual(seconds * 1.1)
    }
  })

  test('what was on its way when it went away is no probe', () => {
    let health: EndpointHealth = { ...failing, failedInARow: FAILURES_UNTIL_AWAY - 1 }
    for (let count = 0; count < 8; count += 1) health = healthAfter(health, failed, { now, key: 'e', isProbe: false })
    expect(health.failedInARow).toBe(FAILURES_UNTIL_AWAY)
    expect(health.restsUntil?.diff(now).as('seconds')).toBeLessThan(6)
  })

  test('probes are by turns the feed’s next event and one that waits', () => {
    expect([10, 11, 12, 13].map((failedInARow) => probesFeed({ failedInARow }))).toEqual([true, false, true, false])
  })

  test('ten failures in a row: it is away', () => {
    let health: EndpointHealth = healthy
    for (let count = 1; count < FAILURES_UNTIL_AWAY; count += 1) {
      health = after(health, now)
      expect([isAway(health), health.restsUntil]).toEqual([false, undefined])
    }
    health = after(health, now)
    expect(isAway(health)).toBe(true)
  })
})
