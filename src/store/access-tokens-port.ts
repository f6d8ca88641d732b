// What the refresher of access tokens needs from the store. Types only.
import type { DateTime, Duration } from 'luxon'
import type { AccessFacts } from '../domain/access-token.ts'
import type { Consent } from '../domain/model.ts'
import type { Rejection } from '../domain/token-rejection.ts'
import type { TokenPlace } from '../domain/token-order.ts'
import type { ErrorCode } from '../errors.ts'
import type { Secret } from '../secret.ts'

export interface AccessState extends AccessFacts {
  readonly consent: Consent
  readonly cached: (NonNullable<AccessFacts['cached']> & { readonly token: Secret }) | undefined
  readonly rests: (NonNullable<AccessFacts['rests']> & { readonly code: ErrorCode }) | undefined
  /** Since when it is not known what became of a refresh that was begun: its answer was lost, or its process died. */
  readonly inDoubtSince: DateTime | undefined
  /** Whether an event names this reader within this hour. */
  readonly isNoted: boolean
}

/** Who reads a token, and why; both are in the consent's events. */
export interface Reader {
  readonly by: string
  readonly reason: string
  /** An access token that the provider has just answered 401 to: if it is the one that we have, we have none. */
  readonly rejected?: Secret | undefined
}

export interface RefreshStart {
  /** The number of this call among all that may give the connection another access token. */
  readonly callNo: number
  /** In the order in which to try them. */
  readonly tokens: readonly { readonly place: TokenPlace; readonly version: number; readonly token: Secret }[]
  /** The state before this refresh was begun. */
  readonly state: AccessState
}

/** What a refresh has brought. */
export interface Refreshed {
  readonly consentId: string
  readonly callNo: number
  /** The token with which the refresh was made. */
  readonly used: RefreshStart['tokens'][number]
  /** Those that the provider refused just before, in the same call. */
  readonly refused: readonly { readonly place: TokenPlace; readonly version: number }[]
  /** Undefined where the answer had none: the one that was used stays valid. */
  readonly refreshToken: Secret | undefined
  readonly accessToken: Secret
  readonly endsAt: DateTime
  readonly now: DateTime
}

export interface AccessTokens {
  readAccess(consentId: string, reader: Reader, now: DateTime): Promise<AccessState | undefined>
  /**
   * Writes the event that this reader was shown a token that was there, unless one of this hour names the reader.
   */
  noteShown(consentId: string, reader: Reader, now: DateTime): Promise<void>
  /**
   * Commits the intent to refresh, under the consent's lock; for the time `lease` nobody else refreshes this connection
   * or sends a code of it. Undefined if no refresh is to be made any more: the state has changed since it was read.
   * Throws PermanentError if no token of the consent decrypts.
   */
  beginRefresh(consentId: string, reader: Reader, now: DateTime, lease: Duration): Promise<RefreshStart | undefined>
  /**
   * Stores what a refresh has brought: the refresh token as the current one, the access token, and the event that names
   * the reader, all at once. Never fenced: the refresh may have ended the token before it. If another token has
   * replaced the one that was used, the new one is kept as the candidate. A repeated call writes nothing.
   */
  storeRefreshed(refreshed: Refreshed, reader: Reader): Promise<void>
  /** Records that a refresh brought nothing, unless another call was begun since. */
  failRefresh(
    consentId: string,
    callNo: number,
    failure: {
      /** Since when it is not known what became of a refresh: of this one, or of one before it. */
      readonly doubtSince: DateTime | undefined
      /** Whether the access token before it may have ended by it. */
      readonly mayHaveEnded: boolean
      readonly retryAt: DateTime
      readonly code: ErrorCode
    },
  ): Promise<void>
  /**
   * Records that the provider refused every token. `says-nothing`: another token has come meanwhile, or the only valid
   * one may be that of a code whose outcome is not known (decision 0045). `blames`: whether a second rejection is taken
   * for the connection's own.
   */
  rejectRefresh(
    consentId: string,
    start: RefreshStart,
    rejection: { readonly now: DateTime; readonly detail: string; readonly blames: boolean },
  ): Promise<Rejection | 'says-nothing'>
  /**
   * Before a refresh that settles an attempt: the access token that we have may end by it. False while a refresh for
   * the company is under way, which must not meet another one.
   */
  beginSettling(consentId: string): Promise<boolean>
  /** Keeps the access token of an exchange, unless another call was begun since. */
  keepAccessToken(
    consentId: string,
    given: { readonly callNo: number; readonly accessToken: Secret; readonly endsAt: DateTime },
  ): Promise<void>
}
