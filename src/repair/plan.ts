// The planned changes of one consent, and the values that cannot be proven. Holds types and the proof by events; reads
// and writes nothing.
import { isShift, type Shift } from '../domain/shifted-instant.ts'
import type { ProvenEvent } from './prove-events.ts'

export type Table = 'consents' | 'renewals' | 'authorisations' | 'notifications' | 'events'

/** What proves the new value, in the words of the report. */
export type By =
  | 'its hash'
  | 'the event that goes with it'
  | 'the expiry in its events'
  | 'the imports since'
  | 'the policy, anew'
  | 'no lease is that long'

export interface Change {
  readonly table: Table
  /** The row's id; for an event, the id of its consent. */
  readonly id: string
  readonly seq?: number
  readonly column: string
  readonly stored: number | undefined
  /** Undefined: the column becomes NULL. */
  readonly meant: number | undefined
  readonly by: By
}

export interface Unproven {
  readonly consentId: string
  readonly credentialsId: string
  /** Table and id, as `verify` names them. */
  readonly record: string
  readonly reason: string
}

/** Consequences of the wrong instants that correcting the instants does not undo. */
export interface Aftermath {
  readonly kind: 'repaired-without-news' | 'lapsed-early'
  readonly consentId: string
  readonly credentialsId: string
  readonly detail: string
}

export interface Plan {
  readonly consentId: string
  readonly credentialsId: string
  readonly changes: readonly Change[]
  readonly unproven: readonly Unproven[]
  readonly aftermath: readonly Aftermath[]
  /**
   * Evidence for a zone: events' shifts proven by their hashes, and, less direct, shifts of values that imports read
   * and wrote back.
   */
  readonly shifts: { readonly byHash: readonly Shift[]; readonly byImport: readonly Shift[] }
  readonly nextReason?: string | undefined
}

/**
 * The true instant of the event that a column was written with. In one transaction both were shifted alike, so their
 * stored values are equal. Only imports wrote true instants into events together with shifted ends of cycles.
 */
export const instantByEvents = (stored: number, events: readonly ProvenEvent[]): number | undefined => {
  const together = events.findLast((event) => event.stored === stored)
  if (together !== undefined) return together.meant
  if (events.some(({ meant }) => meant === stored)) return stored
  return events.findLast(({ meant }) => isShift({ meant, stored }))?.meant
}
