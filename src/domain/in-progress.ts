// How long what a user has begun holds messages, new questions and lapsing back: a visit to the bank, a code of unknown
// outcome.
import type { DateTime } from 'luxon'
import { Duration } from 'luxon'
import { CONCLUSIVE_AFTER } from './backoff.ts'
import type { Authorisation } from './model.ts'

/** While a user may be at the bank nothing is sent: bank links are short-lived, strong authentication takes minutes. */
export const AT_THE_BANK: Duration = Duration.fromObject({ minutes: 30 })
/** How long an exchange of unknown outcome holds messages back. */
export const IN_DOUBT_DELAY: Duration = Duration.fromObject({ hours: 24 })

/** Its code came in, and its outcome is not known yet, nor in doubt. */
export const isInFlight = ({ status }: Authorisation): boolean =>
  status === 'code_received' || status === 'exchanging' || status === 'verifying'
/** Its code may have been used, or not. */
export const isInDoubt = ({ status }: Authorisation): boolean => status === 'unknown'

export const findInFlight = (authorisations: readonly Authorisation[]): Authorisation | undefined =>
  authorisations.find(isInFlight)
export const hasInDoubt = (authorisations: readonly Authorisation[]): boolean => authorisations.some(isInDoubt)

/**
 * Whether a code of the same consent that was sent after this one's may still move the expiry, or has moved it and
 * `/me` may not show it yet: what is read now may be out of date when it is committed.
 */
export const hasLaterCodeOut = (own: Authorisation, others: readonly Authorisation[], now: DateTime): boolean =>
  others.some(
    (other) =>
      other.status === 'exchanging' ||
      other.status === 'verifying' ||
      (isInDoubt(other) &&
        other.exchangeStartedAt !== undefined &&
        (own.exchangeStartedAt === undefined || other.exchangeStartedAt > own.exchangeStartedAt) &&
        other.exchangeStartedAt.plus(CONCLUSIVE_AFTER) > now),
  )

const latest = (instants: readonly (DateTime | undefined)[]): DateTime | undefined =>
  instants.reduce(
    (last, instant) => (last === undefined || (instant !== undefined && instant > last) ? instant : last),
    undefined,
  )

/** When the last doubt stops to hold messages back; undefined where there is none. */
export const inDoubtUntil = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  latest(
    authorisations
      .filter(isInDoubt)
      .map((attempt) => (attempt.codeReceivedAt ?? attempt.issuedAt).plus(IN_DOUBT_DELAY)),
  )

/** When a user who left for the bank last and has not come back is no longer waited for. */
export const backFromBankBy = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  latest(
    authorisations
      .filter((attempt) => attempt.status === 'issued')
      .map((attempt) => attempt.handedOutAt?.plus(AT_THE_BANK)),
  )
