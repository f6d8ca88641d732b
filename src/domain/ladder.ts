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
// The work is done on milliseconds: an import or a sweep places the rungs of very many consents.
import { DateTime } from 'luxon'
import type { Duration } from 'luxon'
import type { QuietHours, RungOffset } from './policy.ts'
import { quietTimesOf, type QuietTimes } from './quiet-hours.ts'
import { spreadWithin } from './spread.ts'
import { sameWallTime, zoneNamed } from './zone.ts'

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
const SENDING_ROOM = 60 * 60 * 1000
const DAY = 24 * 60 * 60 * 1000

interface Placed {
  readonly name: string
  readonly at: number
  readonly direction: 'earlier' | 'later'
}

/** One cycle's input, with every instant in milliseconds. */
interface Cycle {
  readonly expiresAt: number
  readonly graceEndsAt: number
  readonly lastCall: number
  readonly quiet: QuietTimes
  /** The instant so many calendar days from the expiry, at the expiry's wall-clock time. */
  readonly standing: (days: number) => number
}

const cycleOf = (input: LadderInput): Cycle => {
  const expiresAt = input.expiresAt.toMillis()
  const graceEndsAt = input.graceEndsAt.toMillis()
  const grace = Math.max(0, graceEndsAt - expiresAt)
  const zone = zoneNamed(input.timeZone)
  return {
    expiresAt,
    graceEndsAt,
    lastCall: graceEndsAt - (grace === 0 ? DAY : Math.min(DAY, Math.floor(grace / 2))),
    quiet: quietTimesOf(input.timeZone, input.quietHours),
    standing: (days) => sameWallTime(zone, expiresAt, days),
  }
}

/** Points 1 to 3 for one rung; undefined when the rung is left out. */
const place = (cycle: Cycle, offset: RungOffset, previous: Placed | undefined): Placed | undefined => {
  const { expiresAt, graceEndsAt, lastCall, quiet } = cycle
  const { name } = offset
  const wished = cycle.standing(offset.days)
  const afterExpiry = offset.days > 0
  const natural = afterExpiry ? quiet.after(wished) : quiet.before(wished, SENDING_ROOM)
  if (natural <= lastCall) {
    const collides = previous !== undefined && natural <= previous.at
    return collides ? undefined : { name, at: natural, direction: afterExpiry ? 'later' : 'earlier' }
  }
  const fits = (at: number): boolean =>
    at < graceEndsAt && (!afterExpiry || at > expiresAt) && (previous === undefined || at - previous.at >= DAY)
  const earlier = quiet.before(lastCall, SENDING_ROOM)
  if (fits(earlier)) return { name, at: earlier, direction: 'earlier' }
  const later = quiet.after(lastCall)
  return afterExpiry && fits(later) ? { name, at: later, direction: 'later' } : undefined
}

/**
 * Point 4 for one rung. `previous` is the instant of the rung before it after spreading, `next` that of the rung after
 * it before spreading.
 */
const spreadRung = (
  { expiresAt, graceEndsAt, lastCall, quiet }: Cycle,
  { at, direction }: Placed,
  {
    key,
    spreadMs,
    previous,
    next,
  }: { key: string; spreadMs: number; previous: number | undefined; next: number | undefined },
): number => {
  const stretch = quiet.stretch(at)
  // The shift is always less than the room, so no limit is ever reached.
  const roomTo = (limits: readonly (number | undefined)[]): number =>
    Math.min(spreadMs, ...limits.filter((limit) => limit !== undefined).map((limit) => Math.abs(limit - at)))
  if (direction === 'earlier')
    return at - spreadWithin(key, roomTo([stretch?.from, previous, at > expiresAt ? expiresAt : undefined]))
  return at + spreadWithin(key, roomTo([stretch?.until, next, at <= lastCall ? lastCall : graceEndsAt]))
}

/**
 * The rungs of one cycle, strictly ascending, in UTC; the same input always gives the same rungs. Throws a RangeError
 * on an unknown zone or unreadable quiet hours. The result is empty when the ladder is empty, or when no rung has an
 * allowed instant before the end of grace.
 */
export const rungsOf = (input: LadderInput): Rung[] => [...rungsInTurn(input)]

/** The first of these rungs alone, which decides when the renewal window opens. */
export const firstRungOf = (input: LadderInput): Rung | undefined => {
  for (const rung of rungsInTurn(input)) return rung
  return undefined
}

function* rungsInTurn(input: LadderInput): Generator<Rung> {
  const cycle = cycleOf(input)
  const spreadMs = input.spread === false ? undefined : input.spread.toMillis()
  let previous: number | undefined
  const finish = (rung: Placed, next: Placed | undefined): Rung => {
    const key = `${input.consentId} ${rung.name}`
    const at = spreadMs === undefined ? rung.at : spreadRung(cycle, rung, { key, spreadMs, previous, next: next?.at })
    previous = at
    return { name: rung.name, at: DateTime.fromMillis(at, { zone: 'utc' }) }
  }
  // A rung can be spread once the one after it is placed.
  let waiting: Placed | undefined
  for (const offset of input.ladder.toSorted((a, b) => a.days - b.days)) {
    const rung = place(cycle, offset, waiting)
    if (rung === undefined) continue
    if (waiting !== undefined) yield finish(waiting, rung)
    waiting = rung
  }
  if (waiting !== undefined) yield finish(waiting, undefined)
}

/** The last rung at or before `now`; after a downtime, the rung to catch up with. */
export const latestDueRung = (rungs: readonly Rung[], now: DateTime): Rung | undefined =>
  rungs.findLast(({ at }) => at <= now)

/** The first rung after `now`. */
export const nextRungAfter = (rungs: readonly Rung[], now: DateTime): Rung | undefined =>
  rungs.find(({ at }) => at > now)
