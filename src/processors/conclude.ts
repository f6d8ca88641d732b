// The ends an authorisation can come to, shared by exchange, proof and settlement: proven, a different connection, ask
// again.
import { type DateTime, Duration } from 'luxon'
import { crashPoint } from '../crash-point.ts'
import type { Claim, NewConnection } from '../store/port.ts'
import type { Proof } from '../domain/proof.ts'
import type { ExchangeDeps, AttemptWithConsent } from './exchange-context.ts'
import { done, type Outcome, snooze } from './outcome.ts'

/** How soon the outcome of a later code is looked at again. */
const LATER_CODE_DELAY = Duration.fromObject({ minutes: 1 })

export interface Proven {
  readonly proof: Extract<Proof, { proven: true }>
  readonly owner: 'ours' | NewConnection
  /** `/me` was asked with the token that the consent stores, not with those of the exchange. */
  readonly withStoredToken?: boolean
  /** When `/me` was asked: what a later code does is not in its answer. */
  readonly requestedAt: DateTime
}

export const commitProof = async (
  deps: ExchangeDeps,
  claim: Claim,
  { authorisation, consent }: AttemptWithConsent,
  { proof, owner, withStoredToken = false, requestedAt }: Proven,
): Promise<Outcome> => {
  const { store, clock, enqueue } = deps
  // `/me` was asked with the very tokens kept beside: now they are known to be ours. Of others nobody knows whose they
  // are.
  if (
    owner === 'ours' &&
    authorisation.tokenOwner === 'beside' &&
    !withStoredToken &&
    !(await store.adoptTokens(claim))
  ) {
    return settleChangedToken(deps, claim)
  }
  await crashPoint('tokens-adopted')
  if (owner !== 'ours' && (await store.readPendingToken(authorisation.id)) === undefined) {
    // A new connection without a refresh token could never be renewed, nor kept: the old one is all we have.
    await store.closeUnrenewed(claim, 'refused', 'not-renewed', clock.now(), 'again')
    return notifyAgain(deps, consent.id, 'the new connection came without a refresh token: the user is asked again')
  }
  const { basis, expiresAt, expiresSource } = proof
  const answer = await store.commitRenewal(
    claim,
    { basis, expiresAt, expiresSource, requestedAt, provenAt: clock.now() },
    owner === 'ours' ? undefined : owner,
  )
  if (answer === 'renewed') {
    await crashPoint('renewal-committed')
    await enqueue('consent', consent.id)
    return done(`renewed until ${expiresAt.toISO()} (${basis})`)
  }
  if (answer === 'mismatched')
    return notifyAgain(
      deps,
      consent.id,
      'the new connection is on record as somebody else’s: nothing of it was taken, the user is told',
    )
  if (answer === 'later-code-out') return waitForLaterCode(deps, claim)
  // The cycle was closed meanwhile, by another code or by a stop: this success changes nothing any more.
  await store.closeUnrenewed(claim, 'superseded', 'fenced', clock.now(), 'no')
  return done('proven, but the cycle had been closed meanwhile')
}

/**
 * The stored token changed since it was last read (an import with --correct): which of the two lives, only asking can
 * tell. The one kept beside may be the newest and stays there; nothing is committed before it is known.
 */
export const settleChangedToken = async ({ store, clock }: ExchangeDeps, claim: Claim): Promise<Outcome> => {
  const at = clock.now()
  await store.markUnknown(claim, at, 'token-changed', at)
  await crashPoint('change-noted')
  await store.scheduleAttempt(claim, at)
  return snooze(at, 'token-changed: which token is alive is settled by asking')
}

/** A code that was sent after this one may move the expiry once more: the date to keep is the one seen after that. */
export const waitForLaterCode = async ({ store, clock }: ExchangeDeps, claim: Claim): Promise<Outcome> => {
  const at = clock.now().plus(LATER_CODE_DELAY)
  await store.scheduleAttempt(claim, at)
  return snooze(at, 'a later code of this consent is on its way: its outcome comes first')
}

/** The user's tokens are no longer ours to use, or no answer could change anything: nobody is asked. */
export const closeWithoutPolling = async (
  { store, clock }: ExchangeDeps,
  claim: Claim,
  why: string,
): Promise<Outcome> => {
  await store.closeUnrenewed(claim, 'superseded', 'fenced', clock.now(), 'no')
  return done(`${why}: the provider is not asked any more`)
}

/**
 * After a code that ended without a renewal, the consent is looked at at once: the user did their part and hears of it.
 */
export const notifyAgain = async ({ enqueue }: ExchangeDeps, consentId: string, what: string): Promise<Outcome> => {
  await crashPoint('before-asking-again')
  await enqueue('consent', consentId)
  return done(what)
}

export const closeMismatched = async (
  deps: ExchangeDeps,
  claim: Claim,
  { consent }: AttemptWithConsent,
): Promise<Outcome> => {
  await deps.store.closeUnrenewed(claim, 'mismatched', 'other-connection', deps.clock.now(), 'again')
  return notifyAgain(deps, consent.id, 'a different connection was approved: nothing of ours changed, the user is told')
}
