// What Reconsent needs from an open-banking provider. Every answer a call can have is a value, so that a caller must
// say what it does with each; only bugs throw. No answer carries a secret outside a Secret.
import type { DateTime } from 'luxon'
import type { ErrorCode } from '../errors.ts'
import type { Route } from '../domain/policy.ts'
import type { Secret } from '../secret.ts'

/** A request that certainly had no effect at the provider: safe to repeat. */
export interface NotProcessed {
  readonly kind: 'not-processed'
  readonly code: Extract<
    ErrorCode,
    'provider-unreachable' | 'proxy-failed' | 'provider-rate-limited' | 'client-rejected'
  >
  /** From `Retry-After`, when it came. */
  readonly retryAfterMs: number | undefined
}

/** A read that failed in a way that may pass. */
export interface Unavailable {
  readonly kind: 'unavailable'
  readonly code: Extract<
    ErrorCode,
    | 'provider-unreachable'
    | 'proxy-failed'
    | 'provider-timeout'
    | 'provider-rate-limited'
    | 'provider-failed'
    | 'provider-garbled'
    | 'link-unusable'
  >
  readonly retryAfterMs: number | undefined
}

export interface LinkRequest {
  readonly route: Route
  readonly refreshToken: Secret
  readonly redirectUri: string
  readonly state: Secret
  /** PKCE S256 challenge, base64url. */
  readonly codeChallenge: string
  readonly providerId: string
  readonly scopes: readonly string[]
}

export type LinkAnswer =
  | { readonly kind: 'link'; readonly url: Secret }
  /**
   * A 4xx: this connection cannot have a link on this route now. `status` tells 401 apart: many at once are our own
   * fault.
   */
  | { readonly kind: 'rejected'; readonly status: number; readonly providerError: string }
  | Unavailable

export interface Tokens {
  readonly accessToken: Secret
  /** Undefined when the provider sent none: keep the stored one. */
  readonly refreshToken: Secret | undefined
  /** `credentials_id` from the access token's `sub` claim; undefined when the token has none or is not a JWT. */
  readonly credentialsId: string | undefined
  readonly expiresInSeconds: number
}

export type TokenAnswer =
  | { readonly kind: 'tokens'; readonly tokens: Tokens }
  | NotProcessed
  /** `invalid_grant` or `invalid_authorization_code`: processed and refused. */
  | { readonly kind: 'refused'; readonly code: Extract<ErrorCode, 'grant-refused' | 'code-refused'> }
  /** Sent, and what became of it cannot be known: time-out, reset, 5xx, unreadable answer. */
  | {
      readonly kind: 'unknown'
      readonly code: Extract<
        ErrorCode,
        'provider-timeout' | 'provider-failed' | 'provider-garbled' | 'provider-unreachable'
      >
    }

/** `GET /data/v1/me`, dates undefined where the provider gave none. */
export interface Me {
  readonly credentialsId: string | undefined
  readonly providerId: string | undefined
  readonly providerName: string | undefined
  readonly consentExpiresAt: DateTime | undefined
  readonly consentCreatedAt: DateTime | undefined
  readonly consentStatusUpdatedAt: DateTime | undefined
}

export type MeAnswer =
  | { readonly kind: 'me'; readonly me: Me }
  /** 403: the consent has expired. */
  | { readonly kind: 'denied' }
  /** 401: a newer access token exists, or this one is over. */
  | { readonly kind: 'token-rejected' }
  | Unavailable

export interface Provider {
  /** Route `reauth` calls `/v1/reauthuri`; route `full` builds the address and calls nothing. */
  makeLink(request: LinkRequest): Promise<LinkAnswer>
  /** Sends a code, once: never retried here. */
  exchangeCode(request: { code: Secret; redirectUri: string; codeVerifier: Secret }): Promise<TokenAnswer>
  refresh(refreshToken: Secret): Promise<TokenAnswer>
  readMe(accessToken: Secret): Promise<MeAnswer>
  /** For `doctor`: whether the client id and secret are accepted, found out without touching any connection. */
  checkCredentials(): Promise<{ ok: boolean; detail: string }>
}
