// Makes authorisation URLs: route `reauth` requests one from `/v1/reauthuri`, route `full` builds one without a
// request.
import { Secret } from '../../secret.ts'
import type { LinkAnswer, LinkRequest } from '../port.ts'
import { errorWord, isSuccess, jsonObject, unavailable } from './failures.ts'
import type { Send } from './http.ts'

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' ||
  hostname.endsWith('.localhost') ||
  hostname === '[::1]' ||
  /^127(?:\.\d{1,3}){3}$/.test(hostname)

/**
 * Returns the URL if a user may be sent to it: https, or http on this machine (simulator). Any host is allowed, because
 * the host is the bank's (TRUELAYER.md section 1). The URL is normalised as a browser would do it, so that no control
 * character reaches a `Location` header.
 */
const usableLink = (result: unknown): Secret | undefined => {
  if (typeof result !== 'string' || !URL.canParse(result)) return undefined
  const url = new URL(result)
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
  // `https://truelayer.com@elsewhere/` disguises its host; no bank uses such an address.
  return isSafe && url.username === '' && url.password === '' ? new Secret(url.href) : undefined
}

/** `POST {auth}/v1/reauthuri`: JSON, no client credentials; the refresh token identifies client and connection. */
export const reauthLink = async (send: Send, authUrl: string, request: LinkRequest): Promise<LinkAnswer> => {
  const reply = await send({
    name: 'reauthuri',
    url: `${authUrl}/v1/reauthuri`,
    post: {
      as: 'json',
      fields: {
        response_type: 'code',
        refresh_token: request.refreshToken,
        redirect_uri: request.redirectUri,
        state: request.state,
        code_challenge: request.codeChallenge,
        code_challenge_method: 'S256',
      },
    },
  })
  if (reply.kind === 'no-answer') return unavailable(reply)
  const { status } = reply
  const body = jsonObject(reply.body)
  if (isSuccess(status) && body !== undefined) {
    const url = body['success'] === true ? usableLink(body['result']) : undefined
    return url === undefined
      ? { kind: 'unavailable', code: 'link-unusable', retryAfterMs: undefined }
      : { kind: 'link', url }
  }
  // A gateway's HTML page says nothing about this connection, whatever its status. Only a JSON answer, as the protocol
  // defines it, can be a rejection.
  const rejects = status >= 400 && status < 500 && status !== 408 && status !== 429 && body !== undefined
  return rejects ? { kind: 'rejected', status, providerError: errorWord(body) } : unavailable(reply)
}

/** The scopes of a full authentication when the consent's own scopes are not known (TRUELAYER.md section 6). */
const defaultScopes = ['info', 'accounts', 'balance', 'transactions']

/**
 * The full authentication URL. `provider_id` skips the bank picker and must also be listed in `providers`, hence both.
 */
export const fullLink = (authUrl: string, clientId: string, request: LinkRequest): LinkAnswer => {
  const scopes = request.scopes.length === 0 ? defaultScopes : request.scopes
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: request.redirectUri,
    // Without offline_access the provider issues no refresh token, and the consent could not be renewed next time.
    scope: [...new Set([...scopes, 'offline_access'])].join(' '),
    providers: request.providerId,
    provider_id: request.providerId,
    state: request.state.reveal(),
    code_challenge: request.codeChallenge,
    code_challenge_method: 'S256',
  })
  // TrueLayer's own samples write a space as %20; a literal plus is already %2B here.
  return { kind: 'link', url: new Secret(`${authUrl}/?${query.toString().replaceAll('+', '%20')}`) }
}
