// How urgent a consent is. The urgency is computed from its dates whenever needed, and never stored.
import type { DateTime } from 'luxon'

export type Phase = 'healthy' | 'due' | 'in-grace' | 'lapsed'

export interface PhaseDates {
  /** When the first reminder may go out. */
  readonly windowOpensAt: DateTime
  readonly expiresAt: DateTime
  /** The first instant at which the consent can no longer be renewed. */
  readonly graceEndsAt: DateTime
}

/** Each phase begins at its date: `due` at the window's opening, `in-grace` at expiry, `lapsed` at the end of grace. */
export const phaseOf = ({ windowOpensAt, expiresAt, graceEndsAt }: PhaseDates, now: DateTime): Phase => {
  if (now >= graceEndsAt) return 'lapsed'
  if (now >= expiresAt) return 'in-grace'
  if (now >= windowOpensAt) return 'due'
  return 'healthy'
}
