import fc from 'fast-check'
import { DateTime, Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import { type LadderInput, latestDueRung, nextRungAfter, type Rung, rungsOf } from '../../src/domain/ladder.ts'
import type { RungOffset } from '../../src/domain/policy.ts'
import { allowedStretch, isQuiet } from '../../src/domain/quiet-hours.ts'

const DAY = 86_400_000
const instant = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })
const offset = (days: number): RungOffset => ({ name: days > 0 ? `+${days}d` : `${days}d`, days })
const ladderOf = (...days: number[]): RungOffset[] => days.map(offset)
const DEFAULT = ladderOf(-14, -7, -3, -1, 0, 7, 30, 60, 83)
const NIGHT = { from: '20:00', to: '08:00' }

interface Ladder {
  zone?: string
  expires: string
  graceDays?: number
  graceHours?: number
  ladder?: RungOffset[]
  quiet?: LadderInput['quietHours']
  spread?: Duration | false
}

const aLadder = ({
  zone = 'Europe/London',
  expires,
  graceDays = 90,
  graceHours = 0,
  ladder = DEFAULT,
  quiet = false,
  spread = false,
}: Ladder): LadderInput => ({
  consentId: 'consent-1',
  expiresAt: instant(expires),
  graceEndsAt: instant(expires).plus({ hours: graceDays * 24 + graceHours }),
  timeZone: zone,
  ladder,
  quietHours: quiet,
  spread,
})

/** Each rung with its local time: `-14d 2026-05-17T12:00+01:00`. */
const inWords = (input: LadderInput): string[] =>
  rungsOf(input).map(({ name, at }) => `${name} ${at.setZone(input.timeZone).toFormat("yyyy-MM-dd'T'HH:mmZZ")}`)

describe('the rungs', () => {
  const table: Record<string, Ladder & { rungs: string[] }> = {
    'of the default ladder stand at the wall time of the expiry': {
      expires: '2026-06-30T12:00:00+01:00',
      rungs: [
        '-14d 2026-06-16T12:00+01:00',
        '-7d 2026-06-23T12:00+01:00',
        '-3d 2026-06-27T12:00+01:00',
        '-1d 2026-06-29T12:00+01:00',
        '0d 2026-06-30T12:00+01:00',
        '+7d 2026-07-07T12:00+01:00',
        '+30d 2026-07-30T12:00+01:00',
        '+60d 2026-08-29T12:00+01:00',
        '+83d 2026-09-21T12:00+01:00',
      ],
    },
    'are sorted whatever the order in the policy': {
      expires: '2026-06-30T12:00:00+01:00',
      ladder: ladderOf(7, -1, 0),
      rungs: ['-1d 2026-06-29T12:00+01:00', '0d 2026-06-30T12:00+01:00', '+7d 2026-07-07T12:00+01:00'],
    },
    'keep their wall time over the change to summer time in London': {
      expires: '2026-04-02T10:00:00+01:00',
      ladder: ladderOf(-7, -3),
      rungs: ['-7d 2026-03-26T10:00+00:00', '-3d 2026-03-30T10:00+01:00'],
    },
    'keep their wall time over the change to winter time in Paris': {
      zone: 'Europe/Paris',
      expires: '2026-10-20T10:00:00+02:00',
      ladder: ladderOf(0, 7),
      rungs: ['0d 2026-10-20T10:00+02:00', '+7d 2026-10-27T10:00+01:00'],
    },
    'keep their wall time over both changes in New York': {
      zone: 'America/New_York',
      expires: '2026-03-01T10:00:00-05:00',
      ladder: ladderOf(0, 14),
      rungs: ['0d 2026-03-01T10:00-05:00', '+14d 2026-03-15T10:00-04:00'],
    },
    'and back again in November': {
      zone: 'America/New_York',
      expires: '2026-11-04T10:00:00-05:00',
      ladder: ladderOf(-7, 0),
      rungs: ['-7d 2026-10-28T10:00-04:00', '0d 2026-11-04T10:00-05:00'],
    },
    'shift by half an hour with Lord Howe': {
      zone: 'Australia/Lord_Howe',
      expires: '2026-10-06T10:00:00+11:00',
      ladder: ladderOf(-3, 0),
      rungs: ['-3d 2026-10-03T10:00+10:30', '0d 2026-10-06T10:00+11:00'],
    },
    'that would stand in the skipped hour stand right after it': {
      zone: 'Europe/Paris',
      expires: '2026-03-30T02:30:00+02:00',
      ladder: ladderOf(-1),
      rungs: ['-1d 2026-03-29T03:30+02:00'],
    },
    'stand once where a zone skipped a day: the first stays': {
      zone: 'Pacific/Apia',
      expires: '2011-12-31T12:00:00+14:00',
      ladder: ladderOf(-2, -1, 0, 1),
      rungs: ['-2d 2011-12-29T12:00-10:00', '-1d 2011-12-31T12:00+14:00', '+1d 2012-01-01T12:00+14:00'],
    },
    'count the leap day': {
      expires: '2028-03-01T12:00:00Z',
      ladder: ladderOf(-1, 0, 1),
      rungs: ['-1d 2028-02-29T12:00+00:00', '0d 2028-03-01T12:00+00:00', '+1d 2028-03-02T12:00+00:00'],
    },
    'from a leap day on go by days, not years': {
      expires: '2028-02-29T12:00:00Z',
      ladder: ladderOf(-14, 1),
      rungs: ['-14d 2028-02-15T12:00+00:00', '+1d 2028-03-01T12:00+00:00'],
    },
    'go by the calendar of a zone 14 hours ahead': {
      zone: 'Pacific/Kiritimati',
      expires: '2026-06-29T22:00:00Z',
      ladder: ladderOf(-1, 0),
      quiet: NIGHT,
      rungs: ['-1d 2026-06-29T12:00+14:00', '0d 2026-06-30T12:00+14:00'],
    },
    'go by the calendar of a zone 11 hours behind': {
      zone: 'Pacific/Pago_Pago',
      expires: '2026-06-30T22:00:00Z',
      ladder: ladderOf(-1, 0),
      quiet: NIGHT,
      rungs: ['-1d 2026-06-29T11:00-11:00', '0d 2026-06-30T11:00-11:00'],
    },
  }
  test.each(Object.entries(table))('%s', (_, { rungs, ...ladder }) => expect(inWords(aLadder(ladder))).toEqual(rungs))
})

