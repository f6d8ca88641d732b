import fc from 'fast-check'
import { DateTime, Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import {
  backOffAfter,
  mayCodeStillAct,
  mayConcludeNotRenewed,
  nextDatePollAt,
  nextTryAt,
  nextTryWhileUnavailable,
  nextSettleAt,
  nextVerifyAt,
  withJitter,
} from '../../src/domain/backoff.ts'
import { traitsOf } from '../../src/domain/channels.ts'

const utc = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })

describe('a record that failed', () => {
  const table: Record<string, { failed: number; hours: number }> = {
    'once rests an hour': { failed: 1, hours: 1 },
    'twice rests four hours': { failed: 2, hours: 4 },
    'three times rests half a day': { failed: 3, hours: 12 },
    'four times rests a day': { failed: 4, hours: 24 },
    'five times rests a day, no more': { failed: 5, hours: 24 },
    'a thousand times rests a day': { failed: 1000, hours: 24 },
    'not yet by its own count is treated as once': { failed: 0, hours: 1 },
  }
  test.each(Object.entries(table))('%s', (_, { failed, hours }) => expect(backOffAfter(failed).as('hours')).toBe(hours))
})

describe('jitter', () => {
  test('stays within a tenth, is the same for a key, and keys differ', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 90 * 24 }), (key, hours) => {
        const whole = Duration.fromObject({ hours })
        const share = withJitter(whole, key).toMillis() / whole.toMillis()
        expect(share).toBeGreaterThanOrEqual(0.9)
        expect(share).toBeLessThanOrEqual(1.1)
        expect(withJitter(whole, key).toMillis()).toBe(withJitter(whole, key).toMillis())
      }),
    )
    const day = Duration.fromObject({ days: 1 })
    const seen = new Set(Array.from({ length: 1000 }, (_, id) => withJitter(day, `consent-${id}`).toMillis()))
    expect(seen.size).toBeGreaterThan(990)
  })
})

describe('after a clean exchange /me is polled', () => {
  const answered = utc('2026-03-02T12:00:00')
  const table: Record<string, { now: string; at: string | undefined }> = {
    'at once': { now: '2026-03-02T11:59:59.999', at: '2026-03-02T12:00:00' },
    'then after ten seconds': { now: '2026-03-02T12:00:00', at: '2026-03-02T12:00:10' },
    'after ten seconds still, however often somebody asked by hand': {
      now: '2026-03-02T12:00:09.999',
      at: '2026-03-02T12:00:10',
    },
    'then after a minute': { now: '2026-03-02T12:00:10', at: '2026-03-02T12:01:00' },
    'then after ten minutes': { now: '2026-03-02T12:01:00', at: '2026-03-02T12:10:00' },
    'after ten minutes, too, when nobody was there before': { now: '2026-03-02T12:04:00', at: '2026-03-02T12:10:00' },
    'to the last millisecond': { now: '2026-03-02T12:09:59.999', at: '2026-03-02T12:10:00' },
    'then no more': { now: '2026-03-02T12:10:00', at: undefined },
    'and never again': { now: '2026-03-09T12:00:00', at: undefined },
  }
  test.each(Object.entries(table))('%s', (_, { now, at }) =>
    expect(nextVerifyAt(answered, utc(now))?.toMillis()).toBe(at === undefined ? undefined : utc(at).toMillis()),
  )
})

describe('an attempt in doubt', () => {
  const codeReceivedAt = utc('2026-03-02T12:00:00')
  const asks: Record<string, { asked: number; now: string; at: string }> = {
    'not asked about yet is asked about at once': { asked: 0, now: '2026-03-02T12:00:03', at: '2026-03-02T12:00:03' },
    'not asked about for a day is asked about at once': {
      asked: 0,
      now: '2026-03-03T12:00:03',
      at: '2026-03-03T12:00:03',
    },
    'is asked about again exactly six minutes after the code': {
      asked: 1,
      now: '2026-03-02T12:00:03',
      at: '2026-03-02T12:06:00',
    },
    'asked about twice too early still waits for six minutes': {
      asked: 2,
      now: '2026-03-02T12:05:59',
      at: '2026-03-02T12:06:00',
    },
    'at six minutes is next asked about an hour after the code': {
      asked: 2,
      now: '2026-03-02T12:06:00',
      at: '2026-03-02T13:00:00',
    },
    'a second before the hour: at the hour': { asked: 2, now: '2026-03-02T12:59:59', at: '2026-03-02T13:00:00' },
    'at the hour: six hours after the code': { asked: 3, now: '2026-03-02T13:00:00', at: '2026-03-02T18:00:00' },
    'at six hours: 25 hours after the code': { asked: 4, now: '2026-03-02T18:00:01', at: '2026-03-03T13:00:00' },
    'a second before 25 hours: then': { asked: 5, now: '2026-03-03T12:59:59', at: '2026-03-03T13:00:00' },
    'at 25 hours: daily': { asked: 5, now: '2026-03-03T13:00:00', at: '2026-03-04T12:00:00' },
    'a second before the second day: that day': { asked: 6, now: '2026-03-04T11:59:59', at: '2026-03-04T12:00:00' },
    'a second after the second day: the third': { asked: 6, now: '2026-03-04T12:00:01', at: '2026-03-05T12:00:00' },
    'across the change to summer time keeps to 24 hours': {
      asked: 9,
      now: '2026-03-28T13:00:00',
      at: '2026-03-29T12:00:00',
    },
    'after three hours of downtime does not make up for what passed': {
      asked: 1,
      now: '2026-03-02T15:00:00',
      at: '2026-03-02T18:00:00',
    },
    'with a clock that was put back waits for six minutes': {
      asked: 1,
      now: '2026-03-02T11:00:00',
      at: '2026-03-02T12:06:00',
    },
  }
  test.each(Object.entries(asks))('%s', (_, { asked, now, at }) =>
    expect(nextSettleAt({ codeReceivedAt, pollCount: asked, now: utc(now) }).toISO()).toBe(utc(at).toISO()),
  )

  const conclusions: Record<string, { now: string; may: boolean }> = {
    'at six minutes may not be found not renewed': { now: '2026-03-02T12:06:00', may: false },
    'a second before 25 hours may not be': { now: '2026-03-03T12:59:59', may: false },
    'at 25 hours may be': { now: '2026-03-03T13:00:00', may: true },
    'a second later may be': { now: '2026-03-03T13:00:01', may: true },
  }
  test.each(Object.entries(conclusions))('%s', (_, { now, may }) =>
    expect(mayConcludeNotRenewed(codeReceivedAt, utc(now))).toBe(may),
  )

  const codes: Record<string, { now: string; may: boolean }> = {
    'a second before six minutes its code may still act': { now: '2026-03-02T12:05:59', may: true },
    'at six minutes it may not': { now: '2026-03-02T12:06:00', may: false },
    'a second later neither': { now: '2026-03-02T12:06:01', may: false },
  }
  test.each(Object.entries(codes))('%s', (_, { now, may }) =>
    expect(mayCodeStillAct(codeReceivedAt, utc(now))).toBe(may),
  )

  test('always gets a future date, at most a day ahead, once it was polled about', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 200 * 86_400_000 }), (asked, later) => {
        const now = codeReceivedAt.plus(later)
        const wait = nextSettleAt({ codeReceivedAt, pollCount: asked, now }).toMillis() - now.toMillis()
        expect(wait).toBeGreaterThan(0)
        expect(wait).toBeLessThanOrEqual(86_400_000)
      }),
    )
  })
})

