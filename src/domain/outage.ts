// What a failed job says: that something around us is away, or something about this one consent. And how long the
// consent rests for the first: minutes, then hours, because most outages are short and a renewal that waits is a user
// who is asked late.
import { Duration } from 'luxon'
import type { DateTime } from 'luxon'
import type { Consent } from './model.ts'
import { withJitter } from './backoff.ts'
import { spreadFraction } from './spread.ts'

/**
 * Every error code that may pass by itself and that a job of a consent or an authorisation can end with (errors.ts).
 * `outage`: it would have met any other record as well, and nothing was learnt of this one. `answer`: the provider
 * answered about this very connection.
 */
export const failureKinds = {
  'provider-unreachable': 'outage',
  'proxy-failed': 'outage',
  'provider-timeout': 'outage',
  'provider-rate-limited': 'outage',
  'provider-failed': 'outage',
  // A gateway's page, or half a JSON: not the provider's own words.
  'provider-garbled': 'outage',
  'provider-paused': 'outage',
  'client-rejected': 'outage',
  'database-unavailable': 'outage',
  'queue-unavailable': 'outage',
  'timed-out': 'outage',
  stopped: 'outage',
  fenced: 'outage',
  // `success: false`, or a link that is none: asked again in minutes it would say the same.
  'link-unusable': 'answer',
} as const

export const isOutage = (code: string): boolean => (failureKinds as Readonly<Record<string, string>>)[code] === 'outage'

/**
 * How long a consent rests after its first, second, … outage in a row, the queue's own tries used up each time; the
 * last value repeats.
 */
export const outageTable: readonly Duration[] = [{ minutes: 5 }, { minutes: 15 }, { hours: 1 }, { hours: 2 }].map(
  (rest) => Duration.fromObject(rest),
)

/** An outage that ended by itself long ago, without anything to be done for the consent since, is not the same one. */
const SAME_OUTAGE_WITHIN = Duration.fromObject({ days: 1 })

/**
 * The number of this outage in its row. A success or an answer about the consent ends the row (the store sets the count
 * back). A person's retry uses none up: it may be pressed many times within minutes.
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

/**
 * `no` from one on. Never sooner than the other side asked for, and spread: what failed together must not come back in
 * one second.
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
const RETRY_AFTER_SPREAD = 0.1

/**
 * When an exchange of unknown outcome is asked about after a question that certainly never reached the provider: as
 * long again as it has waited, five minutes to an hour, and not later than it would have been anyway. By its age, so
 * that a person's retries use nothing up.
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
  const [least, , most] = outageTable.map((rest) => rest.toMillis()) as [number, number, number]
  const waited = Math.min(Math.max(now.diff(since).toMillis(), least), most)
  const at = now.plus(withJitter(Duration.fromMillis(waited), key))
  return at < planned ? at : planned
}

/**
 * How long other records rest whose job the queue gave up: a fault of ours burns slowly, an outage is likely to be
 * over.
 */
export const delayOfRecord = (code: string): Duration => Duration.fromObject({ minutes: isOutage(code) ? 5 : 15 })
