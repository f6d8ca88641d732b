// What Reconsent needs from an open-banking provider. Every possible answer to a call is a value, so that the caller
// must handle each; only bugs throw. No answer contains a secret outside a Secret.
import type { DateTime } from 'luxon'
import type { ErrorCode } from '../errors.ts'
import type { Route } from '../domain/routes.ts'
import type { Secret } from '../secret.ts'

/** The request certainly had no effect at the provider; it is safe to repeat. */
export interface NotProcessed {
  readonly kind: 'not-processed'
  readonly code: Extract<
    ErrorCode,
    'provider-unreachable' | 'proxy-failed' | 'provider-rate-limited' | 'client-rejected'
  >
  /** From the `Retry-After` header, if the answer had one. */
  readonly retryAfterMs: number | undefined
}

/** A read, or a request for an authorisation URL, failed in a way that may pass. */
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
    | 'client-rejected'
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

/**
 * A 4xx: this connection cannot get an authorisation URL on this route now. `status` distinguishes 401: many 401s in a
 * short time are our own fault.
 */
export interface LinkRejected {
  readonly kind: 'rejected'
  readonly status: number
  readonly providerError: string
  /**
   * What the answer names as the cause. `token`: nothing else, so it may be the refresh token. `client` and
   * `redirect-uri`: never the token's trouble, so no other token is tried. `request`: anything else.
   */
  readonly blames: 'token' | 'client' | 'redirect-uri' | 'request'
}

export type LinkAnswer = { readonly kind: 'link'; readonly url: Secret } | LinkRejected | Unavailable

export interface Tokens {
  readonly accessToken: Secret
  /** Undefined when the provider sent none; the stored one then stays in use. */
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
  /** The request was sent and its outcome is in doubt: time-out, reset, 5xx, unreadable answer. */
  | {
      readonly kind: 'in-doubt'
      readonly code: Extract<
        ErrorCode,
        'provider-timeout' | 'provider-failed' | 'provider-garbled' | 'provider-unreachable'
      >
    }

/** The answer of `GET /data/v1/me`; dates are undefined where the provider gave none. */
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
  /** 401: a newer access token exists, or this one has expired. */
  | { readonly kind: 'token-rejected' }
  | Unavailable

/** The code that came back, and what belongs to its attempt. */
export interface CodeExchange {
  readonly route: Route
  readonly code: Secret
  readonly redirectUri: string
  readonly codeVerifier: Secret
}

export interface Provider {
  /** By the request's route: the provider makes the authorisation URL, or it is built without a request. */
  makeLink(request: LinkRequest): Promise<LinkAnswer>
  /** Sends a code once; this function never retries. */
  exchangeCode(request: CodeExchange): Promise<TokenAnswer>
  refresh(refreshToken: Secret): Promise<TokenAnswer>
  readMe(accessToken: Secret): Promise<MeAnswer>
  /** For `doctor`: checks whether the client id and secret are accepted, without affecting any connection. */
  checkCredentials(): Promise<{ ok: boolean; detail: string }>
}
