// When something that did not work, or cannot be known yet, is tried or asked again. Only dates: what is tried is
// decided elsewhere, and the seconds between two tries of one job belong to the queue.
import { Duration } from 'luxon'
import type { DateTime } from 'luxon'
import { spreadFraction } from './spread.ts'

const after = (values: { seconds?: number; minutes?: number; hours?: number }): Duration => Duration.fromObject(values)
const HOURS_PER_DAY = 24

/** How long a record rests after its first, second, … failed run; the last value repeats. */
export const backOffTable: readonly Duration[] = [1, 4, 12, HOURS_PER_DAY].map((hours) => after({ hours }))

/**
 * `failedAttempts` counts the failure just seen; less than one counts as one. Never more than a day: a bank may be back
 * by then.
 */
export const backOffAfter = (failedAttempts: number): Duration => {
  const index = Math.min(Math.max(Math.floor(failedAttempts), 1), backOffTable.length) - 1
  return backOffTable[index]!
}

const JITTER = 0.1

/**
 * The duration, up to a tenth shorter or longer; always the same for the same key, so that failures together do not
 * return together.
 */
export const withJitter = (duration: Duration, key: string): Duration =>
  Duration.fromMillis(Math.round(duration.toMillis() * (1 - JITTER + 2 * JITTER * spreadFraction(key))))

/** When `/me` is asked for a new expiry after a clean exchange, counted from its answer. */
export const verifySchedule: readonly Duration[] = [
  after({ seconds: 0 }),
  after({ seconds: 10 }),
  after({ minutes: 1 }),
  after({ minutes: 10 }),
  after({ hours: 1 }),
]

/**
 * For a caller who has just asked: by the clock, not by count, so that a person's retries use nothing up and times that
 * passed while nobody was there are not made up for. Undefined when the last time has come: nothing was proven.
 */
export const nextVerifyAt = (answeredAt: DateTime, now: DateTime): DateTime | undefined =>
  verifySchedule.map((wait) => answeredAt.plus(wait)).find((at) => at > now)

/**
 * From when on an `unknown` authorisation may be found *not* renewed. A code lives five minutes (TrueLayer's
 * documentation), so after six, a lost exchange can no longer take effect; before that, "not renewed" may only mean
 * "not yet".
 */
export const CONCLUSIVE_AFTER: Duration = after({ minutes: 6 })

export const mayConcludeNotRenewed = (codeReceivedAt: DateTime, now: DateTime): boolean =>
  now >= codeReceivedAt.plus(CONCLUSIVE_AFTER)

/**
 * When an `unknown` authorisation is asked about, counted from the code's arrival; daily after the last. The very first
 * time is at once.
 */
export const settleSchedule: readonly Duration[] = [
  CONCLUSIVE_AFTER,
  after({ hours: 1 }),
  after({ hours: 6 }),
  after({ hours: HOURS_PER_DAY }),
]

/**
 * When the provider is polled next, for a caller who has just polled it for the `pollCount`-th time (0: not yet, so
 * now). Times that passed while no worker ran are not made up for: one answer serves them all.
 */
export const nextSettleAt = (input: { codeReceivedAt: DateTime; pollCount: number; now: DateTime }): DateTime => {
  const { codeReceivedAt, pollCount, now } = input
  if (pollCount < 1) return now
  const planned = settleSchedule.map((wait) => codeReceivedAt.plus(wait)).find((at) => at > now)
  if (planned !== undefined) return planned
  const days = Math.floor(now.diff(codeReceivedAt).as('hours') / HOURS_PER_DAY) + 1
  return codeReceivedAt.plus({ hours: days * HOURS_PER_DAY })
}

/** How long a message waits after its first, second, … try at which the mail server put off this very message. */
export const mailSchedule: readonly Duration[] = [
  after({ minutes: 1 }),
  after({ minutes: 10 }),
  after({ hours: 1 }),
  after({ hours: 4 }),
]

/** `attempts` counts the try just made (0: none yet, so now). Undefined: give up, the notification is `failed`. */
export const nextMailTryAt = (attempts: number, now: DateTime): DateTime | undefined => {
  if (attempts < 1) return now
  const wait = mailSchedule[Math.floor(attempts) - 1]
  return wait === undefined ? undefined : now.plus(wait)
}

const UNAVAILABLE_MIN_DELAY = after({ minutes: 1 })
const UNAVAILABLE_MAX_DELAY = after({ hours: 1 })

/**
 * When a message is tried again after the mail server itself was away. Never given up: an outage is not the message's
 * failure, and when nobody wants the message any more is decided elsewhere. The first time (`again` false) a minute
 * later, then as long as the message has waited already: by its age, not by a count, so that neither an outage nor a
 * person's retries use anything up. At most an hour.
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
