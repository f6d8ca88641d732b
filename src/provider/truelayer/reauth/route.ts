// Route `reauth`: `/v1/reauthuri` makes an authorisation URL for the connection that we know.
import { blameOf, errorWord, isSuccess, jsonObject, unavailable } from '../failures.ts'
import type { TrueLayerRoute } from '../route.ts'
import { exchangeCode } from '../tokens.ts'
import { usableLink } from '../usable-link.ts'

/** `POST {auth}/v1/reauthuri`: JSON, no client credentials; the refresh token identifies client and connection. */
const makeLink: TrueLayerRoute['makeLink'] = async (send, { authUrl }, request) => {
  const reply = await send({
    name: 'reauthuri',
    url: `${authUrl}/v1/reauthuri`,
    // A link that nobody has seen does nothing.
    isRepeatable: true,
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
  return rejects
    ? { kind: 'rejected', status, providerError: errorWord(body), blames: blameOf(status, body) }
    : unavailable(reply)
}

export const reauth: TrueLayerRoute = { makeLink, exchangeCode }