describe('quiet hours', () => {
  const around = ladderOf(-1, 0, 1)
  const table: Record<string, Ladder & { rungs: string[] }> = {
    'leave rungs in the day alone': {
      expires: '2026-06-30T12:00:00+01:00',
      rungs: ['-1d 2026-06-29T12:00+01:00', '0d 2026-06-30T12:00+01:00', '+1d 2026-07-01T12:00+01:00'],
    },
    'leave rungs a minute before them alone': {
      expires: '2026-06-30T19:59:00+01:00',
      rungs: ['-1d 2026-06-29T19:59+01:00', '0d 2026-06-30T19:59+01:00', '+1d 2026-07-01T19:59+01:00'],
    },
    'at their beginning move rungs to an hour before, after expiry to the morning': {
      expires: '2026-06-30T20:00:00+01:00',
      rungs: ['-1d 2026-06-29T19:00+01:00', '0d 2026-06-30T19:00+01:00', '+1d 2026-07-02T08:00+01:00'],
    },
    'before midnight': {
      expires: '2026-06-30T23:30:00+01:00',
      rungs: ['-1d 2026-06-29T19:00+01:00', '0d 2026-06-30T19:00+01:00', '+1d 2026-07-02T08:00+01:00'],
    },
    'after midnight move rungs to the evening before, after expiry to the same morning': {
      expires: '2026-06-30T03:00:00+01:00',
      rungs: ['-1d 2026-06-28T19:00+01:00', '0d 2026-06-29T19:00+01:00', '+1d 2026-07-01T08:00+01:00'],
    },
    'at their last second': {
      expires: '2026-06-30T07:59:59+01:00',
      rungs: ['-1d 2026-06-28T19:00+01:00', '0d 2026-06-29T19:00+01:00', '+1d 2026-07-01T08:00+01:00'],
    },
    'at their end leave rungs alone': {
      expires: '2026-06-30T08:00:00+01:00',
      rungs: ['-1d 2026-06-29T08:00+01:00', '0d 2026-06-30T08:00+01:00', '+1d 2026-07-01T08:00+01:00'],
    },
    'on the night the clocks go forward': {
      expires: '2026-03-29T03:00:00+01:00',
      rungs: ['-1d 2026-03-27T19:00+00:00', '0d 2026-03-28T19:00+00:00', '+1d 2026-03-30T08:00+01:00'],
    },
    'on the night the clocks go back, in the second of the two hours': {
      expires: '2026-10-25T01:30:00Z',
      rungs: ['-1d 2026-10-23T19:00+01:00', '0d 2026-10-24T19:00+01:00', '+1d 2026-10-26T08:00+00:00'],
    },
  }
  test.each(Object.entries(table))('%s', (_, { rungs, ...ladder }) =>
    expect(inWords(aLadder({ ladder: around, quiet: NIGHT, ...ladder }))).toEqual(rungs),
  )

  test('that leave half an hour a day put rungs into the middle of it', () =>
    expect(
      inWords(aLadder({ expires: '2026-06-30T12:00:00+01:00', ladder: around, quiet: { from: '08:30', to: '08:00' } })),
    ).toEqual(['-1d 2026-06-29T08:15+01:00', '0d 2026-06-30T08:15+01:00', '+1d 2026-07-02T08:00+01:00']))
})

