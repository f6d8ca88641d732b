import fc from 'fast-check'
import { DateTime, Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import type { QuietHours } from '../../src/domain/policy.ts'
import { afterQuiet, allowedStretch, beforeQuiet, isQuiet } from '../../src/domain/quiet-hours.ts'

const NIGHT: QuietHours = { from: '20:00', to: '08:00' }
const LUNCH: QuietHours = { from: '12:00', to: '13:30' }
/** Instants are written with their offset, so that an hour that occurs twice is unambiguous. */
const instant = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })
const local = (at: DateTime, zone: string): string => at.setZone(zone).toFormat("yyyy-MM-dd'T'HH:mm:ss.SSSZZ")
const same = (seen: DateTime, expected: string, zone: string): void =>
  expect(local(seen, zone)).toBe(local(instant(expected), zone))

describe('quiet is', () => {
  const table: Record<string, { quiet: QuietHours | false; at: string; zone: string; is: boolean }> = {
    'not a millisecond before it begins': {
      quiet: NIGHT,
      at: '2026-02-10T19:59:59.999Z',
      zone: 'Europe/London',
      is: false,
    },
    'the moment it begins': { quiet: NIGHT, at: '2026-02-10T20:00:00Z', zone: 'Europe/London', is: true },
    'a second after it began': { quiet: NIGHT, at: '2026-02-10T20:00:01Z', zone: 'Europe/London', is: true },
    midnight: { quiet: NIGHT, at: '2026-02-11T00:00:00Z', zone: 'Europe/London', is: true },
    'a second before it ends': { quiet: NIGHT, at: '2026-02-11T07:59:59Z', zone: 'Europe/London', is: true },
    'not the moment it ends': { quiet: NIGHT, at: '2026-02-11T08:00:00Z', zone: 'Europe/London', is: false },
    'noon, of a span within the day': { quiet: LUNCH, at: '2026-02-10T12:00:00Z', zone: 'Europe/London', is: true },
    'not the end of a span within the day': {
      quiet: LUNCH,
      at: '2026-02-10T13:30:00Z',
      zone: 'Europe/London',
      is: false,
    },
    'not midnight, of a span within the day': {
      quiet: LUNCH,
      at: '2026-02-10T00:00:00Z',
      zone: 'Europe/London',
      is: false,
    },
    "in the user's zone, not in UTC: morning in Kiritimati (+14)": {
      quiet: NIGHT,
      at: '2026-02-10T18:00:00Z',
      zone: 'Pacific/Kiritimati',
      is: false,
    },
    "in the user's zone, not in UTC: night in Pago Pago (−11)": {
      quiet: NIGHT,
      at: '2026-02-10T12:00:00Z',
      zone: 'Pacific/Pago_Pago',
      is: true,
    },
    'in a zone of three quarters of an hour (Kathmandu, +5:45)': {
      quiet: NIGHT,
      at: '2026-02-10T14:15:00Z',
      zone: 'Asia/Kathmandu',
      is: true,
    },
    'not a second earlier there': { quiet: NIGHT, at: '2026-02-10T14:14:59Z', zone: 'Asia/Kathmandu', is: false },
    'never, without quiet hours': { quiet: false, at: '2026-02-10T23:00:00Z', zone: 'Europe/London', is: false },
    'never, where from and to are equal': {
      quiet: { from: '08:00', to: '08:00' },
      at: '2026-02-10T08:00:00Z',
      zone: 'Europe/London',
      is: false,
    },
  }
  test.each(Object.entries(table))('%s', (_, { quiet, at, zone, is }) =>
    expect(isQuiet(instant(at), zone, quiet)).toBe(is),
  )
})

