// What an exchange is decided from, and the commands that the decision (exchange.ts) can give. Types, and a function
// for each command that is given at more than one place.
import type { DateTime } from 'luxon'
import type { Authorisation, Consent, Renewal } from './model.ts'
import type { Proof } from './proof.ts'
import type { MeSeen, NewConnection, TokenSource } from './reading.ts'

/** The error code that a step records; each is explained in errors.ts. */
export type ExchangeCode =
  | ProviderCode
  | 'code-too-old'
  | 'grant-refused'
  | 'code-refused'
  | 'exchange-in-doubt'
  | 'exchange-interrupted'
  | 'token-changed'
  | 'token-invalid'
  | 'other-connection'
  | 'not-proven'
  | 'not-renewed'
  | 'cycle-closed'
type ProviderCode =
  | 'provider-unreachable'
  | 'proxy-failed'
  | 'provider-timeout'
  | 'provider-rate-limited'
  | 'provider-failed'
  | 'provider-garbled'
  | 'provider-circuit-open'
  | 'link-unusable'
  | 'client-rejected'
  | 'database-unavailable'

export interface AttemptFacts {
  readonly attempt: Authorisation
  readonly consent: Consent
  readonly renewal: Renewal
  /** The other attempts of the consent whose codes were sent and whose outcomes are not known. */
  readonly others: readonly Authorisation[]
}

/** What the provider or the store has answered in this run of the job; the answer is stored nowhere else. */
export type Heard =
  | { readonly from: 'exchange'; readonly answer: ExchangeHeard }
  /** Another token replaced the stored one since the exchange began: the tokens just received are kept as pending. */
  | { readonly from: 'storing' }
  /** The same, found when the pending token was about to replace the stored one. */
  | { readonly from: 'adopting' }
  /** The same, found when a refresh's token was about to replace the stored one: the refresh's is kept as pending. */
  | { readonly from: 'rotating' }
  | {
      readonly from: 'refresh'
      readonly by: RefreshBy
      /** The version of the stored token with which the refresh was sent; undefined for a pending token. */
      readonly version: number | undefined
      readonly at: DateTime
      readonly answer: RefreshHeard
      /** Every refresh of this poll, this one included. */
      readonly tried: readonly Tried[]
    }
  | {
      readonly from: 'me'
      readonly by: TokenSource
      /** When the poll was sent, or the refresh before it. The process may sleep before it judges the answer. */
      readonly at: DateTime
      readonly answer: MeHeard
    }
  | { readonly from: 'commit'; readonly answer: 'later-code-out' | 'cycle-closed' }

/** The token of a refresh: the consent's current one, its candidate (token-order.ts), or the attempt's pending one. */
export type RefreshBy = 'stored' | 'candidate' | 'pending'

export interface Tried {
  readonly by: RefreshBy
  readonly version: number | undefined
}

export type ExchangeHeard =
  /** `isStoredToken`: the refresh token equals the stored one. It names the owner where nothing else does. */
  | { readonly kind: 'tokens'; readonly credentialsId: string | undefined; readonly isStoredToken: boolean }
  | { readonly kind: 'not-processed'; readonly code: ExchangeCode; readonly retryAfterMs?: number | undefined }
  | { readonly kind: 'circuit-open'; readonly code: ExchangeCode; readonly until: DateTime }
  | { readonly kind: 'refused'; readonly code: ExchangeCode }
  | { readonly kind: 'in-doubt'; readonly code: ExchangeCode }

export type RefreshHeard =
  | { readonly kind: 'tokens' }
  | { readonly kind: 'refused' }
  /** Certainly not processed, by the provider's answer or because the circuit is open. */
  | { readonly kind: 'unavailable'; readonly code: ExchangeCode }
  | { readonly kind: 'in-doubt'; readonly code: ExchangeCode }

export type MeHeard =
  | { readonly kind: 'me'; readonly me: MeSeen }
  | { readonly kind: 'denied' }
  | { readonly kind: 'token-rejected' }
  | { readonly kind: 'unavailable'; readonly code: ExchangeCode }

export type ExchangeStep = { readonly reason: string } & (
  | { readonly do: 'nothing' }
  /** The attempt is not due yet; its date stays. */
  | { readonly do: 'not-due'; readonly until: DateTime }
  | { readonly do: 'exchange' }
  | { readonly do: 'store-tokens'; readonly owner: 'ours' | 'pending' }
  /** The code was certainly not processed, and is sent again. */
  | { readonly do: 'requeue'; readonly until: DateTime; readonly code: ExchangeCode }
  | { readonly do: 'read-me'; readonly by: TokenSource }
  | { readonly do: 'refresh'; readonly by: RefreshBy }
  /** The pending token becomes the consent's own. */
  | { readonly do: 'adopt' }
  | {
      readonly do: 'commit-renewed'
      readonly proof: Extract<Proof, { proven: true }>
      readonly owner: 'ours' | NewConnection
      readonly requestedAt: DateTime
    }
  /** The outcome is in doubt. It is settled at once, or in the job's next run. */
  | { readonly do: 'doubt'; readonly code: ExchangeCode; readonly settle: 'now' | 'next-run' }
  | { readonly do: 'wait'; readonly until: DateTime }
  /** The provider shows no new date, which may still come: polled again at the planned times of such a date. */
  | { readonly do: 'await-date'; readonly until: DateTime; readonly code: ExchangeCode }
  /** The poll just made is counted; it ended with `code`. */
  | { readonly do: 'poll-again'; readonly until: DateTime; readonly code: ExchangeCode }
  | {
      readonly do: 'close'
      readonly as: 'refused' | 'mismatched' | 'superseded'
      readonly code: ExchangeCode
      /** The user did their part, and is notified of the outcome. */
      readonly notify: boolean
    }
)

export const close = (as: 'refused' | 'mismatched', code: ExchangeCode, reason: string): ExchangeStep => ({
  do: 'close',
  as,
  code,
  notify: true,
  reason,
})
export const superseded = (reason: string): ExchangeStep => ({
  do: 'close',
  as: 'superseded',
  code: 'cycle-closed',
  notify: false,
  reason,
})
export const cycleOver = (): ExchangeStep => superseded('the cycle is over: the provider is not asked any more')
export const mismatched = (): ExchangeStep =>
  close(
    'mismatched',
    'other-connection',
    'a different connection was approved: nothing of ours changed, the user is told',
  )
export const notRenewed = (code: ExchangeCode): ExchangeStep =>
  close('refused', code, `${code}: not renewed, the user is asked again`)
export const doubt = (code: ExchangeCode, reason: string): ExchangeStep => ({
  do: 'doubt',
  code,
  settle: 'now',
  reason,
})
/** Only polling can tell which of the two tokens is valid; nothing is committed before that is known. */
export const tokenChanged = (): ExchangeStep => ({
  do: 'doubt',
  code: 'token-changed',
  settle: 'next-run',
  reason: 'token-changed: which token is valid is settled by asking',
})
export const refresh = (by: RefreshBy, reason: string): ExchangeStep => ({ do: 'refresh', by, reason })
export const wait = (until: DateTime, reason: string): ExchangeStep => ({ do: 'wait', until, reason })
export const pollAgain = (until: DateTime, code: ExchangeCode, reason: string): ExchangeStep => ({
  do: 'poll-again',
  until,
  code,
  reason,
})