describe('the end of grace', () => {
  const table: Record<string, Ladder & { rungs: string[] }> = {
    'more than a day after a rung leaves it alone': {
      expires: '2026-06-30T12:00:00+01:00',
      ladder: ladderOf(83),
      graceDays: 84,
      rungs: ['+83d 2026-09-21T12:00+01:00'],
    },
    'at the very rung brings it forward by a day': {
      expires: '2026-06-30T12:00:00+01:00',
      ladder: ladderOf(60, 90),
      graceDays: 90,
      rungs: ['+60d 2026-08-29T12:00+01:00', '+90d 2026-09-27T12:00+01:00'],
    },
    'less than a day after a rung brings it forward too': {
      expires: '2026-06-30T12:00:00+01:00',
      ladder: ladderOf(83),
      graceDays: 83,
      graceHours: 12,
      rungs: ['+83d 2026-09-21T00:00+01:00'],
    },
    'before several rungs brings the first forward and leaves the rest out': {
      expires: '2026-06-30T12:00:00+01:00',
      graceDays: 20,
      ladder: ladderOf(0, 7, 30, 60, 83),
      rungs: ['0d 2026-06-30T12:00+01:00', '+7d 2026-07-07T12:00+01:00', '+30d 2026-07-19T12:00+01:00'],
    },
    'leaves a rung at the last call alone, though a change of the clocks put the one before it 23 hours away': {
      expires: '2026-03-28T12:00:00Z',
      graceDays: 1,
      graceHours: 22,
      ladder: ladderOf(0, 1),
      rungs: ['0d 2026-03-28T12:00+00:00', '+1d 2026-03-29T12:00+01:00'],
    },
    'keeps a rung that follows another by exactly a day': {
      expires: '2026-06-30T12:00:00+01:00',
      graceDays: 9,
      ladder: ladderOf(7, 9),
      rungs: ['+7d 2026-07-07T12:00+01:00', '+9d 2026-07-08T12:00+01:00'],
    },
    'leaves out a rung that would follow another within a day': {
      expires: '2026-06-30T12:00:00+01:00',
      graceDays: 8,
      ladder: ladderOf(7, 8),
      rungs: ['+7d 2026-07-07T12:00+01:00'],
    },
    'half a day after expiry still asks once, half way, when nothing was asked before': {
      expires: '2026-06-30T12:00:00+01:00',
      graceDays: 0,
      graceHours: 12,
      ladder: ladderOf(7),
      rungs: ['+7d 2026-06-30T18:00+01:00'],
    },
    'half a day after expiry leaves it at the asking at expiry': {
      expires: '2026-06-30T12:00:00+01:00',
      graceDays: 0,
      graceHours: 12,
      ladder: ladderOf(-1, 0, 7),
      rungs: ['-1d 2026-06-29T12:00+01:00', '0d 2026-06-30T12:00+01:00'],
    },
    'at the expiry itself leaves the last rung a day before': {
      expires: '2026-06-30T12:00:00+01:00',
      graceDays: 0,
      ladder: ladderOf(-7, -1, 0, 7),
      rungs: ['-7d 2026-06-23T12:00+01:00', '-1d 2026-06-29T12:00+01:00'],
    },
    'at the expiry itself brings the asking at expiry forward by a day': {
      expires: '2026-06-30T12:00:00+01:00',
      graceDays: 0,
      ladder: ladderOf(0),
      rungs: ['0d 2026-06-29T12:00+01:00'],
    },
    'in the night brings a rung that the morning would take past it to the evening before': {
      expires: '2026-06-30T03:00:00+01:00',
      graceDays: 7,
      graceHours: 2,
      ladder: ladderOf(0, 7),
      quiet: NIGHT,
      rungs: ['0d 2026-06-29T19:00+01:00', '+7d 2026-07-05T19:00+01:00'],
    },
    'the next noon, after an expiry in the night, asks in the morning between': {
      expires: '2026-06-30T21:00:00+01:00',
      graceDays: 0,
      graceHours: 15,
      ladder: ladderOf(7),
      quiet: NIGHT,
      rungs: ['+7d 2026-07-01T08:00+01:00'],
    },
    'at the end of the night after an expiry allows no asking at all': {
      expires: '2026-06-30T21:00:00+01:00',
      graceDays: 0,
      graceHours: 11,
      ladder: ladderOf(7),
      quiet: NIGHT,
      rungs: [],
    },
    'a second after the end of that night asks in that second': {
      expires: '2026-06-30T21:00:01+01:00',
      graceDays: 0,
      graceHours: 11,
      ladder: ladderOf(7),
      quiet: NIGHT,
      rungs: ['+7d 2026-07-01T08:00+01:00'],
    },
    'before the morning after an expiry in the night allows no asking at all': {
      expires: '2026-06-30T21:00:00+01:00',
      graceDays: 0,
      graceHours: 10,
      ladder: ladderOf(7),
      quiet: NIGHT,
      rungs: [],
    },
  }
  test.each(Object.entries(table))('%s', (_, { rungs, ...ladder }) => expect(inWords(aLadder(ladder))).toEqual(rungs))
})