describe('an instant is moved out of quiet hours', () => {
  const table: Record<string, { quiet: QuietHours; zone: string; at: string; before: string; after: string }> = {
    'not at all when it is allowed': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-02-10T12:34:56.789Z',
      before: '2026-02-10T12:34:56.789Z',
      after: '2026-02-10T12:34:56.789Z',
    },
    'not at all a millisecond before the quiet': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-02-10T19:59:59.999Z',
      before: '2026-02-10T19:59:59.999Z',
      after: '2026-02-10T19:59:59.999Z',
    },
    'not at all at the end of the quiet': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-02-10T08:00:00Z',
      before: '2026-02-10T08:00:00Z',
      after: '2026-02-10T08:00:00Z',
    },
    'from the first moment of the quiet': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-02-10T20:00:00Z',
      before: '2026-02-10T19:59:59.999Z',
      after: '2026-02-11T08:00:00Z',
    },
    'from before midnight': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-02-10T23:30:00Z',
      before: '2026-02-10T19:59:59.999Z',
      after: '2026-02-11T08:00:00Z',
    },
    'from after midnight': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-02-11T03:00:00Z',
      before: '2026-02-10T19:59:59.999Z',
      after: '2026-02-11T08:00:00Z',
    },
    'from the last second of the quiet': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-02-11T07:59:59Z',
      before: '2026-02-10T19:59:59.999Z',
      after: '2026-02-11T08:00:00Z',
    },
    'within a day': {
      quiet: LUNCH,
      zone: 'Europe/Paris',
      at: '2026-07-10T13:00:00+02:00',
      before: '2026-07-10T11:59:59.999+02:00',
      after: '2026-07-10T13:30:00+02:00',
    },
    'over a leap day': {
      quiet: NIGHT,
      zone: 'Europe/Paris',
      at: '2028-02-29T22:00:00+01:00',
      before: '2028-02-29T19:59:59.999+01:00',
      after: '2028-03-01T08:00:00+01:00',
    },
    'in London on the night the clocks go forward': {
      quiet: NIGHT,
      zone: 'Europe/London',
      at: '2026-03-29T00:30:00Z',
      before: '2026-03-28T19:59:59.999Z',
      after: '2026-03-29T08:00:00+01:00',
    },
    'in Paris on the morning after the clocks went forward': {
      quiet: NIGHT,
      zone: 'Europe/Paris',
      at: '2026-03-29T05:00:00+02:00',
      before: '2026-03-28T19:59:59.999+01:00',
      after: '2026-03-29T08:00:00+02:00',
    },
    'in New York on the night the clocks go back': {
      quiet: NIGHT,
      zone: 'America/New_York',
      at: '2026-11-01T01:30:00-04:00',
      before: '2026-10-31T19:59:59.999-04:00',
      after: '2026-11-01T08:00:00-05:00',
    },
    'in New York in the second of the two hours': {
      quiet: NIGHT,
      zone: 'America/New_York',
      at: '2026-11-01T01:30:00-05:00',
      before: '2026-10-31T19:59:59.999-04:00',
      after: '2026-11-01T08:00:00-05:00',
    },
    'on Lord Howe, whose clocks go forward by half an hour': {
      quiet: NIGHT,
      zone: 'Australia/Lord_Howe',
      at: '2026-10-04T01:45:00+10:30',
      before: '2026-10-03T19:59:59.999+10:30',
      after: '2026-10-04T08:00:00+11:00',
    },
    'on Lord Howe, whose clocks go back by half an hour': {
      quiet: NIGHT,
      zone: 'Australia/Lord_Howe',
      at: '2026-04-05T01:45:00+11:00',
      before: '2026-04-04T19:59:59.999+11:00',
      after: '2026-04-05T08:00:00+10:30',
    },
    'in Apia over the Friday that never was': {
      quiet: NIGHT,
      zone: 'Pacific/Apia',
      at: '2011-12-29T23:00:00-10:00',
      before: '2011-12-29T19:59:59.999-10:00',
      after: '2011-12-31T08:00:00+14:00',
    },
    'in London when the quiet would end in the hour that is skipped: right after the gap': {
      quiet: { from: '22:00', to: '01:30' },
      zone: 'Europe/London',
      at: '2026-03-29T00:59:59Z',
      before: '2026-03-28T21:59:59.999Z',
      after: '2026-03-29T01:00:00Z',
    },
    'in London when the quiet would begin in the hour that is skipped: right before the gap': {
      quiet: { from: '01:30', to: '06:00' },
      zone: 'Europe/London',
      at: '2026-03-29T01:00:00Z',
      before: '2026-03-29T00:59:59.999Z',
      after: '2026-03-29T06:00:00+01:00',
    },
    'in London to the first 01:30, where the repeated hour ends the quiet the first time': {
      quiet: { from: '22:00', to: '01:30' },
      zone: 'Europe/London',
      at: '2026-10-25T01:29:59+01:00',
      before: '2026-10-24T21:59:59.999+01:00',
      after: '2026-10-25T01:30:00+01:00',
    },
    'in London again in the repeated half hour, which is quiet a second time': {
      quiet: { from: '22:00', to: '01:30' },
      zone: 'Europe/London',
      at: '2026-10-25T01:10:00Z',
      before: '2026-10-25T00:59:59.999Z',
      after: '2026-10-25T01:30:00Z',
    },
    'in London to before the first 01:30, where the quiet begins twice and the first time is cut short': {
      quiet: { from: '01:30', to: '06:00' },
      zone: 'Europe/London',
      at: '2026-10-25T01:45:00+01:00',
      before: '2026-10-25T01:29:59.999+01:00',
      after: '2026-10-25T01:00:00Z',
    },
    'in London to before the second 01:30, where it begins again': {
      quiet: { from: '01:30', to: '06:00' },
      zone: 'Europe/London',
      at: '2026-10-25T03:00:00Z',
      before: '2026-10-25T01:29:59.999Z',
      after: '2026-10-25T06:00:00Z',
    },
    'in London a day further when the only allowed hour is skipped': {
      quiet: { from: '02:00', to: '01:00' },
      zone: 'Europe/London',
      at: '2026-03-28T12:00:00Z',
      before: '2026-03-28T01:59:59.999Z',
      after: '2026-03-30T01:00:00+01:00',
    },
    'in London by two days when the only allowed hour was skipped': {
      quiet: { from: '02:00', to: '01:00' },
      zone: 'Europe/London',
      at: '2026-03-29T12:00:00Z',
      before: '2026-03-28T01:59:59.999Z',
      after: '2026-03-30T01:00:00+01:00',
    },
  }
  test.each(Object.entries(table))('%s', (_, { quiet, zone, at, before, after }) => {
    same(beforeQuiet(instant(at), zone, quiet), before, zone)
    same(afterQuiet(instant(at), zone, quiet), after, zone)
  })

  test('with the requested time left before they begin', () => {
    const hour = Duration.fromObject({ hours: 1 })
    same(
      beforeQuiet(instant('2026-02-10T23:30:00Z'), 'Europe/London', NIGHT, hour),
      '2026-02-10T19:00:00Z',
      'Europe/London',
    )
    same(
      beforeQuiet(instant('2026-02-10T19:30:00Z'), 'Europe/London', NIGHT, hour),
      '2026-02-10T19:30:00Z',
      'Europe/London',
    )
    const narrow = { from: '08:30', to: '08:00' }
    same(
      beforeQuiet(instant('2026-02-10T23:30:00Z'), 'Europe/London', narrow, hour),
      '2026-02-10T08:15:00Z',
      'Europe/London',
    )
  })
})

