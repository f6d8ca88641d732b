// Which of a consent's two refresh tokens is tried first: the current one, or a candidate that an import brought.
// Arrival proves nothing: an export may be old, arrive out of order, or have its rows shifted. Only what the provider
// accepts becomes current. Pure.
import type { Consent } from './model.ts'

/** `current`: the token that the provider accepted last, or the first one. */
export type TokenPlace = 'current' | 'candidate'

type Known = Pick<Consent, 'tokenIssuedAt' | 'tokenAcceptedAt' | 'candidate'>

/**
 * Where both dates of issue are known, the later one decides, whenever the tokens arrived. Otherwise a candidate that
 * arrived after the provider last accepted the current token may be what replaced it, and is tried first.
 */
export const tokenOrder = ({ tokenIssuedAt, tokenAcceptedAt, candidate }: Known): readonly TokenPlace[] => {
  if (candidate === undefined) return ['current']
  const { issuedAt, arrivedAt } = candidate
  const candidateFirst =
    issuedAt !== undefined && tokenIssuedAt !== undefined && !issuedAt.equals(tokenIssuedAt)
      ? issuedAt > tokenIssuedAt
      : tokenAcceptedAt === undefined || arrivedAt > tokenAcceptedAt
  return candidateFirst ? ['candidate', 'current'] : ['current', 'candidate']
}