describe('spreading', () => {
  const twelveHours = Duration.fromObject({ hours: 12 })
  const placesOf = (input: LadderInput, rung: string, consents = 1000): number[] =>
    Array.from(
      { length: consents },
      (_, id) =>
        rungsOf({ ...input, consentId: `consent-${id}` })
          .find(({ name }) => name === rung)
          ?.at.toMillis() ?? 0,
    )

  test('fills the allowed hours evenly: earlier before expiry, later after it', () => {
    const input = aLadder({ expires: '2026-06-30T14:00:00+01:00', quiet: NIGHT, spread: twelveHours })
    const before = placesOf(input, '0d').map((at) => (input.expiresAt.toMillis() - at) / 3_600_000)
    expect(Math.min(...before)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...before)).toBeLessThanOrEqual(6)
    expect(before.filter((hours) => hours < 3).length).toBeGreaterThan(400)
    expect(before.filter((hours) => hours > 3).length).toBeGreaterThan(400)
    const natural = instant('2026-07-07T14:00:00+01:00').toMillis()
    const after = placesOf(input, '+7d').map((at) => (at - natural) / 3_600_000)
    expect(Math.min(...after)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...after)).toBeLessThan(6)
    expect(after.filter((hours) => hours > 3).length).toBeGreaterThan(400)
  })

  test('spreads out those that quiet hours had piled up', () => {
    const input = aLadder({
      expires: '2026-06-30T23:00:00+01:00',
      quiet: NIGHT,
      spread: Duration.fromObject({ hours: 2 }),
    })
    const evening = instant('2026-06-30T19:00:00+01:00').toMillis()
    const morning = instant('2026-07-08T08:00:00+01:00').toMillis()
    const before = placesOf(input, '0d').map((at) => (evening - at) / 60_000)
    const after = placesOf(input, '+7d').map((at) => (at - morning) / 60_000)
    for (const minutes of [before, after]) {
      expect(Math.min(...minutes)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...minutes)).toBeLessThan(120)
      expect(Math.max(...minutes)).toBeGreaterThan(110)
      expect(new Set(minutes).size).toBeGreaterThan(900)
    }
  })

  test('gives the rungs of one consent different times of day', () => {
    const rungs = rungsOf(aLadder({ expires: '2026-06-30T14:00:00+01:00', quiet: NIGHT, spread: twelveHours }))
    expect(new Set(rungs.map(({ at }) => at.setZone('Europe/London').toFormat('HH:mm:ss'))).size).toBe(rungs.length)
  })

  test('gives way to the next rung, the expiry and the last call when it is longer than they are apart', () => {
    const input = aLadder({
      expires: '2026-06-30T14:00:00+01:00',
      graceDays: 4,
      ladder: ladderOf(-2, -1, 0, 1, 2, 3, 4),
      spread: Duration.fromObject({ days: 30 }),
    })
    for (let id = 0; id < 300; id++) {
      const rungs = rungsOf({ ...input, consentId: `consent-${id}` })
      expect(rungs.map(({ name }) => name)).toEqual(['-2d', '-1d', '0d', '+1d', '+2d', '+3d'])
      for (const [index, { at }] of rungs.entries())
        expect(at > (rungs[index - 1]?.at ?? instant('2026-01-01T00:00:00Z'))).toBe(true)
      expect(rungs[2]!.at <= input.expiresAt).toBe(true)
      expect(rungs[3]!.at > input.expiresAt).toBe(true)
      expect(rungs[5]!.at <= input.graceEndsAt.minus({ days: 1 })).toBe(true)
    }
  })
})

