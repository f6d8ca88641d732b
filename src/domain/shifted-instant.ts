// Instants that release 0.1.0 stored in a session whose time zone was not UTC: its driver wrote the UTC wall clock
// without an offset, and PostgreSQL took that for the zone's local time; reading, it took local time for UTC. Which
// true instant can a stored one have been? Pure: what proves it is the caller's business. Instants are milliseconds
// here, offsets minutes east of UTC.
import { IANAZone } from 'luxon'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
/** No zone is further from UTC than 14 hours; a time that the clocks leave out adds one. */
const FARTHEST = 15 * 60

/** What was meant, and what the column holds. */
export interface Shift {
  readonly meant: number
  readonly stored: number
  /**
   * It may have been moved so many times by the same zone: by each import that read and wrote it. Once, unless said.
   */
  readonly times?: number
}

/** How late `stored` is to be taken: the zone's offset when it was written. */
export const offsetOf = ({ meant, stored }: Shift): number => (meant - stored) / MINUTE

/** Whether one zone, or `times` of them one after the other, can have made one of the other. */
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

/** The zone's offsets around an instant: more than one where its clocks change within a day. */
const offsetsAround = (zone: string, at: number): number[] => [
  ...new Set([at - DAY, at, at + DAY].map((moment) => IANAZone.create(zone).offset(moment))),
]

/**
 * What a session of this zone stored for an instant. As PostgreSQL does it: a wall time that the clocks leave out is
 * read with the offset before the change, one that comes twice with the offset after it.
 */
export const shiftedBy = (zone: string, meant: number): number => {
  const readings = offsetsAround(zone, meant).map((offset) => meant - offset * MINUTE)
  const real = readings.filter((stored) => readAs(zone, stored) === meant)
  if (real.length > 0) return Math.max(...real)
  const before = IANAZone.create(zone).offset(Math.min(...readings) - 1)
  return meant - before * MINUTE
}

/** What a session of this zone made of a stored instant when it read it. */
export const readAs = (zone: string, stored: number): number => stored + IANAZone.create(zone).offset(stored) * MINUTE

/** The offsets with which sessions of these zones can have written an instant that is stored as `stored`. */
export const offsetsNear = (zones: readonly string[], stored: number): number[] => {
  const around = new Set(zones.flatMap((zone) => offsetsAround(zone, stored)))
  // A wall time that the clocks left out lies an hour (in one place half) from what reading gives back.
  return [...new Set([...around].flatMap((offset) => [offset, offset - 60, offset - 30]))]
}

/** All instants whose reading in this zone is `read`; two where the clocks were set back. */
export const instantsReadAs = (zone: string, read: number): number[] =>
  offsetsAround(zone, read)
    .map((offset) => read - offset * MINUTE)
    .filter((instant) => readAs(zone, instant) === read)

/** One zone that explains what was found, under all the names that explain as much of it. */
export interface ZoneFound {
  readonly names: readonly string[]
}

const explains = (zone: string, { meant, stored, times = 1 }: Shift): boolean => {
  let read = stored
  for (let time = 1; time <= times; time += 1) {
    read = readAs(zone, read)
    if (read === meant) return true
  }
  // Only where the clocks leave a time out (two hours at most) does reading not give back what was meant; asking is
  // dear.
  return times === 1 && Math.abs(read - meant) <= 120 * MINUTE && shiftedBy(zone, meant) === stored
}

/**
 * Asking each of 400 zones takes time, and more of the same says nothing new: one a day and offset, spread over all of
 * them.
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

/** Names that servers are set to: of many that explain the same, these are shown first. */
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

/** Servers may be set to a fixed offset, for which no place needs to have it. */
const WITHOUT_PLACE = Array.from({ length: 27 }, (_, index) => index - 14)
  .filter((hours) => hours !== 0)
  .map((hours) => `Etc/GMT${hours < 0 ? '' : '+'}${hours}`)

/**
 * The fewest zones that explain the shifts, those that explain most first; of names that explain the same, `preferred`
 * ones come first.
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