describe('the allowed stretch', () => {
  const stretch = (at: string, zone: string, quiet: QuietHours | false): string => {
    const found = allowedStretch(instant(at), zone, quiet)
    return found === undefined ? 'all of time' : `${local(found.from, zone)} until ${local(found.until, zone)}`
  }
  test('runs from the end of one quiet to the beginning of the next', () => {
    expect(stretch('2026-02-10T12:00:00Z', 'Europe/London', NIGHT)).toBe(
      '2026-02-10T08:00:00.000+00:00 until 2026-02-10T20:00:00.000+00:00',
    )
    expect(stretch('2026-02-10T08:00:00Z', 'Europe/London', NIGHT)).toBe(
      '2026-02-10T08:00:00.000+00:00 until 2026-02-10T20:00:00.000+00:00',
    )
    expect(stretch('2026-02-10T19:59:59.999Z', 'Europe/London', NIGHT)).toBe(
      '2026-02-10T08:00:00.000+00:00 until 2026-02-10T20:00:00.000+00:00',
    )
  })
  test('runs over midnight where the quiet is by day', () =>
    expect(stretch('2026-02-10T23:00:00Z', 'Europe/London', LUNCH)).toBe(
      '2026-02-10T13:30:00.000+00:00 until 2026-02-11T12:00:00.000+00:00',
    ))
  test('has no end without quiet hours', () =>
    expect(stretch('2026-02-10T12:00:00Z', 'Europe/London', false)).toBe('all of time'))
  test('is refused for an instant in quiet hours', () =>
    expect(() => stretch('2026-02-10T21:00:00Z', 'Europe/London', NIGHT)).toThrow(
      '2026-02-10T21:00:00.000Z is itself quiet in Europe/London',
    ))
})

