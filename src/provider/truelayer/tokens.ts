// `POST {auth}/connect/token` (TrueLayer's API reference, "Exchange code for access token"): sends a code or a refresh
// token once and reads the tokens in the answer.
import { Secret } from '../../secret.ts'
import type { CodeExchange, TokenAnswer, Tokens } from '../port.ts'
import { isSuccess, jsonObject, tokenFailure } from './failures.ts'
import type { Reply } from './failures.ts'
import type { Send } from './http.ts'

export interface Client {
  readonly authUrl: string
  readonly clientId: string
  readonly clientSecret: Secret
}

/** The documented lifetime of an access token, for an answer without `expires_in`. */
const oneHourInSeconds = 3600

/**
 * The `sub` claim of an access token, which is the `credentials_id`. The signature is not checked: the token came in
 * the answer to our own request, over TLS from the issuer itself, so a signature would add nothing to what TLS proves
 * (OpenID Connect Core 3.1.3.7 rule 6 says the same). Never use this function on a token from another source. Undefined
 * for opaque tokens and for JWTs without a usable `sub`.
 */
export const credentialsIdOf = (accessToken: Secret): string | undefined => {
  const parts = accessToken.reveal().split('.')
  const [, payload] = parts
  if (parts.length !== 3 || payload === undefined || !/^[\w-]+={0,2}$/.test(payload)) return undefined
  const sub = jsonObject(new Secret(Buffer.from(payload, 'base64url').toString('utf8')))?.['sub']
  return typeof sub === 'string' && /^[\x21-\x7e]{1,256}$/.test(sub) ? sub : undefined
}

const secondsOf = (value: unknown): number => {
  const seconds = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? Math.floor(seconds) : oneHourInSeconds
}

/** Tokens are sent in headers and forms; a string that does not fit there is not a token. */
const tokenOf = (value: unknown): Secret | undefined =>
  typeof value === 'string' && /^[\x21-\x7e]+$/.test(value) ? new Secret(value) : undefined

const tokensOf = (reply: Reply): Tokens | undefined => {
  if (reply.kind === 'no-answer' || !isSuccess(reply.status)) return undefined
  const body = jsonObject(reply.body)
  const accessToken = tokenOf(body?.['access_token'])
  if (body === undefined || accessToken === undefined) return undefined
  return {
    accessToken,
    refreshToken: tokenOf(body['refresh_token']),
    credentialsId: credentialsIdOf(accessToken),
    expiresInSeconds: secondsOf(body['expires_in']),
  }
}

const requestTokens = async (
  send: Send,
  client: Client,
  fields: Readonly<Record<string, string | Secret>>,
): Promise<TokenAnswer> => {
  const reply = await send({
    name: `connect/token ${String(fields['grant_type'])}`,
    url: `${client.authUrl}/connect/token`,
    // TrueLayer documents this call as JSON, but all its samples are form-encoded: a form is known to work.
    post: { as: 'form', fields: { client_id: client.clientId, client_secret: client.clientSecret, ...fields } },
  })
  const tokens = tokensOf(reply)
  return tokens === undefined ? tokenFailure(reply) : { kind: 'tokens', tokens }
}

/** Sends the code once. A code sent twice may revoke what its first use issued (RFC 6749 section 4.1.2). */
export const exchangeCode = (
  send: Send,
  client: Client,
  { code, redirectUri, codeVerifier }: Omit<CodeExchange, 'route'>,
): Promise<TokenAnswer> =>
  requestTokens(send, client, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: redirectUri,
    code_verifier: codeVerifier,
  })

/** Refreshing ends the connection's previous access token, so use it only to settle an exchange in doubt. */
export const refresh = (send: Send, client: Client, refreshToken: Secret): Promise<TokenAnswer> =>
  requestTokens(send, client, { grant_type: 'refresh_token', refresh_token: refreshToken })
