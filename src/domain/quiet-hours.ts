// Which instants are quiet in a user's zone, and the allowed ones around them. Decides nothing about what is sent.
//
// An instant is quiet when its wall-clock time lies in [from, to): `from` is quiet, `to` is allowed. That holds through
// DST as well: an hour that is skipped is neither, an hour that is repeated is judged each time it comes. `from` equal
// to `to` means no quiet hours here; whoever parses the policy refuses it, because a person may as well have meant the
// whole day.
import { DateTime, Duration } from 'luxon'
import type { Zone } from 'luxon'
import type { QuietHours } from './policy.ts'
import { zoneNamed } from './zone.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const NO_ROOM = Duration.fromMillis(1)

interface Hours {
  readonly zone: Zone
  /** Milliseconds of the wall-clock day. */
  readonly from: number
  readonly to: number
}

const wallTime = (text: string): number => {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text)
  if (match === null) throw new RangeError(`quiet hours: "${text}" is not a time of day like "20:00"`)
  return (Number(match[1]) * 60 + Number(match[2])) * MINUTE
}

/** Undefined when nothing is ever quiet. Throws a RangeError on an unknown zone or a time that is not `HH:mm`. */
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
 * The instant in (low, high] at which the zone's offset changes, undefined when it is the same at both ends. The two
 * are at most a day apart, and no zone changes twice in a day.
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

/** The first instant after `ts` that is no longer quiet, or no longer allowed, as `ts` is. */
const stretchEnd = (hours: Hours, ts: number): number => {
  const quiet = quietAt(hours, ts)
  for (let cursor = ts; ;) {
    const end = cursor + modDay((quiet ? hours.to : hours.from) - wallOf(hours.zone, cursor) - 1) + 1
    const next = changeWithin(hours.zone, cursor, end) ?? end
    if (quietAt(hours, next) !== quiet) return next
    cursor = next
  }
}

/** The first instant of the unbroken stretch of quiet, or of allowed, time that `ts` lies in. */
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
 * The latest allowed instant at or before `at`: `at` itself, or a millisecond before the quiet began. With `room`, what
 * has to give way leaves that much time before the quiet begins, or half of an allowed stretch that is shorter than
 * twice the room. In UTC.
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
 * The unbroken allowed stretch around an allowed instant: first instant, and the instant the quiet begins (no longer
 * allowed). Undefined when nothing is ever quiet. In UTC.
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
