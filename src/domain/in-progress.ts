// How long something that a user has begun (a visit to the bank, or a code whose outcome is not known) holds back
// messages, new links and lapsing.
import type { DateTime } from 'luxon'
import { Duration } from 'luxon'
import { CODE_ACTS_WITHIN, DATE_SHOWN_WITHIN } from './backoff.ts'
import type { Authorisation } from './model.ts'

/** Nothing is sent while a user may be at the bank: bank links are short-lived, strong authentication takes minutes. */
export const AT_THE_BANK: Duration = Duration.fromObject({ minutes: 30 })
/** How long a poll may take from its date on: a consent must not be due together with it, and a sweep may delay it. */
const POLL_TAKES_WITHIN: Duration = Duration.fromObject({ hours: 1 })
/** How long after the last planned poll a poll that brought no answer is repeated within the hour. */
export const POLL_REPEATED_FOR: Duration = Duration.fromObject({ days: 1 })
/** How long a code whose outcome is not known holds back messages and lapsing at least, counted from its arrival. */
export const IN_DOUBT_DELAY: Duration = DATE_SHOWN_WITHIN.plus(POLL_TAKES_WITHIN)

/** When the attempt's code came in; for one that has none on record, when its link was made. */
export const codeCameAt = ({ codeReceivedAt, issuedAt }: Authorisation): DateTime => codeReceivedAt ?? issuedAt

/** The attempt's code has come in, and its outcome is neither known nor in doubt yet. */
export const isInFlight = ({ status }: Authorisation): boolean =>
  status === 'code_received' || status === 'exchanging' || status === 'verifying'
/** After this time a code that was answered and is not proven yet gives way: the next code lives five minutes only. */
const PROOF_COMES_FIRST_FOR: Duration = Duration.fromObject({ minutes: 2 })

/** Another code of the consent is not sent while this one's is being sent, or is expected to be proven soon. */
export const blocksExchange = ({ status, answeredAt }: Authorisation, now: DateTime): boolean =>
  status === 'exchanging' ||
  (status === 'verifying' && (answeredAt === undefined || answeredAt.plus(PROOF_COMES_FIRST_FOR) > now))
/** The attempt's code may or may not have been used. */
export const isInDoubt = ({ status }: Authorisation): boolean => status === 'in_doubt'
/** The provider was asked about the attempt and showed no new date, which may still come. */
export const isAwaitingDate = ({ status }: Authorisation): boolean => status === 'awaiting_date'
/** The attempt's outcome is not known, and only polling tells it. Neither the button nor another code waits for it. */
export const isUnsettled = (attempt: Authorisation): boolean => isInDoubt(attempt) || isAwaitingDate(attempt)

export const findInFlight = (authorisations: readonly Authorisation[]): Authorisation | undefined =>
  authorisations.find(isInFlight)
export const hasUnsettled = (authorisations: readonly Authorisation[]): boolean => authorisations.some(isUnsettled)

/**
 * Until when an outcome that is not known is awaited: to the last planned poll, or to the next one where that brought
 * no answer. Undefined for attempts whose outcome is known.
 */
export const awaitedUntil = (attempt: Authorisation): DateTime | undefined =>
  isUnsettled(attempt) ? latest([codeCameAt(attempt).plus(DATE_SHOWN_WITHIN), attempt.nextActionAt]) : undefined

/** Only the earlier one of two codes waits for the other, so two never wait for each other. */
const wasSentAfter = (own: Authorisation, { exchangeStartedAt: sentAt }: Authorisation): boolean =>
  sentAt !== undefined && (own.exchangeStartedAt === undefined || sentAt > own.exchangeStartedAt)

const isSentFor = ({ exchangeStartedAt }: Authorisation, time: Duration, now: DateTime): boolean =>
  exchangeStartedAt !== undefined && exchangeStartedAt.plus(time) > now

/** A code is being sent or proven at this moment, and it was not sent before this attempt's code. */
const isUnderWay = (own: Authorisation, other: Authorisation): boolean =>
  (other.status === 'exchanging' || other.status === 'verifying') &&
  (other.exchangeStartedAt === undefined || !wasSentAfter(other, own))

/** The last poll about the attempt was refused its refresh token. */
export const wasRefused = ({ errorCode }: Authorisation): boolean => errorCode === 'token-invalid'

/**
 * The codes of the same consent that were sent after this attempt's code and whose own polls come first. They may still
 * move the expiry, or have moved it while `/me` does not show that yet: the provider is not polled for this attempt. A
 * later one that was refused its token is not among them, since this attempt may hold the valid one.
 */
export const laterCodesOut = (
  own: Authorisation,
  others: readonly Authorisation[],
  now: DateTime,
): readonly Authorisation[] =>
  others.filter(
    (other) =>
      isUnderWay(own, other) ||
      (wasSentAfter(own, other) &&
        ((isInDoubt(other) && isSentFor(other, CODE_ACTS_WITHIN, now)) ||
          (isAwaitingDate(other) && !wasRefused(other) && isSentFor(other, DATE_SHOWN_WITHIN, now)))),
  )

/**
 * The codes that were sent after this attempt's code and whose date may still come: the date that `/me` shows now may
 * be the earlier one, and is not committed. A later one in doubt is among them: polls about it may all have failed.
 */
export const laterDatesOut = (
  own: Authorisation,
  others: readonly Authorisation[],
  now: DateTime,
): readonly Authorisation[] =>
  others.filter(
    (other) =>
      isUnderWay(own, other) ||
      (wasSentAfter(own, other) && isUnsettled(other) && isSentFor(other, DATE_SHOWN_WITHIN, now)),
  )

const latest = (instants: readonly (DateTime | undefined)[]): DateTime | undefined =>
  instants.reduce(
    (last, instant) => (last === undefined || (instant !== undefined && instant > last) ? instant : last),
    undefined,
  )

/**
 * Until when outcomes that are not known hold messages back; undefined when every outcome is known. The last code of
 * the cycle counts, whatever became of it: an earlier one that waited for it is settled right after it, and its user
 * must not get two messages within minutes.
 */
export const inDoubtUntil = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  hasUnsettled(authorisations)
    ? latest([
        latest(
          authorisations.map((attempt) => (isUnsettled(attempt) ? codeCameAt(attempt) : attempt.codeReceivedAt)),
        )?.plus(IN_DOUBT_DELAY),
        ...authorisations.filter(isUnsettled).map(repeatedPollEndsAt),
      ])
    : undefined

/**
 * The last planned poll brought no answer and is repeated: messages wait for that repetition as they did for the poll.
 * Undefined for any other poll.
 */
const repeatedPollEndsAt = (attempt: Authorisation): DateTime | undefined => {
  const { nextActionAt } = attempt
  const lastPoll = codeCameAt(attempt).plus(DATE_SHOWN_WITHIN)
  return nextActionAt !== undefined && nextActionAt > lastPoll && nextActionAt <= lastPoll.plus(POLL_REPEATED_FOR)
    ? nextActionAt.plus(POLL_TAKES_WITHIN)
    : undefined
}

/**
 * How long messages wait for the user who left for the bank last and has not come back; undefined without such a user.
 */
export const backFromBankBy = (authorisations: readonly Authorisation[]): DateTime | undefined =>
  latest(
    authorisations
      .filter((attempt) => attempt.status === 'issued')
      .map((attempt) => attempt.handedOutAt?.plus(AT_THE_BANK)),
  )
