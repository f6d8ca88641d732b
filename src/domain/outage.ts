// Whether a failed job means that something around us is unavailable, or something about this one consent; and how long
// the consent is delayed in the first case: minutes, then hours, because most outages are short and a delayed renewal
// means that a user is notified late.
import { Duration } from 'luxon'
import type { DateTime } from 'luxon'
import type { Consent } from './model.ts'
import { withJitter } from './backoff.ts'
import { spreadFraction } from './spread.ts'

/**
 * Every error code (errors.ts) that may pass by itself and with which a job of a consent or an attempt can end.
 * `outage`: any other record would have failed as well, and nothing was learnt about this one. `answer`: the provider
 * answered about this very connection.
 */
export const failureKinds = {
  'provider-unreachable': 'outage',
  'proxy-failed': 'outage',
  'provider-timeout': 'outage',
  'provider-rate-limited': 'outage',
  'provider-failed': 'outage',
  // The answer was a gateway's page, or half a JSON document: not the provider's own words.
  'provider-garbled': 'outage',
  'provider-circuit-open': 'outage',
  'client-rejected': 'outage',
  'database-unavailable': 'outage',
  'queue-unavailable': 'outage',
  'timed-out': 'outage',
  stopped: 'outage',
  // The provider answered `success: false`, or gave no usable link: some minutes later it would answer the same.
  'link-unusable': 'answer',
} as const

export const isOutage = (code: string): boolean => (failureKinds as Readonly<Record<string, string>>)[code] === 'outage'

/**
 * How long a consent is delayed after its first, second, … outage in a row, when the queue's own tries are used up each
 * time; the last value repeats.
 */
export const outageTable: readonly Duration[] = [{ minutes: 5 }, { minutes: 15 }, { hours: 1 }, { hours: 2 }].map(
  (delay) => Duration.fromObject(delay),
)

/**
 * A failure this long after the last delay ended is a new outage: the old one is over, though nothing was due since.
 */
const SAME_OUTAGE_WITHIN = Duration.fromObject({ days: 1 })

/**
 * The number of this outage in its row. A success or an answer about the consent ends the row (the store resets the
 * count). A retry by an operator is not counted, because an operator may press the button many times within minutes.
 */
export const outageNo = (
  { outages, retryAfter }: Pick<Consent, 'outages' | 'retryAfter'>,
  now: DateTime,
  manual: boolean,
): number => {
  const isSame = retryAfter !== undefined && now < retryAfter.plus(SAME_OUTAGE_WITHIN)
  const before = isSame ? outages : 0
  return Math.max(1, manual ? before : before + 1)
}

/** How far a delay that the other side asked for is spread: up to this share longer. */
const RETRY_AFTER_SPREAD = 0.1

/**
 * `no` counts from one. The delay is never shorter than the other side asked for. It is spread, so that jobs that
 * failed together are not all retried in the same second.
 */
export const delayAfterOutage = ({
  no,
  key,
  retryAfterMs = 0,
}: {
  no: number
  key: string
  retryAfterMs?: number | undefined
}): Duration => {
  const index = Math.min(Math.max(Math.floor(no), 1), outageTable.length) - 1
  const own = withJitter(outageTable[index]!, key).toMillis()
  const asked = Math.round(retryAfterMs * (1 + RETRY_AFTER_SPREAD * spreadFraction(key)))
  return Duration.fromMillis(Math.max(own, asked))
}

/**
 * When the provider is polled about an exchange in doubt after a poll that certainly never reached the provider. The
 * delay is as long as the exchange has waited already, five minutes to an hour, and never goes past the planned poll.
 * It depends on the exchange's age, so that an operator's retries use nothing up.
 */
export const nextPollAfterOutage = ({
  since,
  now,
  planned,
  key,
}: {
  since: DateTime
  now: DateTime
  planned: DateTime
  key: string
}): DateTime => {
  const [least, , most] = outageTable.map((delay) => delay.toMillis()) as [number, number, number]
  const waited = Math.min(Math.max(now.diff(since).toMillis(), least), most)
  const at = now.plus(withJitter(Duration.fromMillis(waited), key))
  return at < planned ? at : planned
}

/**
 * How long an attempt or a message is delayed when the queue gave up its job: an outage is likely to be over soon, a
 * fault of ours is not.
 */
export const delayOfRecord = (code: string): Duration => Duration.fromObject({ minutes: isOutage(code) ? 5 : 15 })
