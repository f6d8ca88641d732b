// What one answer of `/me` says about an attempt: whose connection it is, and whether it proves the renewal. This file
// only decides.
import type { DateTime } from 'luxon'
import { isUnsettled } from './in-progress.ts'
import type { Authorisation, Consent } from './model.ts'
import type { Policy } from './policy.ts'
import { judgeProof, type Proof } from './proof.ts'
import { keepsConnection, traitsOf } from './routes.ts'
import { ruleFor } from './rules.ts'

/** The answer of `GET /data/v1/me`; a field is undefined where the provider gave nothing. */
export interface MeSeen {
  readonly credentialsId: string | undefined
  readonly providerId: string | undefined
  readonly providerName: string | undefined
  readonly consentExpiresAt: DateTime | undefined
  readonly consentCreatedAt: DateTime | undefined
  readonly consentStatusUpdatedAt: DateTime | undefined
}

/**
 * Whose tokens a poll used: the tokens that came with the code, those of a refresh by the consent's stored token, or
 * those of a refresh by the attempt's pending token.
 */
export type TokenSource = 'exchange' | 'stored' | 'pending'

export interface Reading {
  readonly me: MeSeen
  readonly by: TokenSource
  /** When the refresh began that gave the poll its tokens; undefined for the tokens of the exchange. */
  readonly refreshedAt: DateTime | undefined
  /** This is the last poll that waits for a date to appear. */
  readonly isLastPoll: boolean
}

export interface NewConnection {
  readonly credentialsId: string
  readonly providerName: string | undefined
}

export type Judgement =
  | {
      readonly kind: 'proven'
      readonly proof: Extract<Proof, { proven: true }>
      readonly owner: 'ours' | NewConnection
    }
  | { readonly kind: 'unproven'; readonly reason: 'date-not-moved' | 'no-dates' | 'no-bank' }
  /** The answer shows another connection, or another bank. */
  | { readonly kind: 'mismatched' }
  /** Nothing names the owner of these tokens. */
  | { readonly kind: 'owner-unknown' }

/** Another code of the consent may have moved the date that is shown. */
const mayHaveMovedDate = (other: Authorisation): boolean => isUnsettled(other) || other.status === 'verifying'

export const judgeReading = (
  {
    attempt,
    consent,
    others,
  }: { readonly attempt: Authorisation; readonly consent: Consent; readonly others: readonly Authorisation[] },
  { me, by, refreshedAt, isLastPoll }: Reading,
  policy: Policy,
): Judgement => {
  const oursByToken = by === 'stored' || attempt.tokenOwner === 'ours' ? consent.credentialsId : undefined
  const owner = me.credentialsId ?? attempt.newCredentialsId ?? oursByToken
  const ours = owner === consent.credentialsId
  if (me.providerId !== undefined && me.providerId !== consent.providerId) return { kind: 'mismatched' }
  if (owner === undefined) return { kind: 'owner-unknown' }
  if (!ours && keepsConnection(attempt.route)) return { kind: 'mismatched' }
  const isCleanAnswer = attempt.answeredAt !== undefined && traitsOf(attempt.route).isProvenByTokens
  const proof = judgeProof({
    me,
    // A new connection is proven by its own creation, not against the dates of the old connection.
    known: { expiresAt: consent.expiresAt, source: ours ? consent.expiresSource : 'assumed' },
    issuedAt: attempt.issuedAt,
    mayShowEarlierCode: others.some(mayHaveMovedDate) && !isLastPoll,
    validity: ruleFor(consent.providerId, consent.country, policy).validity,
    // A clean 200 proves something about our connection only if its tokens are ours: the owner of pending tokens is not
    // known yet.
    ownCodeSentAt:
      isCleanAnswer && !(by === 'stored' && attempt.tokenOwner !== 'ours') ? attempt.exchangeStartedAt : undefined,
    refreshedAt,
  })
  if (!proof.proven) return { kind: 'unproven', reason: proof.reason }
  // A connection of ours is at the bank that we know. For a new connection only `/me` names the bank; the token
  // endpoint never does.
  if (!ours && me.providerId === undefined) return { kind: 'unproven', reason: 'no-bank' }
  return { kind: 'proven', proof, owner: ours ? 'ours' : { credentialsId: owner, providerName: me.providerName } }
}
