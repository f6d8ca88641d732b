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

/** The questions of this file about instants in milliseconds: for whoever asks many of them about one user. */
export interface QuietTimes {
  isQuiet(ts: number): boolean
  /** As `beforeQuiet`, `afterQuiet` and `allowedStretch`. */
  before(ts: number, roomMs: number): number
  after(ts: number): number
  stretch(ts: number): { readonly from: number; readonly until: number } | undefined
}

/** Throws a RangeError on an unknown zone or a time that is not `HH:mm`. */
export const quietTimesOf = (zone: string, quiet: QuietHours | false): QuietTimes => {
  const hours = hoursOf(zone, quiet)
  const isQuietAt = (ts: number): boolean => hours !== undefined && quietAt(hours, ts)
  return {
    isQuiet: isQuietAt,
    before: (ts, roomMs) => {
      if (hours === undefined || !isQuietAt(ts)) return ts
      const quietFrom = stretchStart(hours, ts)
      const half = Math.floor((quietFrom - stretchStart(hours, quietFrom - 1)) / 2)
      return quietFrom - Math.max(1, Math.min(roomMs, half))
    },
    after: (ts) => (hours === undefined || !isQuietAt(ts) ? ts : stretchEnd(hours, ts)),
    stretch: (ts) => {
      if (hours === undefined) return undefined
      if (isQuietAt(ts)) throw new RangeError(`quiet hours: ${utc(ts).toISO()} is itself quiet in ${zone}`)
      return { from: stretchStart(hours, ts), until: stretchEnd(hours, ts) }
    },
  }
}

const utc = (ts: number): DateTime => DateTime.fromMillis(ts, { zone: 'utc' })

/** Whether no message may be sent at that instant. */
export const isQuiet = (at: DateTime, zone: string, quiet: QuietHours | false): boolean =>
  quietTimesOf(zone, quiet).isQuiet(at.toMillis())

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
): DateTime => utc(quietTimesOf(zone, quiet).before(at.toMillis(), room.toMillis()))

/** The earliest allowed instant at or after `at`. In UTC. */
export const afterQuiet = (at: DateTime, zone: string, quiet: QuietHours | false): DateTime =>
  utc(quietTimesOf(zone, quiet).after(at.toMillis()))

/**
 * The unbroken allowed stretch around the allowed instant `at`: its first instant, and the instant at which the quiet
 * begins (no longer allowed). Undefined when no instant is ever quiet. In UTC.
 */
export const allowedStretch = (
  at: DateTime,
  zone: string,
  quiet: QuietHours | false,
): { readonly from: DateTime; readonly until: DateTime } | undefined => {
  const stretch = quietTimesOf(zone, quiet).stretch(at.toMillis())
  return stretch && { from: utc(stretch.from), until: utc(stretch.until) }
}