describe('a date that may come late', () => {
  const codeReceivedAt = utc('2026-03-02T12:00:00')
  const table: Record<string, { now: string; at: string }> = {
    'is polled for six hours after the code': { now: '2026-03-02T12:06:00', at: '2026-03-02T18:00:00' },
    'a second before them: then': { now: '2026-03-02T17:59:59', at: '2026-03-02T18:00:00' },
    'at six hours: 25 hours after the code': { now: '2026-03-02T18:00:00', at: '2026-03-03T13:00:00' },
    'a second before them, too': { now: '2026-03-03T12:59:59', at: '2026-03-03T13:00:00' },
    'at 25 hours: daily': { now: '2026-03-03T13:00:00', at: '2026-03-04T13:00:00' },
    'a second before the next day: then': { now: '2026-03-04T12:59:59', at: '2026-03-04T13:00:00' },
    'a second after it: the day after': { now: '2026-03-04T13:00:01', at: '2026-03-05T13:00:00' },
    'across the change to summer time keeps to 24 hours': { now: '2026-03-28T14:00:00', at: '2026-03-29T13:00:00' },
  }
  test.each(Object.entries(table))('%s', (_, { now, at }) =>
    expect(nextDatePollAt(codeReceivedAt, utc(now)).toISO()).toBe(utc(at).toISO()),
  )
})

describe('a message that the mail server deferred', () => {
  const { tries } = traitsOf('email')
  const now = utc('2026-03-02T12:00:00')
  const table: Record<string, { attempts: number; at: string | undefined }> = {
    'and never tried goes now': { attempts: 0, at: '2026-03-02T12:00:00' },
    'once waits a minute': { attempts: 1, at: '2026-03-02T12:01:00' },
    'twice waits ten minutes': { attempts: 2, at: '2026-03-02T12:10:00' },
    'three times waits an hour': { attempts: 3, at: '2026-03-02T13:00:00' },
    'four times waits four hours': { attempts: 4, at: '2026-03-02T16:00:00' },
    'five times is given up': { attempts: 5, at: undefined },
    'more often stays given up': { attempts: 6, at: undefined },
  }
  test.each(Object.entries(table))('%s', (_, { attempts, at }) =>
    expect(nextTryAt(tries, attempts, now)?.toMillis()).toBe(at === undefined ? undefined : utc(at).toMillis()),
  )
})

describe('a message while the mail server is unavailable', () => {
  const now = utc('2026-03-02T12:00:00')
  const table: Record<string, { createdAt: string; again: boolean; minutes: number }> = {
    'made just now: a minute': { createdAt: '2026-03-02T12:00:00', again: false, minutes: 1 },
    'made long ago and met for the first time: a minute': {
      createdAt: '2026-02-20T12:00:00',
      again: false,
      minutes: 1,
    },
    'again after half a minute (a person’s retry): a minute': {
      createdAt: '2026-03-02T11:59:30',
      again: true,
      minutes: 1,
    },
    'again after a minute: another': { createdAt: '2026-03-02T11:59:00', again: true, minutes: 1 },
    'again after two minutes: as long': { createdAt: '2026-03-02T11:58:00', again: true, minutes: 2 },
    'again after 59 minutes: as long': { createdAt: '2026-03-02T11:01:00', again: true, minutes: 59 },
    'again after an hour: an hour': { createdAt: '2026-03-02T11:00:00', again: true, minutes: 60 },
    'again after a weekend: an hour, and never given up': {
      createdAt: '2026-02-27T18:00:00',
      again: true,
      minutes: 60,
    },
    'made later than now, by a clock that was set back: a minute': {
      createdAt: '2026-03-02T13:00:00',
      again: true,
      minutes: 1,
    },
  }
  test.each(Object.entries(table))('%s', (_, { createdAt, again, minutes }) =>
    expect(
      nextTryWhileUnavailable({ createdAt: utc(createdAt), again, now })
        .diff(now)
        .as('minutes'),
    ).toBe(minutes),
  )
})
