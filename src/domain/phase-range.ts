// Between which expiries the consents of a phase lie, whatever their bank, zone and spread: a list can be read by an
// index, and each consent is then looked at by itself. Pure.
import { DateTime, type DurationLike } from 'luxon'
import type { Phase } from './phase.ts'
import type { Policy } from './policy.ts'
import { ruleFor } from './rules.ts'

/** The last call, quiet hours and a change of the clocks move a rung by less. */
const MOVED_AT_MOST: DurationLike = { days: 3 }

export interface ExpiryRange {
  readonly from?: DateTime | undefined
  /** Excluded. */
  readonly before?: DateTime | undefined
}

/** How long grace lasts at the bank where it is longest, in milliseconds. */
const longestGrace = (policy: Policy): number => {
  // The rule of a bank that no key names, and of each key, which may be a bank or a country.
  const keys = Object.keys(policy.providers)
  const rules = [
    ruleFor('', '', policy),
    ...keys.flatMap((key) => [ruleFor(key, '', policy), ruleFor('', key, policy)]),
  ]
  return Math.max(...rules.map(({ grace }) => grace.toMillis()))
}

/** Every consent of this phase at `now` expires in this range; not every consent of the range is in the phase. */
export const expiriesOf = (phase: Phase, now: DateTime, policy: Policy): ExpiryRange => {
  switch (phase) {
    case 'healthy':
      return { from: now }
    case 'due': {
      const earliest = Math.max(0, ...policy.ladder.map(({ days }) => -days))
      const spread = policy.spread === false ? {} : policy.spread
      return { from: now, before: now.plus({ days: earliest }).plus(spread).plus(MOVED_AT_MOST) }
    }
    case 'in-grace':
      return { from: now.minus(longestGrace(policy)), before: DateTime.fromMillis(now.toMillis() + 1, { zone: 'utc' }) }
    case 'lapsed':
      return { before: DateTime.fromMillis(now.toMillis() + 1, { zone: 'utc' }) }
  }
}