describe('bad input is named', () => {
  const noon = instant('2026-02-10T12:00:00Z')
  test('an unknown zone', () =>
    expect(() => isQuiet(noon, 'Mars/Olympus', NIGHT)).toThrow('unknown time zone "Mars/Olympus"'))
  test.each(['8:00', '24:00', '12:60', '20', ''])('a time of day written "%s"', (text) =>
    expect(() => isQuiet(noon, 'utc', { from: text, to: '07:00' })).toThrow(`"${text}" is not a time of day`),
  )
})

describe('for any instant, zone and quiet hours', () => {
  const zone = fc.constantFrom(
    'Europe/London',
    'Europe/Paris',
    'America/New_York',
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'Pacific/Kiritimati',
    'Asia/Kathmandu',
    'America/St_Johns',
    'utc',
  )
  const time = fc
    .integer({ min: 0, max: 1439 })
    .map((minute) => `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`)
  const quietHours = fc.record({ from: time, to: time }).filter(({ from, to }) => from !== to)
  // Instants around the days on which clocks change, and around the day that Apia skipped.
  const aroundChanges = fc
    .tuple(
      fc.constantFrom(
        '2011-12-30T10:00Z',
        '2026-03-08T07:00Z',
        '2026-03-29T01:00Z',
        '2026-04-04T15:00Z',
        '2026-10-03T15:30Z',
        '2026-10-25T01:00Z',
        '2026-11-01T06:00Z',
      ),
      fc.integer({ min: -2 * 1440, max: 2 * 1440 }),
    )
    .map(([change, minutes]) => instant(change).plus({ minutes }))

  /** Decides from the local time of day, and shares no code with the code under test. */
  const quietByTheClock = (at: DateTime, zoneName: string, { from, to }: QuietHours): boolean => {
    const wall = at.setZone(zoneName).toFormat('HH:mm')
    return from < to ? wall >= from && wall < to : wall >= from || wall < to
  }

  test('quiet is exactly what the local time of day says', () => {
    fc.assert(
      fc.property(
        aroundChanges,
        zone,
        quietHours,
        (at, zoneName, quiet) => isQuiet(at, zoneName, quiet) === quietByTheClock(at, zoneName, quiet),
      ),
      { numRuns: 1000 },
    )
  })

  test('the instant to which it is moved is allowed, and no nearer minute is', () => {
    fc.assert(
      fc.property(aroundChanges, zone, quietHours, (at, zoneName, quiet) => {
        const after = afterQuiet(at, zoneName, quiet)
        const before = beforeQuiet(at, zoneName, quiet)
        expect(quietByTheClock(after, zoneName, quiet)).toBe(false)
        expect(quietByTheClock(before, zoneName, quiet)).toBe(false)
        for (let minute = at; minute < after; minute = minute.plus({ minutes: 1 }))
          expect(quietByTheClock(minute, zoneName, quiet)).toBe(true)
        for (let minute = at; minute > before; minute = minute.minus({ minutes: 1 }))
          expect(quietByTheClock(minute, zoneName, quiet)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('the allowed stretch is allowed throughout, and quiet on both sides', () => {
    fc.assert(
      fc.property(aroundChanges, zone, quietHours, (at, zoneName, quiet) => {
        const stretch = allowedStretch(afterQuiet(at, zoneName, quiet), zoneName, quiet)
        if (stretch === undefined) throw new Error('quiet hours without a stretch')
        expect(quietByTheClock(stretch.from.minus(1), zoneName, quiet)).toBe(true)
        expect(quietByTheClock(stretch.until, zoneName, quiet)).toBe(true)
        for (let minute = stretch.from; minute < stretch.until; minute = minute.plus({ minutes: 1 })) {
          expect(quietByTheClock(minute, zoneName, quiet)).toBe(false)
        }
      }),
      { numRuns: 60 },
    )
  })
})
