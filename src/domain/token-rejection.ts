// What it means that the provider rejected every token of a consent on every route: at first nothing, because the fault
// may be ours; the second time, with no circuit open, that the connection needs another token. Pure.
import { type DateTime, Duration } from 'luxon'
import { withJitter } from './backoff.ts'
import type { Consent } from './model.ts'

/** As long as the circuit breaker counts: by then it has noticed whether many connections are rejected at once. */
export const FIRST_REJECTION_RESTS = Duration.fromObject({ minutes: 5 })
const WAITS_FOR_A_TOKEN = Duration.fromObject({ days: 1 })

/** The reason that `explain`, `list` and `show` give for such a consent. */
export const WAITING_FOR_A_TOKEN = 'waiting for a token: the provider rejects the one we have; tried again once a day'

export interface Rejection {
  readonly until: DateTime
  /** The rejection is this connection's own: the consent waits for a token. */
  readonly isOwn: boolean
  /** The company is told now; it is told once for the tokens that it has given. */
  readonly tells: boolean
}

type Known = Pick<Consent, 'id' | 'lastErrorCode' | 'retryAfter' | 'tokenRejectedAt'>

export const judgeRejection = (consent: Known, now: DateTime): Rejection => {
  const { id, lastErrorCode, retryAfter, tokenRejectedAt } = consent
  const inADay = now.plus(withJitter(WAITS_FOR_A_TOKEN, id))
  if (tokenRejectedAt !== undefined) return { until: inADay, isOwn: true, tells: false }
  // Without a date, another token has arrived since the first rejection: the rejection now is the first of that token.
  if (lastErrorCode !== 'token-rejected' || retryAfter === undefined)
    return { until: now.plus(FIRST_REJECTION_RESTS), isOwn: false, tells: false }
  // Tried early, by hand or by the start page's button: that is no second time.
  if (now < retryAfter) return { until: retryAfter, isOwn: false, tells: false }
  return { until: inADay, isOwn: true, tells: true }
}

/** The provider has rejected all that we have for this connection, and a further try is planned. */
export const isWaitingForToken = ({
  lastErrorCode,
  tokenRejectedAt,
}: Pick<Consent, 'lastErrorCode' | 'tokenRejectedAt'>): boolean =>
  lastErrorCode === 'token-rejected' && tokenRejectedAt !== undefined
