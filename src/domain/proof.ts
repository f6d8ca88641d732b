// Whether a renewal is proven, and what the new expiry is. Judges dates that others fetched; that it is the same
// connection was checked before. A renewal counts only if this says so.
import type { DateTime, Duration } from 'luxon'
import type { ExpirySource } from './model.ts'

export interface ProofInput {
  /**
   * Dates of `GET /data/v1/me`, any of which may be missing. Its status is not among them: "Authorised" is seen on dead
   * connections.
   */
  readonly me: {
    readonly consentExpiresAt?: DateTime | undefined
    readonly consentCreatedAt?: DateTime | undefined
    readonly consentStatusUpdatedAt?: DateTime | undefined
  }
  /** The expiry before this renewal. */
  readonly known: { readonly expiresAt: DateTime; readonly source: ExpirySource }
  /** When the authorisation was issued: no renewal by it can be older. */
  readonly issuedAt: DateTime
  /** How long a renewal lasts at this bank. */
  readonly validity: Duration
  /**
   * An earlier code of this cycle is in doubt: it may have moved the date as well, by less, and `/me` may show that one
   * before this one's. Then only a date that is this renewal's own proves it.
   */
  readonly mayShowEarlierCode: boolean
  /** When our own code was sent, if it got a clean 200 with the same `sub`: when that came may be much later. */
  readonly ownCodeSentAt: DateTime | undefined
  /** When the refresh was begun that succeeded with the stored token, while an `unknown` authorisation is settled. */
  readonly refreshedAt?: DateTime | undefined
}

export type Proof =
  | {
      readonly proven: true
      readonly basis:
        | 'later-than-known'
        | 'created-or-updated-since'
        | 'full-validity-since'
        | 'clean-exchange-without-dates'
        | 'refresh-after-expiry'
      readonly expiresAt: DateTime
      readonly expiresSource: 'me' | 'assumed'
    }
  | { readonly proven: false; readonly reason: 'date-not-moved' | 'no-dates' }

type Basis = Extract<Proof, { proven: true }>['basis']

/** How far the provider's clock may be behind ours. */
const CLOCK_SLACK = { minutes: 5 }
/**
 * How far a bank's new expiry may fall short of issue + validity: banks round to days and count from different moments.
 */
const VALIDITY_SLACK_MS = 3 * 24 * 60 * 60 * 1000
/**
 * How far a date from `/me` must move: this share of the time since the last renewal, for a renewal moves it by about
 * all of that. Two codes of one cycle may both be processed, the first one's fate unknown for a day, and `/me` may show
 * the second one's date after the first one's has closed the cycle: in the next cycle that date is later than the one
 * we know, and no renewal.
 */
const MOVED_SHARE = 1 / 4
const MOVED_AT_LEAST_MS = 60 * 60 * 1000
/**
 * How long after the old expiry a refresh is sure to be refused if nothing was renewed: one that works then proves a
 * renewal.
 */
export const EXPIRY_SETTLED = { hours: 1 }

/**
 * Against a date that `/me` gave earlier, only a later one from `/me` proves a renewal: one that moved far enough, or
 * that only a renewal since the issue can have. An imported or assumed date may be wrong by days, so a merely later one
 * proves nothing there; what does is a consent created or updated since the issue, or an expiry that only a renewal
 * since then can have.
 *
 * From TrueLayer: a renewal resets the consent to its full validity from the moment of re-authentication (support
 * article); `consent_expires_at` is to be read, not computed, where it is there (documentation); a refresh is refused
 * with `invalid_grant` once the consent has expired (documentation), so one that succeeds later proves a renewal, while
 * one before the old expiry proves none.
 */
export const judgeProof = (input: ProofInput): Proof => {
  const hasExpiry = input.me.consentExpiresAt !== undefined
  const found = hasExpiry
    ? input.known.source === 'me'
      ? laterThanKnown(input)
      : (changedSince(input) ?? fullValiditySince(input))
    : (changedSince(input) ?? withoutExpiry(input))
  // An expiry at or before the issue is the old one, whatever else looks new.
  if (found !== undefined && found.expiresAt > input.issuedAt) return found
  return { proven: false, reason: hasExpiry ? 'date-not-moved' : 'no-dates' }
}

type Found = Extract<Proof, { proven: true }> | undefined

const fromMe = (basis: Basis, expiresAt: DateTime): Found => ({
  proven: true,
  basis,
  expiresAt: expiresAt.toUTC(),
  expiresSource: 'me',
})

const assumed = (basis: Basis, since: DateTime, validity: Duration): Found => ({
  proven: true,
  basis,
  expiresAt: since.toUTC().plus(validity),
  expiresSource: 'assumed',
})

const laterThanKnown = (input: ProofInput): Found => {
  const { me, known, issuedAt, validity } = input
  if (me.consentExpiresAt === undefined || me.consentExpiresAt <= known.expiresAt) return undefined
  if (input.mayShowEarlierCode) return changedSince(input) ?? fullValiditySince(input)
  const sinceLastMs = issuedAt.toMillis() - known.expiresAt.toUTC().minus(validity).toMillis()
  const minMs = Math.max(MOVED_AT_LEAST_MS, sinceLastMs * MOVED_SHARE)
  if (me.consentExpiresAt.toMillis() - known.expiresAt.toMillis() >= minMs)
    return fromMe('later-than-known', me.consentExpiresAt)
  return changedSince(input) ?? fullValiditySince(input)
}

/**
 * A consent created since the issue is a new one. A status updated since then may also be the old one running out, so
 * an expiry that came with it must at least be later than the one we had.
 */
const changedSince = ({ me, known, issuedAt, validity }: ProofInput): Found => {
  const { consentExpiresAt, consentCreatedAt, consentStatusUpdatedAt } = me
  const notBefore = issuedAt.minus(CLOCK_SLACK)
  const created = consentCreatedAt !== undefined && consentCreatedAt >= notBefore ? consentCreatedAt : undefined
  const updated =
    consentStatusUpdatedAt !== undefined && consentStatusUpdatedAt >= notBefore ? consentStatusUpdatedAt : undefined
  if (consentExpiresAt !== undefined) {
    const proven = created !== undefined || (updated !== undefined && consentExpiresAt > known.expiresAt)
    return proven ? fromMe('created-or-updated-since', consentExpiresAt) : undefined
  }
  const since =
    created !== undefined && updated !== undefined ? (created > updated ? created : updated) : (created ?? updated)
  return since === undefined ? undefined : assumed('created-or-updated-since', since, validity)
}

const fullValiditySince = ({ me, issuedAt, validity }: ProofInput): Found => {
  // Half of a short validity, or a slack of days would let any date through.
  const slackMs = Math.min(VALIDITY_SLACK_MS, validity.toMillis() / 2)
  const least = issuedAt.toUTC().plus(validity).minus(slackMs)
  return me.consentExpiresAt !== undefined && me.consentExpiresAt >= least
    ? fromMe('full-validity-since', me.consentExpiresAt)
    : undefined
}

/** A renewal may keep `consent_created_at`: without an expiry, an old one there says nothing for or against. */
const withoutExpiry = ({ known, issuedAt, validity, ownCodeSentAt, refreshedAt }: ProofInput): Found => {
  if (ownCodeSentAt !== undefined) return assumed('clean-exchange-without-dates', ownCodeSentAt, validity)
  // When the user approved is not known, only that it was not before the issue: the earliest expiry that can be.
  const renewedSince = refreshedAt !== undefined && refreshedAt >= known.expiresAt.plus(EXPIRY_SETTLED)
  return renewedSince ? assumed('refresh-after-expiry', issuedAt, validity) : undefined
}
