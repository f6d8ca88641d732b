// What an answer of `/me` says about an authorisation: whose connection it is, and whether it proves the renewal.
// Decides only.
import type { DateTime } from 'luxon'
import { hasInDoubt } from '../domain/in-progress.ts'
import type { Policy } from '../domain/policy.ts'
import { judgeProof, type Proof } from '../domain/proof.ts'
import { ruleFor } from '../domain/rules.ts'
import type { Me } from '../provider/port.ts'
import type { NewConnection } from '../store/port.ts'
import type { AttemptWithConsent } from './exchange-context.ts'

export type Judgement =
  | {
      readonly kind: 'proven'
      readonly proof: Extract<Proof, { proven: true }>
      readonly owner: 'ours' | NewConnection
    }
  | { readonly kind: 'unproven'; readonly reason: 'date-not-moved' | 'no-dates' | 'no-bank' }
  /** Another connection, or another bank. */
  | { readonly kind: 'mismatched' }
  /** Nothing names the owner of these tokens. */
  | { readonly kind: 'owner-unknown' }

export interface MeReading {
  readonly me: Me
  /** Asked with the token that the consent itself stores: then the answer is about our connection. */
  readonly withStoredToken: boolean
  readonly refreshedAt: DateTime | undefined
  /** A date that has not come by now is waited for no longer. */
  readonly isLastPoll: boolean
}

export const judgeMe = (
  { authorisation, consent, others }: AttemptWithConsent,
  { me, withStoredToken, refreshedAt, isLastPoll }: MeReading,
  policy: Policy,
): Judgement => {
  const oursByToken = withStoredToken || authorisation.tokenOwner === 'ours' ? consent.credentialsId : undefined
  const owner = me.credentialsId ?? authorisation.newCredentialsId ?? oursByToken
  const ours = owner === consent.credentialsId
  if (me.providerId !== undefined && me.providerId !== consent.providerId) return { kind: 'mismatched' }
  if (owner === undefined) return { kind: 'owner-unknown' }
  if (!ours && authorisation.route === 'reauth') return { kind: 'mismatched' }
  const isCleanAnswer = authorisation.answeredAt !== undefined
  const proof = judgeProof({
    me,
    // A new connection is proven by its own creation, not against the old one's dates.
    known: { expiresAt: consent.expiresAt, source: ours ? consent.expiresSource : 'assumed' },
    issuedAt: authorisation.issuedAt,
    mayShowEarlierCode: hasInDoubt(others) && !isLastPoll,
    validity: ruleFor(consent.providerId, consent.country, policy).validity,
    // A clean 200 speaks for our connection only if its tokens do: of those beside nobody knows yet whose they are.
    ownCodeSentAt:
      isCleanAnswer && !(withStoredToken && authorisation.tokenOwner !== 'ours')
        ? authorisation.exchangeStartedAt
        : undefined,
    refreshedAt,
  })
  if (!proof.proven) return { kind: 'unproven', reason: proof.reason }
  // A connection of ours is at the bank we know; of a new one only `/me` says where it is: no answer of the token
  // endpoint does.
  if (!ours && me.providerId === undefined) return { kind: 'unproven', reason: 'no-bank' }
  return { kind: 'proven', proof, owner: ours ? 'ours' : { credentialsId: owner, providerName: me.providerName } }
}
