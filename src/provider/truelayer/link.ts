// Makes the links a user authenticates by: route `reauth` asks `/v1/reauthuri` for one, route `full` builds it and
// calls nothing.
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
 * A link a user may be sent to: https, or http on this machine (simulator). Any host: it is the bank's (TRUELAYER.md
 * section 1). Returned as the browser would write it, so that no control character reaches a `Location` header.
 */
const usableLink = (result: unknown): Secret | undefined => {
  if (typeof result !== 'string' || !URL.canParse(result)) return undefined
  const url = new URL(result)
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
  // `https://truelayer.com@elsewhere/` is a disguise, never a bank's address.
  return isSafe && url.username === '' && url.password === '' ? new Secret(url.href) : undefined
}

/** `POST {auth}/v1/reauthuri`: JSON, no client credentials; the refresh token names client and connection. */
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
  // A gateway's HTML page says nothing about this connection, whatever its status: only the protocol's own JSON can
  // reject.
  const rejects = status >= 400 && status < 500 && status !== 408 && status !== 429 && body !== undefined
  return rejects ? { kind: 'rejected', status, providerError: errorWord(body) } : unavailable(reply)
}

/** What a full authentication asks for when the consent's own scopes are not known (TRUELAYER.md section 6). */
const defaultScopes = ['info', 'accounts', 'balance', 'transactions']

/** The full authentication link. `provider_id` skips the bank picker and must be covered by `providers`, hence both. */
export const fullLink = (authUrl: string, clientId: string, request: LinkRequest): LinkAnswer => {
  const scopes = request.scopes.length === 0 ? defaultScopes : request.scopes
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: request.redirectUri,
    // Without offline_access there is no refresh token, and nothing to renew next time.
    scope: [...new Set([...scopes, 'offline_access'])].join(' '),
    providers: request.providerId,
    provider_id: request.providerId,
    state: request.state.reveal(),
    code_challenge: request.codeChallenge,
    code_challenge_method: 'S256',
  })
  // Spaces as %20, as TrueLayer's own samples have them; a literal plus is already %2B here.
  return { kind: 'link', url: new Secret(`${authUrl}/?${query.toString().replaceAll('+', '%20')}`) }
}
