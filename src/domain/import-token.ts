// What the refresh token of an imported row means for the consent. Arrival proves nothing: a token that differs waits
// as a candidate until the provider has accepted one of the two. Pure: this file sees no token.
import type { DateTime } from 'luxon'
import type { Candidate } from './model.ts'

export interface TokenQuestion {
  /** How the token is known for this consent; `barred`: the provider has rejected or replaced it. */
  readonly standing: 'current' | 'candidate' | 'barred' | 'new'
  /** The consent that has or had this token, if it is another one. */
  readonly owner: { readonly id: string; readonly credentialsId: string } | undefined
  /** Whether the current token decrypts. */
  readonly isReadable: boolean
  readonly candidate: Candidate | undefined
  /** When the row's token was issued, as the row says. */
  readonly issuedAt: DateTime | undefined
}

export type TokenDecision =
  | { readonly kind: 'refused'; readonly reason: string }
  /** Nothing changes. */
  | { readonly kind: 'kept'; readonly warning: string | undefined }
  /** It waits beside the current token, in the place of an earlier candidate. */
  | { readonly kind: 'candidate' }
  /** The current token does not decrypt: any token is better. */
  | { readonly kind: 'replaces' }

const kept: TokenDecision = { kind: 'kept', warning: undefined }

export const decideToken = (question: TokenQuestion): TokenDecision => {
  const { standing, owner, isReadable, candidate, issuedAt } = question
  // Rows that were shifted in a spreadsheet give one user's token to another user's consent.
  if (owner !== undefined) return { kind: 'refused', reason: ownedBy(owner) }
  if (standing === 'current') return kept
  if (standing === 'barred')
    return {
      kind: 'kept',
      warning: 'refresh_token: the provider has rejected or replaced this one: the row is taken without it',
    }
  if (!isReadable) return { kind: 'replaces' }
  if (standing === 'candidate') return kept
  const isOlder = candidate?.issuedAt !== undefined && issuedAt !== undefined && issuedAt < candidate.issuedAt
  return isOlder ? kept : { kind: 'candidate' }
}

/** Also for the row of a new consent. */
export const ownedBy = ({ id, credentialsId }: { readonly id: string; readonly credentialsId: string }): string =>
  `refresh_token: consent ${id} (credentials_id ${credentialsId}) has or had the same one, and a token belongs to ` +
  'one connection: one of the two rows is wrong'
