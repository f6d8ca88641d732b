// What the answer to a webhook means, when it is tried again, and when its endpoint is given a rest or disabled. Pure;
// processors/deliver-webhooks.ts acts on it.
import { DateTime, Duration } from 'luxon'
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

/** The same in a replay, where it holds up all that comes behind it: four tries in about half an hour. */
export const replayDelays: readonly Duration[] = webhookDelays.slice(0, 3)

/**
 * When an event is tried again after so many failed tries; undefined: it is given up. `key` decides the jitter. Never
 * earlier than the endpoint asked for (`Retry-After`, milliseconds).
 */
export const nextWebhookTry = (
  failedTries: number,
  given: { now: DateTime; key: string; retryAfterMs?: number | undefined; isReplay?: boolean },
): DateTime | undefined => {
  const { now, key, retryAfterMs = 0, isReplay = false } = given
  const delay = (isReplay ? replayDelays : webhookDelays)[failedTries - 1]
  if (delay === undefined) return undefined
  return now.plus(Math.max(withJitter(delay, `${key} ${failedTries}`).toMillis(), retryAfterMs))
}

/** An endpoint that has failed so often in a row counts as away: no further events are tried, but for a probe. */
export const FAILURES_UNTIL_AWAY = 10
/**
 * The delays before the first, second … probe of an endpoint that is away, and between all that follow. The first are
 * short, because most who go away are restarted, and back within seconds.
 */
const probeDelays: readonly Duration[] = [
  after({ seconds: 5 }),
  after({ seconds: 30 }),
  after({ minutes: 2 }),
  after({ minutes: 5 }),
]
/** An endpoint that has taken nothing for so long, although it was tried, is disabled. */
export const DISABLED_AFTER = Duration.fromObject({ days: 3 })

/** How an endpoint has answered since its last success. */
export interface EndpointHealth {
  readonly failedInARow: number
  /** Its first failure since the last success. */
  readonly failingSince: DateTime | undefined
  /** Nothing is sent to it before: the later of what it asked for and its next probe. */
  readonly restsUntil: DateTime | undefined
  /** What it asked for (`Retry-After`). */
  readonly askedUntil: DateTime | undefined
  readonly disabled: 'gone' | 'no-success' | undefined
}

export const healthy: EndpointHealth = {
  failedInARow: 0,
  failingSince: undefined,
  restsUntil: undefined,
  askedUntil: undefined,
  disabled: undefined,
}

export const isAway = ({ failedInARow }: Pick<EndpointHealth, 'failedInARow'>): boolean =>
  failedInARow >= FAILURES_UNTIL_AWAY

/** Whether the next probe is the feed's next event, and not one that waits: by turns, the feed's first. */
export const probesFeed = ({ failedInARow }: Pick<EndpointHealth, 'failedInARow'>): boolean =>
  (failedInARow - FAILURES_UNTIL_AWAY) % 2 === 0

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

const latest = (...times: readonly (DateTime | undefined)[]): DateTime | undefined => {
  const known = times.filter((time) => time !== undefined)
  return known.length === 0 ? undefined : DateTime.max(...known)
}

/**
 * What is known of the endpoint after one more try. Several are on their way at once, so the answers come in any order,
 * and none of them takes back what another has asked for. `key` decides the jitter of the probes.
 */
export const healthAfter = (
  before: EndpointHealth,
  result: WebhookResult,
  { now, key, isProbe }: { now: DateTime; key: string; isProbe: boolean },
): EndpointHealth => {
  const { askedUntil } = before
  const gone = before.disabled === 'gone' ? 'gone' : undefined
  if (result.kind === 'delivered') return { ...healthy, askedUntil, restsUntil: askedUntil, disabled: gone }
  // What was on its way when the endpoint went away is no probe of it.
  const failedInARow = isAway(before) && !isProbe ? before.failedInARow : before.failedInARow + 1
  const failingSince = before.failingSince ?? now
  const asks = result.kind === 'failed' ? (result.retryAfterMs ?? 0) : 0
  const asked = latest(askedUntil, asks === 0 ? undefined : now.plus(asks))
  const probes = failedInARow - FAILURES_UNTIL_AWAY
  const delay = probes < 0 ? undefined : (probeDelays[probes] ?? probeDelays.at(-1))
  const probe = delay && now.plus(withJitter(delay, `${key} ${failedInARow}`))
  const isOver = now.diff(failingSince).toMillis() >= DISABLED_AFTER.toMillis()
  return {
    failedInARow,
    failingSince,
    askedUntil: asked,
    restsUntil: latest(before.restsUntil, asked, probe),
    disabled: result.kind === 'gone' ? 'gone' : (gone ?? (isOver ? 'no-success' : undefined)),
  }
}
