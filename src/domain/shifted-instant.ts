// Instants that release 0.1.0 stored in a session whose time zone was not UTC. Its driver wrote the UTC wall clock
// without an offset, and PostgreSQL took that for the zone's local time; when reading, the driver took local time for
// UTC. This file finds the true instants that a stored one can stand for. It is pure: proving which of them is right is
// the caller's task. Instants are in milliseconds here, offsets in minutes east of UTC.
import { IANAZone } from 'luxon'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
/** No zone is further from UTC than 14 hours; a wall time that the clocks skip adds one hour. */
const FARTHEST = 15 * 60

/** The true instant, and the instant that the column holds. */
export interface Shift {
  readonly meant: number
  readonly stored: number
  /**
   * How many times at most the same zone may have shifted the instant: once by each import that read and wrote it. One
   * unless given.
   */
  readonly times?: number
}

/** The minutes to add to `stored` to get the true instant: the zone's offset when it was written. */
export const offsetOf = ({ meant, stored }: Shift): number => (meant - stored) / MINUTE

/** Whether `meant` and `stored` can differ by the offset of one zone, or by up to `times` such offsets added up. */
export const isShift = ({ meant, stored }: Shift, times = 1): boolean => {
  const minutes = Math.abs(offsetOf({ meant, stored }))
  return Number.isInteger(minutes) && minutes > 0 && minutes <= times * FARTHEST
}

/** Every offset that a zone has had since 1972: all are whole quarters of an hour. */
export const quarterHours: readonly number[] = Array.from(
  { length: (2 * FARTHEST) / 15 + 1 },
  (_, index) => index * 15 - FARTHEST,
).filter((minutes) => minutes !== 0)

export const isZone = (name: string): boolean => IANAZone.isValidZone(name)

/** The zone's offsets around an instant: more than one where its clocks change within a day of it. */
const offsetsAround = (zone: string, at: number): number[] => [
  ...new Set([at - DAY, at, at + DAY].map((moment) => IANAZone.create(zone).offset(moment))),
]

/**
 * The instant that a session of this zone stored for the true instant `meant`. The function follows PostgreSQL: a wall
 * time that the clocks skip is read with the offset before the change, a wall time that occurs twice with the offset
 * after it.
 */
export const shiftedBy = (zone: string, meant: number): number => {
  const readings = offsetsAround(zone, meant).map((offset) => meant - offset * MINUTE)
  const real = readings.filter((stored) => readAs(zone, stored) === meant)
  if (real.length > 0) return Math.max(...real)
  const before = IANAZone.create(zone).offset(Math.min(...readings) - 1)
  return meant - before * MINUTE
}

/** The instant that a session of this zone got when it read a stored instant. */
export const readAs = (zone: string, stored: number): number => stored + IANAZone.create(zone).offset(stored) * MINUTE

/** The offsets with which sessions of these zones can have written an instant that is stored as `stored`. */
export const offsetsNear = (zones: readonly string[], stored: number): number[] => {
  const around = new Set(zones.flatMap((zone) => offsetsAround(zone, stored)))
  // A wall time that the clocks skipped lies an hour (in one place half an hour) from the instant that reading gives.
  return [...new Set([...around].flatMap((offset) => [offset, offset - 60, offset - 30]))]
}

/** All stored instants that a session of this zone reads as `read`; two where the clocks were set back. */
export const instantsReadAs = (zone: string, read: number): number[] =>
  offsetsAround(zone, read)
    .map((offset) => read - offset * MINUTE)
    .filter((instant) => readAs(zone, instant) === read)

/** One zone that explains some of the shifts, under all the names that explain the same ones. */
export interface ZoneFound {
  readonly names: readonly string[]
}

const explains = (zone: string, { meant, stored, times = 1 }: Shift): boolean => {
  let read = stored
  for (let time = 1; time <= times; time += 1) {
    read = readAs(zone, read)
    if (read === meant) return true
  }
  // Reading fails to give back the true instant only where the clocks skipped a time (two hours at most). The distance
  // is compared first because `shiftedBy` is expensive.
  return times === 1 && Math.abs(read - meant) <= 120 * MINUTE && shiftedBy(zone, meant) === stored
}

/**
 * Checking each of 400 zones takes time, and more shifts of the same kind prove nothing new. The sample holds at most
 * one shift for each day, offset and number of times, spread over all the shifts.
 */
const ASKED = 60
const sampleOf = (shifts: readonly Shift[]): Shift[] => {
  const days = [
    ...new Map(
      shifts.map((shift) => [`${Math.floor(shift.stored / DAY)} ${offsetOf(shift)} ${shift.times}`, shift]),
    ).values(),
  ]
  const step = Math.max(1, days.length / ASKED)
  return Array.from({ length: Math.min(ASKED, days.length) }, (_, index) => days[Math.floor(index * step)]).filter(
    (shift) => shift !== undefined,
  )
}

/** Zones that servers are often set to: of several names that explain the same shifts, these are shown first. */
const COMMON = [
  'America/New_York',
  'America/Chicago',
  'America/Denver',
  'America/Los_Angeles',
  'America/Sao_Paulo',
  'Europe/London',
  'Europe/Berlin',
  'Europe/Paris',
  'Europe/Helsinki',
  'Asia/Dubai',
  'Asia/Kolkata',
  'Asia/Singapore',
  'Asia/Shanghai',
  'Asia/Tokyo',
  'Australia/Sydney',
  'Pacific/Auckland',
]

/** Servers may be set to a fixed offset, whether or not any place has that offset. */
const WITHOUT_PLACE = Array.from({ length: 27 }, (_, index) => index - 14)
  .filter((hours) => hours !== 0)
  .map((hours) => `Etc/GMT${hours < 0 ? '' : '+'}${hours}`)

/**
 * A few zones that together explain the shifts; the zone that explains most comes first. Of names that explain the same
 * shifts, the `preferred` ones come first.
 */
export const zonesOf = (shifts: readonly Shift[], preferred: readonly string[] = []): ZoneFound[] => {
  const sample = sampleOf(shifts)
  const names = [
    ...new Set([...preferred.filter(isZone), ...COMMON, ...Intl.supportedValuesOf('timeZone'), ...WITHOUT_PLACE]),
  ]
  const explained =
    sample.length === 0 ? [] : names.map((name) => ({ name, what: sample.filter((shift) => explains(name, shift)) }))
  const found: ZoneFound[] = []
  for (let left: readonly Shift[] = sample; left.length > 0;) {
    const rest = explained.map(({ name, what }) => ({ name, what: what.filter((shift) => left.includes(shift)) }))
    const most = rest.reduce((best, candidate) => (candidate.what.length > best.what.length ? candidate : best))
    if (most.what.length === 0) break
    const same = rest.filter(
      ({ what }) => what.length === most.what.length && what.every((shift) => most.what.includes(shift)),
    )
    found.push({ names: same.map(({ name }) => name) })
    left = left.filter((shift) => !most.what.includes(shift))
  }
  return found
}
