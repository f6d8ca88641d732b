// Whether a renewal is proven, and what the new expiry is. The caller has fetched the dates and checked that they
// belong to the same connection. A renewal counts only if this file finds it proven.
import type { DateTime, Duration } from 'luxon'
import type { ExpirySource } from './model.ts'

export interface ProofInput {
  /**
   * Dates of `GET /data/v1/me`, any of which may be missing. The status in that answer is not used, because dead
   * connections also show "Authorised".
   */
  readonly me: {
    readonly consentExpiresAt?: DateTime | undefined
    readonly consentCreatedAt?: DateTime | undefined
    readonly consentStatusUpdatedAt?: DateTime | undefined
  }
  /** The expiry before this renewal. */
  readonly known: { readonly expiresAt: DateTime; readonly source: ExpirySource }
  /** When the attempt was issued: its renewal cannot be older. */
  readonly issuedAt: DateTime
  /** How long a renewal lasts at this bank. */
  readonly validity: Duration
  /**
   * The outcome of an earlier code of this cycle is not known. That code may have moved the date as well, by less, and
   * `/me` may show its date for a day before it shows this attempt's. Then only a date that this renewal alone can have
   * caused proves it.
   */
  readonly mayShowEarlierCode: boolean
  /**
   * When our own code was sent, if a clean 200 with the same `sub` answered it; the answer may have come much later.
   */
  readonly ownCodeSentAt: DateTime | undefined
  /** When the refresh began that succeeded with the stored token while an attempt in doubt was being settled. */
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

export type Basis = Extract<Proof, { proven: true }>['basis']

/** How far the provider's clock may be behind ours. */
const CLOCK_SLACK = { minutes: 5 }
/**
 * How far a bank's new expiry may fall short of issue + validity: banks round to days and count from different moments.
 */
const VALIDITY_SLACK_MS = 3 * 24 * 60 * 60 * 1000
/** The same while an earlier code may have moved the date: by more than an hour less than this renewal, it is seen. */
const SLACK_BESIDE_EARLIER_MS = 60 * 60 * 1000
/**
 * How far a date from `/me` must move, as a share of the time since the last renewal; a renewal moves it by about all
 * of that time. A smaller move may come from the cycle before: two codes of one cycle may both be processed while the
 * first one's outcome is unknown for a day, and `/me` may show the second code's date only after the first code's date
 * has closed the cycle. In the next cycle the second date is later than the known one, but no renewal.
 */
const MOVED_SHARE = 1 / 4
const MOVED_AT_LEAST_MS = 60 * 60 * 1000
/**
 * How long after the old expiry a refresh is certain to be refused if nothing was renewed. A refresh that succeeds
 * later than this proves a renewal.
 */
export const EXPIRY_SETTLED = { hours: 1 }

/**
 * When the known expiry and a new one both come from `/me`, only a later expiry proves a renewal: one that moved far
 * enough, or one that only a renewal since the issue can have caused. An imported or assumed expiry may be wrong by
 * days, so a later date alone proves nothing against it. There the proof is a consent created or updated since the
 * issue, or an expiry that only a renewal since the issue can have caused.
 *
 * From TrueLayer: a renewal resets the consent to its full validity from the moment of re-authentication (support
 * article). `consent_expires_at` is to be read, not computed, where it is present (documentation). A refresh is refused
 * with `invalid_grant` once the consent has expired (documentation), so a refresh that succeeds after the old expiry
 * proves a renewal, while a refresh before it proves none.
 */
export const judgeProof = (input: ProofInput): Proof => {
  const hasExpiry = input.me.consentExpiresAt !== undefined
  const found = hasExpiry
    ? input.known.source === 'me'
      ? laterThanKnown(input)
      : (changedSince(input) ?? fullValiditySince(input))
    : (changedSince(input) ?? withoutExpiry(input))
  // An expiry at or before the issue is the old expiry, whatever else looks new.
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
 * A consent created since the issue is a new one. A status updated since then may also mean that the old consent is
 * running out, so the expiry in the same answer must at least be later than the known one.
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

const fullValiditySince = ({ me, issuedAt, validity, mayShowEarlierCode }: ProofInput): Found => {
  const allowedMs = mayShowEarlierCode ? SLACK_BESIDE_EARLIER_MS : VALIDITY_SLACK_MS
  // At most half of the validity: with a short validity, a slack of days would let any date through.
  const slackMs = Math.min(allowedMs, validity.toMillis() / 2)
  const least = issuedAt.toUTC().plus(validity).minus(slackMs)
  return me.consentExpiresAt !== undefined && me.consentExpiresAt >= least
    ? fromMe('full-validity-since', me.consentExpiresAt)
    : undefined
}

/**
 * A renewal may keep `consent_created_at`: without an expiry, an old date there is no evidence for or against a
 * renewal.
 */
const withoutExpiry = ({ known, issuedAt, validity, ownCodeSentAt, refreshedAt }: ProofInput): Found => {
  if (ownCodeSentAt !== undefined) return assumed('clean-exchange-without-dates', ownCodeSentAt, validity)
  // It is not known when the user approved, only that it was not before the issue: this is the earliest possible
  // expiry.
  const renewedSince = refreshedAt !== undefined && refreshedAt >= known.expiresAt.plus(EXPIRY_SETTLED)
  return renewedSince ? assumed('refresh-after-expiry', issuedAt, validity) : undefined
}
