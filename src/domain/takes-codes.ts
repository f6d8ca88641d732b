// Whether a code, or what became of one, still counts for a consent. Pure.
import type { Consent, Renewal } from './model.ts'

const FINAL: readonly string[] = ['revoked', 'opted_out', 'superseded'] satisfies Consent['status'][]

/** Nothing reopens such a consent, and nobody asks the provider with its user's tokens any more. */
export const isClosedForGood = ({ status }: { readonly status: string }): boolean => FINAL.includes(status)

/**
 * The user did their part: a code counts as long as the cycle is not renewed, even after it lapsed or while it is
 * paused. Once an import has begun the next cycle, the lapsed one is history.
 */
export const takesCodes = (
  consent: { readonly status: string; readonly cycle: Consent['cycle'] },
  renewal: { readonly status: string; readonly cycle: Renewal['cycle'] },
): boolean =>
  !isClosedForGood(consent) &&
  renewal.cycle === consent.cycle &&
  (renewal.status === 'open' || renewal.status === 'lapsed')
