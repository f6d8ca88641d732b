// Which instants are quiet in a user's time zone, and which allowed instants lie around them. This file does not decide
// what is sent.
//
// An instant is quiet when its wall-clock time lies in [from, to): `from` is quiet, `to` is allowed. This also holds
// through changes of DST: a skipped hour never occurs, and a repeated hour is judged each time it occurs. `from` equal
// to `to` means here that there are no quiet hours; the parser of the policy refuses such a pair, because the operator
// may as well have meant the whole day.
import { DateTime, Duration } from 'luxon'
import type { Zone } from 'luxon'
import type { QuietHours } from './policy.ts'
import { zoneNamed } from './zone.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NO_ROOM = Duration.fromMillis(1)

interface Hours {
  readonly zone: Zone
  /** `from` and `to` in milliseconds since midnight on the wall clock. */
  readonly from: number
  readonly to: number
}

const wallTime = (text: string): number => {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text)
  if (match === null) throw new RangeError(`quiet hours: "${text}" is not a time of day like "20:00"`)
  return (Number(match[1]) * 60 + Number(match[2])) * MINUTE
}

/** Undefined when no instant is ever quiet. Throws a RangeError on an unknown zone or a time that is not `HH:mm`. */
const hoursOf = (zoneName: string, quiet: QuietHours | false): Hours | undefined => {
  const zone = zoneNamed(zoneName)
  if (quiet === false) return undefined
  const hours = { zone, from: wallTime(quiet.from), to: wallTime(quiet.to) }
  return hours.from === hours.to ? undefined : hours
}

const modDay = (ms: number): number => ((ms % DAY) + DAY) % DAY
const offsetMs = (zone: Zone, ts: number): number => zone.offset(ts) * MINUTE
const wallOf = (zone: Zone, ts: number): number => modDay(ts + offsetMs(zone, ts))

const quietAt = (hours: Hours, ts: number): boolean => {
  const wall = wallOf(hours.zone, ts)
  return hours.from < hours.to ? wall >= hours.from && wall < hours.to : wall >= hours.from || wall < hours.to
}

/**
 * The instant in (low, high] at which the zone's offset changes; undefined when the offset is the same at both ends.
 * `low` and `high` are at most a day apart, and no zone changes its offset twice in a day.
 */
const changeWithin = (zone: Zone, low: number, high: number): number | undefined => {
  const before = zone.offset(low)
  if (zone.offset(high) === before) return undefined
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (zone.offset(middle) === before) low = middle
    else high = middle
  }
  return high
}

/** The first instant after `ts` at which quiet time turns into allowed time, or allowed time into quiet time. */
const stretchEnd = (hours: Hours, ts: number): number => {
  const quiet = quietAt(hours, ts)
  for (let cursor = ts; ;) {
    const end = cursor + modDay((quiet ? hours.to : hours.from) - wallOf(hours.zone, cursor) - 1) + 1
    const next = changeWithin(hours.zone, cursor, end) ?? end
    if (quietAt(hours, next) !== quiet) return next
    cursor = next
  }
}

/** The first instant of the unbroken stretch of quiet, or of allowed, time that contains `ts`. */
const stretchStart = (hours: Hours, ts: number): number => {
  const quiet = quietAt(hours, ts)
  for (let cursor = ts; ;) {
    const start = cursor - modDay(wallOf(hours.zone, cursor) - (quiet ? hours.from : hours.to))
    const first = changeWithin(hours.zone, start, cursor) ?? start
    if (quietAt(hours, first - 1) !== quiet) return first
    cursor = first - 1
  }
}

const utc = (ts: number): DateTime => DateTime.fromMillis(ts, { zone: 'utc' })

/** Whether no message may be sent at that instant. */
export const isQuiet = (at: DateTime, zone: string, quiet: QuietHours | false): boolean => {
  const hours = hoursOf(zone, quiet)
  return hours !== undefined && quietAt(hours, at.toMillis())
}

/**
 * The latest allowed instant at or before `at`. An allowed `at` is returned as it is. For a quiet `at` the result lies
 * `room` before the quiet began (by default a millisecond), or half of the allowed stretch before it if that stretch is
 * shorter than twice the room. In UTC.
 */
export const beforeQuiet = (
  at: DateTime,
  zone: string,
  quiet: QuietHours | false,
  room: Duration = NO_ROOM,
): DateTime => {
  const hours = hoursOf(zone, quiet)
  if (hours === undefined || !quietAt(hours, at.toMillis())) return at.toUTC()
  const quietFrom = stretchStart(hours, at.toMillis())
  const half = Math.floor((quietFrom - stretchStart(hours, quietFrom - 1)) / 2)
  return utc(quietFrom - Math.max(1, Math.min(room.toMillis(), half)))
}

/** The earliest allowed instant at or after `at`. In UTC. */
export const afterQuiet = (at: DateTime, zone: string, quiet: QuietHours | false): DateTime => {
  const hours = hoursOf(zone, quiet)
  return hours === undefined || !quietAt(hours, at.toMillis()) ? at.toUTC() : utc(stretchEnd(hours, at.toMillis()))
}

/**
 * The unbroken allowed stretch around the allowed instant `at`: its first instant, and the instant at which the quiet
 * begins (no longer allowed). Undefined when no instant is ever quiet. In UTC.
 */
export const allowedStretch = (
  at: DateTime,
  zone: string,
  quiet: QuietHours | false,
): { readonly from: DateTime; readonly until: DateTime } | undefined => {
  const hours = hoursOf(zone, quiet)
  if (hours === undefined) return undefined
  const ts = at.toMillis()
  if (quietAt(hours, ts)) throw new RangeError(`quiet hours: ${at.toUTC().toISO()} is itself quiet in ${zone}`)
  return { from: utc(stretchStart(hours, ts)), until: utc(stretchEnd(hours, ts)) }
}
