import fc from 'fast-check'
import { DateTime, IANAZone } from 'luxon'
import { describe, expect, test } from 'vitest'
import { sameWallTime, zoneNamed } from '../../src/domain/zone.ts'

describe('a remembered zone', () => {
  const names = fc.constantFrom(
    'Europe/London',
    'Europe/Paris',
    'America/New_York',
    'America/St_Johns',
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'Pacific/Kiritimati',
    'Africa/Casablanca',
    'Asia/Kathmandu',
  )
  // Instants close to changes of the clocks, and anywhere between 2000 and 2040.
  const instants = fc.oneof(
    fc.integer({ min: Date.UTC(2000, 0), max: Date.UTC(2040, 0) }),
    fc
      .tuple(
        fc.constantFrom(
          '2011-12-30T10:00Z',
          '2026-03-08T07:00Z',
          '2026-03-29T01:00Z',
          '2026-04-04T15:00Z',
          '2026-10-03T15:30Z',
          '2026-10-25T01:00Z',
        ),
        fc.integer({ min: -3_600_000, max: 3_600_000 }),
      )
      .map(([change, shift]) => DateTime.fromISO(change).toMillis() + shift),
  )

  test("has the offsets of luxon's own, the first time and again", () => {
    fc.assert(
      fc.property(names, instants, (name, ts) => {
        const expected = IANAZone.create(name).offset(ts)
        expect(zoneNamed(name).offset(ts)).toBe(expected)
        expect(zoneNamed(name).offset(ts)).toBe(expected)
      }),
      { numRuns: 2000 },
    )
  })

  test('changes its offset in the very millisecond', () => {
    const change = Date.UTC(2026, 2, 29, 1)
    expect([change - 1, change].map((ts) => zoneNamed('Europe/London').offset(ts))).toEqual([0, 60])
  })

  test('still answers after more days than it remembers', () => {
    for (let day = 0; day < 10_050; day++) zoneNamed('Asia/Kathmandu').offset(Date.UTC(2000, 0, 1 + day))
    expect(zoneNamed('Asia/Kathmandu').offset(Date.UTC(2000, 0, 1))).toBe(345)
  })

  test("keeps the wall-clock time through days as luxon's own does, also where the zone skips or repeats it", () => {
    fc.assert(
      fc.property(names, instants, fc.integer({ min: -100, max: 100 }), (name, ts, days) => {
        const expected = DateTime.fromMillis(ts, { zone: IANAZone.create(name) }).plus({ days })
        expect(sameWallTime(zoneNamed(name), ts, days)).toBe(expected.toMillis())
      }),
      { numRuns: 2000 },
    )
    fc.assert(
      fc.property(names, instants, fc.integer({ min: -100, max: 100 }), (name, change, days) => {
        // So many days before a change of the offset: the time of day is skipped or repeated on the day itself.
        const zone = IANAZone.create(name)
        const ts = DateTime.fromMillis(change, { zone }).minus({ days }).toMillis()
        const expected = DateTime.fromMillis(ts, { zone }).plus({ days })
        expect(sameWallTime(zoneNamed(name), ts, days)).toBe(expected.toMillis())
      }),
      { numRuns: 2000 },
    )
  })

  test('is a zone to luxon, by its own name', () => {
    const at = DateTime.fromISO('2026-07-01T12:00:00Z').setZone(zoneNamed('Europe/Paris'))
    expect(at.toISO()).toBe('2026-07-01T14:00:00.000+02:00')
    expect(at.zoneName).toBe('Europe/Paris')
    expect(at.toFormat('ZZZZ')).toContain('2')
  })

  test('is refused when there is none of that name', () =>
    expect(() => zoneNamed('Mars/Olympus')).toThrow('unknown time zone "Mars/Olympus"'))
})
