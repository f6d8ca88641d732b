// The simulator's clock: the real time plus an offset. Reconsent shares it in the demo and the tests, so that both see
// the same "now".
import { DateTime, Duration, Settings } from 'luxon'
import type { DurationLike } from 'luxon'

Settings.throwOnInvalid = true
declare module 'luxon' {
  interface TSSettings {
    throwOnInvalid: true
  }
}

export interface Clock {
  /** Now, in UTC. */
  now(): DateTime
}

export interface MovableClock extends Clock {
  /** Jumps to an instant, forwards or back; time keeps running from there. */
  set(instant: DateTime): void
  /** Jumps by a duration; days, months and years are calendar units in UTC. */
  advance(duration: DurationLike): void
}

/** A clock that starts at `start` (default: the real time) and runs at the speed of the real one. */
export const movableClock = (start?: DateTime): MovableClock => {
  let offsetMs = 0
  const now = (): DateTime => DateTime.utc().plus({ milliseconds: offsetMs })
  const set = (instant: DateTime): void => {
    offsetMs = instant.toMillis() - DateTime.utc().toMillis()
  }
  if (start !== undefined) set(start)
  return { now, set, advance: (duration) => set(now().plus(duration)) }
}

const UNITS: Readonly<Record<string, 'seconds' | 'minutes' | 'hours' | 'days'>> = {
  s: 'seconds',
  m: 'minutes',
  h: 'hours',
  d: 'days',
}

/**
 * Reads `90d`, `12h`, `10m`, `30s` or an ISO 8601 duration (`P1DT2H`), each with an optional minus. Otherwise
 * undefined.
 */
export const readDuration = (text: string): Duration | undefined => {
  const short = /^(-?\d{1,7})([smhd])$/.exec(text)
  if (short !== null) return Duration.fromObject({ [UNITS[short[2] ?? ''] ?? 'seconds']: Number(short[1]) })
  if (!/^-?P(?=.)/.test(text)) return undefined
  try {
    return Duration.fromISO(text)
  } catch {
    return undefined
  }
}

/** Reads an ISO 8601 instant with an offset (`2026-11-23T09:00:00Z`). Otherwise undefined. */
export const readInstant = (text: string): DateTime | undefined => {
  if (!/T.*(?:Z|[+-]\d{2}:?\d{2})$/i.test(text)) return undefined
  try {
    return DateTime.fromISO(text, { zone: 'utc' })
  } catch {
    return undefined
  }
}
