// When a failed action is retried, and when the provider is polled again about an outcome that is not known yet. This
// file only computes dates: other code decides what is retried, and the queue sets the seconds between two tries of one
// job.
import { Duration } from 'luxon'
import type { DateTime } from 'luxon'
import { spreadFraction } from './spread.ts'

const after = (values: { seconds?: number; minutes?: number; hours?: number }): Duration => Duration.fromObject(values)
const HOURS_PER_DAY = 24

/** How long a record is delayed after its first, second, … failed run; the last value repeats. */
export const backOffTable: readonly Duration[] = [1, 4, 12, HOURS_PER_DAY].map((hours) => after({ hours }))

/**
 * `failedAttempts` includes the failure just seen; a number below one counts as one. The delay is never more than a
 * day, because a bank may work again by then.
 */
export const backOffAfter = (failedAttempts: number): Duration => {
  const index = Math.min(Math.max(Math.floor(failedAttempts), 1), backOffTable.length) - 1
  return backOffTable[index]!
}

const JITTER = 0.1

/**
 * The duration, up to a tenth shorter or longer. How much depends on the key alone, so that records that failed
 * together are not all retried together.
 */
export const withJitter = (duration: Duration, key: string): Duration =>
  Duration.fromMillis(Math.round(duration.toMillis() * (1 - JITTER + 2 * JITTER * spreadFraction(key))))

/** When `/me` is polled for a new expiry after a clean exchange, counted from the exchange's answer. */
export const verifySchedule: readonly Duration[] = [
  after({ seconds: 0 }),
  after({ seconds: 10 }),
  after({ minutes: 1 }),
  after({ minutes: 10 }),
]

/**
 * The next poll, for a caller who has just polled. The clock decides and not a count, so that an operator's retries use
 * no poll up, and polls missed while no worker ran are not made up for. Undefined when the last time has passed: the
 * renewal is not proven yet.
 */
export const nextVerifyAt = (answeredAt: DateTime, now: DateTime): DateTime | undefined =>
  verifySchedule.map((wait) => answeredAt.plus(wait)).find((at) => at > now)

/**
 * How long a code that was sent may still take effect at the provider. A code is valid for five minutes (TrueLayer's
 * documentation); one minute is added for a request that is under way.
 */
export const CODE_ACTS_WITHIN: Duration = after({ minutes: 6 })

export const mayCodeStillAct = (codeReceivedAt: DateTime, now: DateTime): boolean =>
  now < codeReceivedAt.plus(CODE_ACTS_WITHIN)

/**
 * How long after its code a renewal's new date may come late: the provider may show the old date for up to a day. Until
 * then, the old date may only mean "not yet".
 */
export const DATE_SHOWN_WITHIN: Duration = after({ hours: 25 })

export const mayConcludeNotRenewed = (codeReceivedAt: DateTime, now: DateTime): boolean =>
  now >= codeReceivedAt.plus(DATE_SHOWN_WITHIN)

/** When the provider is polled for a date that comes late, counted from the code's arrival. */
export const dateSchedule: readonly Duration[] = [after({ hours: 6 }), DATE_SHOWN_WITHIN]

/**
 * The next poll for a date that comes late. Daily after the last entry, for the case that the provider has given no
 * answer until then.
 */
export const nextDatePollAt = (codeReceivedAt: DateTime, now: DateTime): DateTime => {
  const planned = dateSchedule.map((wait) => codeReceivedAt.plus(wait)).find((at) => at > now)
  if (planned !== undefined) return planned
  const last = codeReceivedAt.plus(DATE_SHOWN_WITHIN)
  return last.plus({ hours: (Math.floor(now.diff(last).as('hours') / HOURS_PER_DAY) + 1) * HOURS_PER_DAY })
}

/**
 * When the provider is polled about an attempt in doubt, counted from the code's arrival; daily after the last entry.
 * The very first poll is made at once.
 */
export const settleSchedule: readonly Duration[] = [
  CODE_ACTS_WITHIN,
  after({ hours: 1 }),
  after({ hours: 6 }),
  DATE_SHOWN_WITHIN,
]

/**
 * When the provider is polled next, for a caller who has just polled it for the `pollCount`-th time (0: not polled yet,
 * so now). Polls missed while no worker ran are not made up for: one poll replaces them all.
 */
export const nextSettleAt = (input: { codeReceivedAt: DateTime; pollCount: number; now: DateTime }): DateTime => {
  const { codeReceivedAt, pollCount, now } = input
  if (pollCount < 1) return now
  const planned = settleSchedule.map((wait) => codeReceivedAt.plus(wait)).find((at) => at > now)
  if (planned !== undefined) return planned
  const days = Math.floor(now.diff(codeReceivedAt).as('hours') / HOURS_PER_DAY) + 1
  return codeReceivedAt.plus({ hours: days * HOURS_PER_DAY })
}

/**
 * When a message that its server put off is tried again; `tries` is its channel's schedule (channels.ts). `attempts`
 * includes the try just made (0: no try yet, so now). Undefined: no more tries, the notification is `failed`.
 */
export const nextTryAt = (tries: readonly Duration[], attempts: number, now: DateTime): DateTime | undefined => {
  if (attempts < 1) return now
  const wait = tries[Math.floor(attempts) - 1]
  return wait === undefined ? undefined : now.plus(wait)
}

const UNAVAILABLE_MIN_DELAY = after({ minutes: 1 })
const UNAVAILABLE_MAX_DELAY = after({ hours: 1 })

/**
 * When a message is retried after its channel itself was unavailable. The retries never end here: an outage is not
 * the message's failure, and other code decides when a message is no longer wanted. The first delay (`again` false) is
 * a minute; each later one is as long as the message has waited already, at most an hour. The delay depends on the
 * message's age and not on a count, so that neither an outage nor an operator's retries use anything up.
 */
export const nextTryWhileUnavailable = ({
  createdAt,
  again,
  now,
}: {
  createdAt: DateTime
  again: boolean
  now: DateTime
}): DateTime => {
  const waited = again ? now.diff(createdAt).toMillis() : 0
  return now.plus(Math.min(Math.max(waited, UNAVAILABLE_MIN_DELAY.toMillis()), UNAVAILABLE_MAX_DELAY.toMillis()))
}
