// When a user is reminded: the rungs of one cycle as instants. This file only places the rungs; other code decides
// which rung is owed, sent or stopped.
//
// 1. A rung stands a whole number of calendar days from the expiry, at the expiry's wall-clock time in the user's zone.
// 2. A rung in quiet hours is moved: at or before the expiry to the evening before, an hour ahead of the quiet hours so
//    that its message still gets sent; after the expiry to the next morning. Rungs never cross the expiry.
// 3. The last call is the latest time at which a message is worth sending: a day before the end of grace, or half of
//    the grace before its end if grace is shorter than two days. A later rung is brought forward to the last call, so
//    that a ladder longer than a bank's grace still reminds the user once more before the end; it is left out when
//    another rung stands less than a day before. A rung for which no allowed instant remains is left out: nothing is
//    ever sent in quiet hours, or at or past the end of grace.
// 4. Spreading moves a rung within its allowed stretch: earlier if quiet hours or the last call would move it earlier
//    (so always at or before the expiry), otherwise later, but short of the next rung and the last call. The order
//    never changes; of two rungs at the same instant (a calendar day that a zone skipped) the first stays.
import { Duration } from 'luxon'
import type { DateTime } from 'luxon'
import type { QuietHours, RungOffset } from './policy.ts'
import { afterQuiet, allowedStretch, beforeQuiet } from './quiet-hours.ts'
import { spreadWithin } from './spread.ts'
import { zoneNamed } from './zone.ts'

export interface Rung {
  readonly name: string
  /** UTC. */
  readonly at: DateTime
}

export interface LadderInput {
  readonly consentId: string
  readonly expiresAt: DateTime
  /** The first instant at which the consent can no longer be renewed; not before `expiresAt`. */
  readonly graceEndsAt: DateTime
  readonly timeZone: string
  readonly ladder: readonly RungOffset[]
  readonly quietHours: QuietHours | false
  readonly spread: Duration | false
}

/** The time that a rung moved by quiet hours leaves for the sweep and the mail server. */
const SENDING_ROOM = Duration.fromObject({ hours: 1 })
const DAY = 24 * 60 * 60 * 1000

interface Placed extends Rung {
  readonly direction: 'earlier' | 'later'
}

const lastCallOf = ({ expiresAt, graceEndsAt }: LadderInput): DateTime => {
  const grace = Math.max(0, graceEndsAt.toMillis() - expiresAt.toMillis())
  return graceEndsAt.toUTC().minus(grace === 0 ? DAY : Math.min(DAY, Math.floor(grace / 2)))
}

/** Points 1 to 3 for one rung; undefined when the rung is left out. */
const place = (
  input: LadderInput,
  offset: RungOffset,
  lastCall: DateTime,
  previous: Placed | undefined,
): Placed | undefined => {
  const { expiresAt, graceEndsAt, timeZone, quietHours } = input
  const wished = expiresAt.setZone(zoneNamed(timeZone)).plus({ days: offset.days })
  const afterExpiry = offset.days > 0
  const natural = afterExpiry
    ? afterQuiet(wished, timeZone, quietHours)
    : beforeQuiet(wished, timeZone, quietHours, SENDING_ROOM)
  if (natural <= lastCall) {
    const collides = previous !== undefined && natural <= previous.at
    return collides ? undefined : { name: offset.name, at: natural, direction: afterExpiry ? 'later' : 'earlier' }
  }
  const fits = (at: DateTime): boolean =>
    at < graceEndsAt &&
    (!afterExpiry || at > expiresAt) &&
    (previous === undefined || at.toMillis() - previous.at.toMillis() >= DAY)
  const earlier = beforeQuiet(lastCall, timeZone, quietHours, SENDING_ROOM)
  if (fits(earlier)) return { name: offset.name, at: earlier, direction: 'earlier' }
  const later = afterQuiet(lastCall, timeZone, quietHours)
  return afterExpiry && fits(later) ? { name: offset.name, at: later, direction: 'later' } : undefined
}

/**
 * Point 4 for one rung. `previous` is the rung before it after spreading, `next` the rung after it before spreading.
 */
const spreadRung = (
  input: LadderInput,
  rung: Placed,
  spreadMs: number,
  lastCall: DateTime,
  previous: Rung | undefined,
  next: Rung | undefined,
): DateTime => {
  const at = rung.at.toMillis()
  const stretch = allowedStretch(rung.at, input.timeZone, input.quietHours)
  const key = `${input.consentId} ${rung.name}`
  // The shift is always less than the room, so no limit is ever reached.
  const roomTo = (limits: readonly (DateTime | undefined)[]): number =>
    Math.min(spreadMs, ...limits.filter((limit) => limit !== undefined).map((limit) => Math.abs(limit.toMillis() - at)))
  if (rung.direction === 'earlier') {
    const expiry = rung.at > input.expiresAt ? input.expiresAt : undefined
    return rung.at.minus(spreadWithin(key, roomTo([stretch?.from, previous?.at, expiry])))
  }
  const end = rung.at <= lastCall ? lastCall : input.graceEndsAt
  return rung.at.plus(spreadWithin(key, roomTo([stretch?.until, next?.at, end])))
}

/**
 * The rungs of one cycle, strictly ascending, in UTC; the same input always gives the same rungs. Throws a RangeError
 * on an unknown zone or unreadable quiet hours. The result is empty when the ladder is empty, or when no rung has an
 * allowed instant before the end of grace.
 */
export const rungsOf = (input: LadderInput): Rung[] => {
  const lastCall = lastCallOf(input)
  const placed: Placed[] = []
  for (const offset of input.ladder.toSorted((a, b) => a.days - b.days)) {
    const rung = place(input, offset, lastCall, placed.at(-1))
    if (rung !== undefined) placed.push(rung)
  }
  if (input.spread === false) return placed.map(({ name, at }) => ({ name, at }))
  const spreadMs = input.spread.toMillis()
  const rungs: Rung[] = []
  for (const [index, rung] of placed.entries()) {
    rungs.push({ name: rung.name, at: spreadRung(input, rung, spreadMs, lastCall, rungs.at(-1), placed[index + 1]) })
  }
  return rungs
}

/** The last rung at or before `now`; after a downtime, the rung to catch up with. */
export const latestDueRung = (rungs: readonly Rung[], now: DateTime): Rung | undefined =>
  rungs.findLast(({ at }) => at <= now)

/** The first rung after `now`. */
export const nextRungAfter = (rungs: readonly Rung[], now: DateTime): Rung | undefined =>
  rungs.find(({ at }) => at > now)