describe('of the rungs', () => {
  const rungs: Rung[] = [
    { name: '-1d', at: instant('2026-06-29T12:00:00Z') },
    { name: '0d', at: instant('2026-06-30T12:00:00Z') },
    { name: '+7d', at: instant('2026-07-07T12:00:00Z') },
  ]
  const table: Record<string, { now: string; due: string | undefined; next: string | undefined }> = {
    'none is due a second before the first': { now: '2026-06-29T11:59:59Z', due: undefined, next: '-1d' },
    'the first is due at its instant': { now: '2026-06-29T12:00:00Z', due: '-1d', next: '0d' },
    'the first is due a second later': { now: '2026-06-29T12:00:01Z', due: '-1d', next: '0d' },
    'the first is due until a second before the second': { now: '2026-06-30T11:59:59Z', due: '-1d', next: '0d' },
    'the second takes over at its instant': { now: '2026-06-30T12:00:00Z', due: '0d', next: '+7d' },
    'only the latest is due after a downtime': { now: '2026-07-20T12:00:00Z', due: '+7d', next: undefined },
  }
  test.each(Object.entries(table))('%s', (_, { now, due, next }) => {
    expect(latestDueRung(rungs, instant(now))?.name).toBe(due)
    expect(nextRungAfter(rungs, instant(now))?.name).toBe(next)
  })
  test('none is due and none is next where the ladder has none', () => {
    expect(latestDueRung([], instant('2026-06-29T12:00:00Z'))).toBeUndefined()
    expect(nextRungAfter([], instant('2026-06-29T12:00:00Z'))).toBeUndefined()
  })
})

test('an unknown zone is named', () =>
  expect(() => rungsOf(aLadder({ zone: 'Mars/Olympus', expires: '2026-06-30T12:00:00Z', quiet: NIGHT }))).toThrow(
    'Mars/Olympus',
  ))

