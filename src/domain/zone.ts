// A user's time zone by name, with its offsets cached. Asking Intl for an offset takes some microseconds, placing the
// rungs of one consent needs a hundred offsets, and an import or a sweep places the rungs of very many consents. The
// answers are the same as those of luxon's own zone.
import { Info } from 'luxon'
import type { Zone } from 'luxon'

const DAY = 24 * 60 * 60 * 1000
/**
 * More days than any run needs (27 years); the limit only keeps the cache of a long-running process from growing for
 * ever.
 */
const MAX_DAYS = 10_000

const zones = new Map<string, Zone>()

/** Throws a RangeError on a name that is no time zone. */
export const zoneNamed = (name: string): Zone => {
  const known = zones.get(name)
  if (known !== undefined) return known
  const zone = Info.normalizeZone(name)
  if (!zone.isValid) throw new RangeError(`unknown time zone "${name}"`)
  const remembering = rememberingOffsets(zone)
  zones.set(name, remembering)
  return remembering
}

/**
 * No zone changes its offset twice in a day: a UTC day that begins and ends with the same offset has no other offset.
 */
const rememberingOffsets = (zone: Zone): Zone => {
  const byDay = new Map<number, number | 'changes'>()
  const ofDay = (day: number): number | 'changes' => {
    const first = zone.offset(day * DAY)
    return zone.offset((day + 1) * DAY) === first ? first : 'changes'
  }
  const offset = (ts: number): number => {
    const day = Math.floor(ts / DAY)
    let known = byDay.get(day)
    if (known === undefined) {
      if (byDay.size >= MAX_DAYS) byDay.clear()
      known = ofDay(day)
      byDay.set(day, known)
    }
    return known === 'changes' ? zone.offset(ts) : known
  }
  // luxon accepts only objects that inherit from its Zone class, so this object inherits from the zone itself.
  return Object.create(zone, { offset: { value: offset } }) as Zone
}

const MINUTE = 60_000

/**
 * The instant a whole number of calendar days later (or earlier, if negative) at the same wall-clock time in the zone;
 * in milliseconds. As luxon's `plus({ days })`, at a small part of its cost: a time that the zone skips moves on by the
 * hour that is skipped, and of a time that it repeats the one with the offset of `ts` is meant.
 */
export const sameWallTime = (zone: Zone, ts: number, days: number): number => {
  const before = zone.offset(ts)
  const wall = ts + before * MINUTE + days * DAY
  const guess = zone.offset(wall - before * MINUTE)
  if (guess === before) return wall - before * MINUTE
  const after = zone.offset(wall - guess * MINUTE)
  return wall - (after === guess ? guess : Math.min(guess, after)) * MINUTE
}
