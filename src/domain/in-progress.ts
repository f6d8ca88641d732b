// How long something that a user has begun (a visit to the bank, or a code in doubt) holds back messages, new links and
// lapsing.
import type { DateTime } from 'luxon'
import { Duration } from 'luxon'
import { CONCLUSIVE_AFTER } from './backoff.ts'
import type { Authorisation } from './model.ts'

/** Nothing is sent while a user may be at the bank: bank links are short-lived, strong authentication takes minutes. */
export const AT_THE_BANK: Duration = Duration.fromObject({ minutes: 30 })
/** How long an exchange in doubt holds messages back. */
export const IN_DOUBT_DELAY: Duration = Duration.fromObject({ hours: 24 })

/** The attempt's code has come in, and its outcome is neither known nor in doubt yet. */
export const isInFlight = ({ status }: Authorisation): boolean =>
  status === 'code_received' || status === 'exchanging' || status === 'verifying'
/** The attempt's code may or may not have been used. */
export const isInDoubt = ({ status }: Authorisation): boolean => status === 'in_doubt'

export const findInFlight = (authorisations: readonly Authorisation[]): Authorisation | undefined =>
  authorisations.find(isInFlight)
export const hasInDoubt = (authorisations: readonly Authorisation[]): boolean => authorisations.some(isInDoubt)

/**
 * Whether a code of the same consent that was sent after this attempt's code may still move the expiry, or has moved it
 * while `/me` does not show that yet. The dates read now may then be out of date when they are committed.
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

/** When the last attempt in doubt stops holding messages back; undefined when no attempt is in doubt. */
export const inDoubtUntil = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  latest(
    authorisations
      .filter(isInDoubt)
      .map((attempt) => (attempt.codeReceivedAt ?? attempt.issuedAt).plus(IN_DOUBT_DELAY)),
  )

/**
 * How long messages wait for the user who left for the bank last and has not come back; undefined without such a user.
 */
export const backFromBankBy = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  latest(
    authorisations
      .filter((attempt) => attempt.status === 'issued')
      .map((attempt) => attempt.handedOutAt?.plus(AT_THE_BANK)),
  )