describe('for any consent, zone and policy', () => {
  const zone = fc.constantFrom(
    'Europe/London',
    'Europe/Paris',
    'America/New_York',
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'Pacific/Kiritimati',
    'Pacific/Pago_Pago',
    'Asia/Kathmandu',
    'utc',
  )
  const time = fc
    .integer({ min: 0, max: 1439 })
    .map((minute) => `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`)
  const quietHours = fc.oneof(
    fc.constant(false as const),
    fc.constant(NIGHT),
    fc.record({ from: time, to: time }).filter(({ from, to }) => from !== to),
  )
  const instants = fc.oneof(
    fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2030, 0, 1) }),
    fc.integer({ min: Date.UTC(2011, 11, 25), max: Date.UTC(2012, 0, 5) }),
  )
  const inputs: fc.Arbitrary<LadderInput> = fc
    .record({
      consentId: fc.uuid(),
      expires: instants,
      graceMinutes: fc.oneof(
        fc.constant(90 * 1440),
        fc.integer({ min: 0, max: 4 * 1440 }),
        fc.integer({ min: 0, max: 120 * 1440 }),
      ),
      timeZone: zone,
      days: fc.uniqueArray(fc.integer({ min: -30, max: 100 }), { maxLength: 12 }),
      quietHours,
      spread: fc.oneof(
        fc.constant(false as const),
        fc.integer({ min: 0, max: 48 * 60 }).map((minutes) => Duration.fromObject({ minutes })),
      ),
    })
    .map(({ expires, graceMinutes, days, ...rest }) => {
      const expiresAt = DateTime.fromMillis(expires, { zone: 'utc' })
      return { ...rest, expiresAt, graceEndsAt: expiresAt.plus({ minutes: graceMinutes }), ladder: ladderOf(...days) }
    })
  const holds = (property: (input: LadderInput, rungs: readonly Rung[]) => void): void =>
    fc.assert(
      fc.property(inputs, (input) => property(input, rungsOf(input))),
      { numRuns: 500 },
    )
  const daysOf = ({ name }: Rung): number => Number.parseInt(name, 10)

  test('the order of the ladder is kept, and no two rungs share an instant', () =>
    holds((_, rungs) => {
      for (const [index, rung] of rungs.entries()) {
        const previous = rungs[index - 1]
        if (previous === undefined) continue
        expect(daysOf(rung)).toBeGreaterThan(daysOf(previous))
        expect(rung.at.toMillis()).toBeGreaterThan(previous.at.toMillis())
      }
    }))

  test('no rung is in quiet hours', () =>
    holds(({ timeZone, quietHours: quiet }, rungs) => {
      expect(rungs.filter(({ at }) => isQuiet(at, timeZone, quiet))).toEqual([])
    }))

  test('no rung crosses the expiry', () =>
    holds(({ expiresAt }, rungs) => {
      for (const rung of rungs) expect(rung.at > expiresAt).toBe(daysOf(rung) > 0)
    }))

  test('no rung is at or past the end of grace', () =>
    holds(({ graceEndsAt }, rungs) => {
      expect(rungs.filter(({ at }) => at >= graceEndsAt)).toEqual([])
    }))

  test('rungs are in UTC, and the same each time', () =>
    holds((input, rungs) => {
      for (const { at } of rungs) expect(at.zoneName).toBe('UTC')
      expect(rungsOf(input).map(({ name, at }) => `${name} ${at.toISO()}`)).toEqual(
        rungs.map(({ name, at }) => `${name} ${at.toISO()}`),
      )
    }))

  test('spreading moves a rung by no more than it may, within its allowed stretch, and drops none', () =>
    holds((input, rungs) => {
      const unspread = rungsOf({ ...input, spread: false })
      expect(rungs.map(({ name }) => name)).toEqual(unspread.map(({ name }) => name))
      for (const [index, { at }] of rungs.entries()) {
        const was = unspread[index]!.at
        const most = input.spread === false ? 0 : input.spread.toMillis()
        expect(Math.abs(at.toMillis() - was.toMillis())).toBeLessThanOrEqual(most)
        const stretch = allowedStretch(was, input.timeZone, input.quietHours)
        if (stretch !== undefined) expect(at >= stretch.from && at < stretch.until).toBe(true)
      }
    }))

  test('only quiet hours and the end of grace take a rung from its calendar day at the wall time of the expiry', () =>
    holds((input) => {
      const undisturbed = {
        ...input,
        quietHours: false as const,
        spread: false as const,
        graceEndsAt: input.expiresAt.plus({ days: 200 }),
      }
      for (const rung of rungsOf(undisturbed)) {
        const wished = input.expiresAt.setZone(input.timeZone).plus({ days: daysOf(rung) })
        expect(rung.at.toMillis()).toBe(wished.toMillis())
      }
    }))

  test('a ladder that reaches past the grace still asks in its last days, when the nights leave room', () =>
    fc.assert(
      fc.property(inputs, fc.integer({ min: 5, max: 60 }), (input, graceDays) => {
        const graceEndsAt = input.expiresAt.plus({ days: graceDays })
        const ladder = [...input.ladder.filter(({ days }) => days <= graceDays), offset(graceDays + 1)]
        const rungs = rungsOf({ ...input, quietHours: NIGHT, graceEndsAt, ladder })
        expect(graceEndsAt.toMillis() - (rungs.at(-1)?.at.toMillis() ?? 0)).toBeLessThanOrEqual(4 * DAY)
      }),
      { numRuns: 500 },
    ))
})
