// Decides what an answer, or a missing answer, proves. Pure. It separates "certainly not processed" (may be sent again)
// from "in doubt" (must never be sent again): see docs/decisions/0005-what-counts-as-not-processed.md.
import type { Secret } from '../../secret.ts'
import type { LinkRejected, TokenAnswer, Unavailable } from '../port.ts'

/**
 * How far the call's only connection got. `proxy`: the proxy has not yet made a tunnel. `open`: the kernel (with TLS:
 * the handshake with the provider itself, inside the tunnel if there is one) accepts bytes, so some may have been sent.
 */
export type Phase = 'no-socket' | 'proxy' | 'connecting' | 'open'

export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  readonly retryAfterMs: number | undefined
  readonly body: Secret
}

export type NoAnswer =
  | {
      readonly kind: 'no-answer'
      readonly code: 'provider-timeout' | 'provider-unreachable' | 'provider-garbled'
      /** `no` only when a connection was seen to start and never opened: then no byte of the request was sent. */
      readonly sent: 'no' | 'maybe'
    }
  /** The call went through a proxy, and the proxy made no tunnel. */
  | { readonly kind: 'no-answer'; readonly code: 'proxy-failed'; readonly sent: 'no' }

export type Reply = Answer | NoAnswer

/**
 * Error codes that mean an answer arrived, but one that HTTP or our limit does not allow: parser errors, decompression
 * (got's name for it), size.
 */
const garbledCause = /^(?:HPE_.*|ERR_READING_RESPONSE_STREAM|BODY_TOO_LARGE)$/

/**
 * `cause` is the code of an error: Node's (`ECONNREFUSED`, `HPE_…`, `DEPTH_ZERO_SELF_SIGNED_CERT`), got's, or
 * `BODY_TOO_LARGE`.
 */
export const noAnswer = (cause: string, phase: Phase): NoAnswer => {
  if (phase === 'proxy') return { kind: 'no-answer', code: 'proxy-failed', sent: 'no' }
  return {
    kind: 'no-answer',
    code:
      cause === 'ETIMEDOUT'
        ? 'provider-timeout'
        : garbledCause.test(cause)
          ? 'provider-garbled'
          : 'provider-unreachable',
    // `no-socket` proves nothing: we saw no connection, so we do not know whether or how the request was sent.
    sent: phase === 'connecting' ? 'no' : 'maybe',
  }
}

/**
 * The body as a JSON object; undefined for HTML, arrays, invalid JSON and an empty body. Of repeated keys the last one
 * counts.
 */
export const jsonObject = (body: Secret): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(body.reveal())
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** A body with two `error` keys contradicts itself, and is no reason to send a code again. */
const saysErrorOnce = (body: Secret): boolean => body.reveal().match(/"error"\s*:/g)?.length === 1

/**
 * The `error` field as a short word that is safe to store and show. Free text, which may quote our request, becomes
 * `unrecognised`.
 */
export const errorWord = (body: Readonly<Record<string, unknown>>): string => {
  const word = body['error']
  if (word === undefined) return 'unspecified'
  return typeof word === 'string' && /^[a-z_]{1,64}$/.test(word) ? word : 'unrecognised'
}

/**
 * What a refused request for a link names as the cause, by its error word or in words (`error_description`,
 * `error_details.reason`). The callback comes first: an `unauthorized_client` may mean that it is not allowed for us.
 */
export const blameOf = (status: number, body: Readonly<Record<string, unknown>>): LinkRejected['blames'] => {
  const details = body['error_details']
  const reason = typeof details === 'object' && details !== null ? (details as Record<string, unknown>)['reason'] : ''
  const said = [body['error'], body['error_description'], reason].filter((part) => typeof part === 'string')
  const words = said.join(' ').toLowerCase()
  if (/redirect[\s_-]?ur[il]/.test(words)) return 'redirect-uri'
  if (/\bclient\b|client[\s_-]|_client\b/.test(words)) return 'client'
  return status === 401 || /\binvalid_(?:grant|token)\b/.test(words) ? 'token' : 'request'
}

export const isSuccess = (status: number): boolean => status >= 200 && status < 300

/**
 * A read (or a request for an authorisation URL) without a usable answer. It had no lasting effect and may be retried.
 */
export const unavailable = (reply: Reply): Unavailable => {
  if (reply.kind === 'no-answer') return { kind: 'unavailable', code: reply.code, retryAfterMs: undefined }
  const { status, retryAfterMs } = reply
  const code =
    status === 429
      ? 'provider-rate-limited'
      : status === 408
        ? 'provider-timeout'
        : status >= 500
          ? 'provider-failed'
          : 'provider-garbled'
  return { kind: 'unavailable', code, retryAfterMs }
}

/**
 * OAuth servers return these errors before they look at a grant (RFC 6749 section 5.2), so the code or token in the
 * request is unused.
 */
const clientErrors = new Set(['invalid_client', 'unauthorized_client'])

/**
 * What the failure of a token request means. Every case not named here is `in-doubt`, never `not-processed`. That
 * includes a 4xx with an unlisted error word: it is not documented what the server did with the code before it failed.
 */
export const tokenFailure = (reply: Reply): Exclude<TokenAnswer, { kind: 'tokens' }> => {
  if (reply.kind === 'no-answer') {
    if (reply.code === 'proxy-failed') return { kind: 'not-processed', code: reply.code, retryAfterMs: undefined }
    return reply.sent === 'no'
      ? { kind: 'not-processed', code: 'provider-unreachable', retryAfterMs: undefined }
      : { kind: 'in-doubt', code: reply.code }
  }
  const { status, retryAfterMs, body } = reply
  if (status === 429) return { kind: 'not-processed', code: 'provider-rate-limited', retryAfterMs }
  if (status === 408) return { kind: 'in-doubt', code: 'provider-timeout' }
  if (status >= 500) return { kind: 'in-doubt', code: 'provider-failed' }
  const word = status >= 400 ? jsonObject(body)?.['error'] : undefined
  if (word === 'invalid_grant') return { kind: 'refused', code: 'grant-refused' }
  if (word === 'invalid_authorization_code') return { kind: 'refused', code: 'code-refused' }
  if ((status === 400 || status === 401) && typeof word === 'string' && clientErrors.has(word) && saysErrorOnce(body)) {
    return { kind: 'not-processed', code: 'client-rejected', retryAfterMs }
  }
  return { kind: 'in-doubt', code: 'provider-garbled' }
}
