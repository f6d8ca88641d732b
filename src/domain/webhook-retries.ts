// What the answer to a webhook means, when it is tried again, and when its endpoint is given a rest or disabled. Pure;
// processors/deliver-webhooks.ts acts on it.
import { type DateTime, Duration } from 'luxon'
import { withJitter } from './backoff.ts'

const after = (values: { seconds?: number; minutes?: number; hours?: number }): Duration => Duration.fromObject(values)

/** The delays after the first, second … failed try of an event. After the tenth, three days later, it is given up. */
export const webhookDelays: readonly Duration[] = [
  after({ seconds: 5 }),
  after({ minutes: 5 }),
  after({ minutes: 30 }),
  after({ hours: 2 }),
  after({ hours: 5 }),
  after({ hours: 10 }),
  after({ hours: 14 }),
  after({ hours: 20 }),
  after({ hours: 20, minutes: 25 }),
]

/**
 * When an event is tried again after so many failed tries; undefined: it is given up. `key` decides the jitter. Never
 * earlier than the endpoint asked for (`Retry-After`, milliseconds).
 */
export const nextWebhookTry = (
  failedTries: number,
  { now, key, retryAfterMs = 0 }: { now: DateTime; key: string; retryAfterMs?: number | undefined },
): DateTime | undefined => {
  const delay = webhookDelays[failedTries - 1]
  if (delay === undefined) return undefined
  return now.plus(Math.max(withJitter(delay, `${key} ${failedTries}`).toMillis(), retryAfterMs))
}

/** An endpoint that has failed so often in a row counts as away: no further events are tried, but for a probe. */
export const FAILURES_UNTIL_AWAY = 10
/** Between two probes of an endpoint that is away. */
const PROBE_EVERY = after({ minutes: 5 })
/** An endpoint that has taken nothing for so long, although it was tried, is disabled. */
export const DISABLED_AFTER = Duration.fromObject({ days: 3 })

/** How an endpoint has answered since its last success. */
export interface EndpointHealth {
  readonly failedInARow: number
  /** Its first failure since the last success. */
  readonly failingSince: DateTime | undefined
  /** Nothing is sent to it before. */
  readonly restsUntil: DateTime | undefined
  readonly disabled: 'gone' | 'no-success' | undefined
}

export const healthy: EndpointHealth = {
  failedInARow: 0,
  failingSince: undefined,
  restsUntil: undefined,
  disabled: undefined,
}

export const isAway = ({ failedInARow }: Pick<EndpointHealth, 'failedInARow'>): boolean =>
  failedInARow >= FAILURES_UNTIL_AWAY

/** What one try has shown. */
export type WebhookResult =
  | { readonly kind: 'delivered' }
  /** The endpoint wants no more (410). */
  | { readonly kind: 'gone' }
  | { readonly kind: 'failed'; readonly retryAfterMs?: number | undefined }

/**
 * Any 2xx is a delivery. A redirect is none: it is not followed, because the place that it names was not checked and
 * does not have the secret.
 */
export const resultOf = (status: number | undefined, retryAfterMs: number | undefined): WebhookResult => {
  if (status !== undefined && status >= 200 && status < 300) return { kind: 'delivered' }
  return status === 410 ? { kind: 'gone' } : { kind: 'failed', retryAfterMs }
}

/** What is known of the endpoint after one more try. `key` decides the jitter of the probes. */
export const healthAfter = (
  before: EndpointHealth,
  result: WebhookResult,
  { now, key }: { now: DateTime; key: string },
): EndpointHealth => {
  // Where the endpoint asked for a rest, a request that was on its way meanwhile does not end the rest.
  if (result.kind === 'delivered') return { ...healthy, restsUntil: isAway(before) ? undefined : before.restsUntil }
  const failedInARow = before.failedInARow + 1
  const failingSince = before.failingSince ?? now
  if (result.kind === 'gone') return { failedInARow, failingSince, restsUntil: undefined, disabled: 'gone' }
  const disabled = now.diff(failingSince).toMillis() >= DISABLED_AFTER.toMillis() ? 'no-success' : undefined
  const asked = result.retryAfterMs ?? 0
  const probe = isAway({ failedInARow }) ? withJitter(PROBE_EVERY, `${key} ${failedInARow}`).toMillis() : 0
  const rest = Math.max(asked, probe)
  return { failedInARow, failingSince, restsUntil: rest === 0 ? undefined : now.plus(rest), disabled }
}
