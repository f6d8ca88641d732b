// Proves when each event of a consent happened: its stored hash was computed from the true millisecond, so the instant
// that reproduces the hash is the true one.
import { offsetsNear, quarterHours } from '../domain/shifted-instant.ts'
import { eventHash, NO_HASH } from '../store/event-hash.ts'
import { dataOf, instantOf, numberOf, type Row, textOf } from './read-consents.ts'

export interface ProvenEvent {
  readonly seq: number
  readonly type: string
  readonly actor: string
  readonly data: Row
  readonly meant: number
  readonly stored: number
}

/**
 * Offsets to try, in minutes. Those that fitted before come first, because a database was written under one zone or a
 * few.
 */
export interface Offsets {
  near(stored: number): readonly number[]
  fits(offset: number): void
}

/** Every offset that any zone has; if zones are named, only theirs. */
export const offsetsToTry = (zones: readonly string[] | undefined): Offsets => {
  let order = [...quarterHours]
  return {
    near: (stored) => (zones === undefined ? order : offsetsNear(zones, stored)),
    fits: (offset) => {
      if (zones === undefined && order[0] !== offset) order = [offset, ...order.filter((known) => known !== offset)]
    },
  }
}

/** The instant from which the hash was computed; undefined when no offset gives it. */
export const proveInstant = (previous: string, event: Row, offsets: Offsets): number | undefined => {
  const stored = instantOf(event, 'at')
  if (stored === undefined) return undefined
  const fits = (at: number): boolean => hashAt(previous, event, at) === event['hash']
  if (fits(stored)) return stored
  const offset = offsets.near(stored).find((minutes) => fits(stored + minutes * 60_000))
  if (offset === undefined) return undefined
  offsets.fits(offset)
  return stored + offset * 60_000
}

const hashAt = (previous: string, event: Row, at: number): string | undefined => {
  try {
    return eventHash(previous, {
      consentId: textOf(event, 'consent_id'),
      seq: numberOf(event, 'seq'),
      type: textOf(event, 'type'),
      at: new Date(at),
      actor: textOf(event, 'actor'),
      reason: typeof event['reason'] === 'string' ? event['reason'] : null,
      data: dataOf(event) as Parameters<typeof eventHash>[1]['data'],
    })
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

export type Proven = { readonly events: readonly ProvenEvent[] } | { readonly broken: string }

/** One consent's events, oldest first; or, in `broken`, what is wrong with them that no shift explains. */
export const proveEvents = (rows: readonly Row[], offsets: Offsets): Proven => {
  const events: ProvenEvent[] = []
  let previous = NO_HASH
  for (const row of rows) {
    const seq = numberOf(row, 'seq')
    if (seq !== events.length + 1) return { broken: `event ${events.length + 1} is missing` }
    const meant = proveInstant(previous, row, offsets)
    if (meant === undefined)
      return { broken: `event ${seq} (${textOf(row, 'type')}) is not what was recorded, by no zone's offset` }
    events.push({
      seq,
      type: textOf(row, 'type'),
      actor: textOf(row, 'actor'),
      data: dataOf(row),
      meant,
      stored: instantOf(row, 'at') ?? meant,
    })
    previous = textOf(row, 'hash')
  }
  return events.length === 0 ? { broken: 'it has no events' } : { events }
}
