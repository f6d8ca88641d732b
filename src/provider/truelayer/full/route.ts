// Route `full`: builds the URL of a full authentication, which makes a new connection. Sends no request.
import { Secret } from '../../../secret.ts'
import type { TrueLayerRoute } from '../route.ts'
import { exchangeCode } from '../tokens.ts'

/**
 * The scopes of a full authentication when the consent's own scopes are not known: those that TrueLayer's documentation
 * of the authentication link shows.
 */
const defaultScopes = ['info', 'accounts', 'balance', 'transactions']

/**
 * The full authentication URL. `provider_id` skips the bank picker and must also be listed in `providers`, hence both.
 */
const makeLink: TrueLayerRoute['makeLink'] = async (_send, { authUrl, clientId }, request) => {
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

export const full: TrueLayerRoute = { makeLink, exchangeCode }
