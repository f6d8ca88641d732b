// What a company gets that asks for the access token of a connection, and whether a refresh must be made for it. Pure:
// the same function decides before the provider is called and again under the consent's lock.
import { type DateTime, Duration } from 'luxon'
import type { Consent, ConsentStatus } from './model.ts'
import { tokenOrder } from './token-order.ts'
import { FIRST_REJECTION_RESTS } from './token-rejection.ts'

/** So long before its end an access token is refreshed: whoever gets it has this time to work with it. */
export const REFRESHED_BEFORE_END = Duration.fromObject({ minutes: 5 })
/** While nothing newer can be had, a token is given out until so long before its end. */
const STILL_OF_USE_FOR = Duration.fromObject({ seconds: 30 })
/** How long the provider is left alone after a refresh without a usable answer, unless it names a time. */
export const REFRESH_RESTS = Duration.fromObject({ seconds: 30 })

/** What each status means for somebody who wants to read data; undefined: an access token may be given. */
const whyNone: Readonly<Record<ConsentStatus, string | undefined>> = {
  active: undefined,
  // Only its renewal is not possible here: until it ends, the connection works.
  unsupported: undefined,
  paused: 'the consent is paused: resume it first',
  quarantined: 'the consent is quarantined: an operator must look at it and release it',
  lapsed: 'the consent has lapsed: it ended, and was not renewed within its grace',
  revoked: 'the consent was revoked',
  opted_out: 'the user has opted out',
  superseded: 'another consent took the place of this one: ask for the access token of that one (superseded_by)',
}

type Known = Pick<
  Consent,
  | 'status'
  | 'expiresAt'
  | 'lastErrorCode'
  | 'retryAfter'
  | 'tokenRejectedAt'
  | 'tokenIssuedAt'
  | 'tokenAcceptedAt'
  | 'candidate'
>

/** Why this consent has no access token; undefined if it may have one. */
export const whyNoAccessToken = ({ status, expiresAt }: Known, now: DateTime): string | undefined =>
  // TrueLayer refuses every refresh and every read of data after the expiry, whatever the token.
  whyNone[status] ??
  (now >= expiresAt ? `the consent ended at ${expiresAt.toISO()}, and is not renewed yet` : undefined)

export interface AccessFacts {
  readonly consent: Known
  /** `isLatest`: no call that may have ended it was begun since it came. */
  readonly cached: { readonly endsAt: DateTime; readonly isLatest: boolean } | undefined
  /** After a refresh without a usable answer, or one that the provider did not take. */
  readonly rests: { readonly until: DateTime } | undefined
  /** A process is refreshing this connection now. */
  readonly isRefreshing: boolean
  /** A code of this consent is being sent, or its tokens or its outcome are being settled now. */
  readonly isCodeFirst: boolean
}

export type AccessStep =
  | { readonly do: 'answer' }
  | { readonly do: 'refresh' }
  | { readonly do: 'refuse'; readonly reason: string }
  /** The provider has rejected every token of the connection, and that is its own trouble. */
  | { readonly do: 'reject'; readonly until: DateTime }
  /** Nobody is asked before this instant. */
  | { readonly do: 'rest'; readonly until: DateTime; readonly why: 'first-rejection' | 'no-answer' }
  /** Whoever is at it is done within seconds. */
  | { readonly do: 'wait'; readonly for: 'refresh' | 'code' }

export const nextAccessStep = (facts: AccessFacts, now: DateTime): AccessStep => {
  const { consent, cached, rests, isRefreshing, isCodeFirst } = facts
  const reason = whyNoAccessToken(consent, now)
  if (reason !== undefined) return { do: 'refuse', reason }
  // A candidate that would be tried first says that somebody has refreshed beside us: our access token has ended then.
  const isCurrent = tokenOrder(consent)[0] === 'current'
  if (cached?.isLatest === true && isCurrent && cached.endsAt.minus(REFRESHED_BEFORE_END) > now) return { do: 'answer' }
  const { lastErrorCode, retryAfter, tokenRejectedAt } = consent
  if (lastErrorCode === 'token-rejected' && retryAfter !== undefined && retryAfter > now) {
    if (tokenRejectedAt !== undefined) return { do: 'reject', until: retryAfter }
    // A longer rest is that of a connection of which a token was accepted since.
    if (retryAfter <= now.plus(FIRST_REJECTION_RESTS)) return { do: 'rest', until: retryAfter, why: 'first-rejection' }
  }
  if (isRefreshing) return { do: 'wait', for: 'refresh' }
  if (isCodeFirst) return { do: 'wait', for: 'code' }
  if (rests !== undefined && rests.until > now) return { do: 'rest', until: rests.until, why: 'no-answer' }
  return { do: 'refresh' }
}

/** Whether the token that we have is given out although it is about to end, because no newer one can be had now. */
export const isStillOfUse = (cached: AccessFacts['cached'], now: DateTime): boolean =>
  cached !== undefined && cached.endsAt.minus(STILL_OF_USE_FOR) > now
