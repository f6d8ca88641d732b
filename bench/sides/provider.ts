// The four calls of a renewal at the provider, as the sides other than Reconsent make them: one instance of got, kept
// connections, and an error for whatever is not the expected answer.
import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import got from 'got'
import type { Order } from './order.ts'

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

export const hashOf = (state: string): Buffer => sha256(state)
const randomText = (): string => randomBytes(32).toString('base64url')

export interface MadeLink {
  readonly url: string
  readonly state: string
  readonly verifier: string
}

export interface Tokens {
  readonly accessToken: string
  readonly refreshToken: string
}

export const providerOf = ({ providerUrl, clientId, clientSecret, redirectUri }: Order) => {
  const agent = new http.Agent({ keepAlive: true })
  const client = got.extend({
    prefixUrl: providerUrl,
    agent: { http: agent },
    retry: { limit: 0 },
    timeout: { request: 20_000 },
    followRedirect: false,
  })
  return {
    /** A link to the bank's page, for the connection of this refresh token. */
    makeLink: async (refreshToken: string): Promise<MadeLink> => {
      const [state, verifier] = [randomText(), randomText()]
      const json = {
        response_type: 'code',
        refresh_token: refreshToken,
        redirect_uri: redirectUri,
        state,
        code_challenge: sha256(verifier).toString('base64url'),
        code_challenge_method: 'S256',
      }
      const { success, result } = await client
        .post('v1/reauthuri', { json })
        .json<{ success: boolean; result?: string }>()
      if (!success || result === undefined) throw new Error('the provider made no link')
      return { url: result, state, verifier }
    },
    exchange: async (code: string, verifier: string): Promise<Tokens> => {
      const form = {
        grant_type: 'authorization_code',
        client_id: clientId,
        client_secret: clientSecret,
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier,
      }
      const body = await client.post('connect/token', { form }).json<{ access_token: string; refresh_token: string }>()
      return { accessToken: body.access_token, refreshToken: body.refresh_token }
    },
    /** When the consent expires. Throws when the tokens belong to another connection. */
    readExpiry: async (accessToken: string, credentialsId: string): Promise<Date> => {
      const headers = { authorization: `Bearer ${accessToken}` }
      const { results } = await client
        .get('data/v1/me', { headers })
        .json<{ results: readonly { credentials_id: string; consent_expires_at: string }[] }>()
      const [me] = results
      if (me?.credentials_id !== credentialsId) throw new Error('the tokens belong to another connection')
      return new Date(me.consent_expires_at)
    },
    close: () => agent.destroy(),
  }
}
