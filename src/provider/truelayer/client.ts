// Implements the provider port with TrueLayer's Data API v1. Only wires the calls together.
import type { Secret } from '../../secret.ts'
import type { Provider } from '../port.ts'
import { checkCredentials } from './credentials.ts'
import { httpSender } from './http.ts'
import type { EgressProxy } from './egress-proxy.ts'
import type { ProviderLog } from './http.ts'
import { readMe } from './me.ts'
import { truelayerRoutes } from './routes.ts'
import { refresh } from './tokens.ts'

export interface TrueLayerOptions {
  /** `https://auth.truelayer.com`, or the sandbox's or simulator's address; a trailing slash is ignored. */
  readonly authUrl: string
  /** `https://api.truelayer.com`, or the sandbox's or simulator's address. */
  readonly apiUrl: string
  readonly clientId: string
  readonly clientSecret: Secret
  /** Limits the total time of each call, from the DNS lookup to the last byte of the answer. */
  readonly requestTimeoutMs: number
  readonly proxy?: EgressProxy | undefined
  readonly log?: ProviderLog | undefined
}

const withoutTrailingSlash = (url: string): string => url.replace(/\/+$/, '')

export const truelayerProvider = (options: TrueLayerOptions): Provider => {
  const { requestTimeoutMs, clientId, clientSecret } = options
  const authUrl = withoutTrailingSlash(options.authUrl)
  const apiUrl = withoutTrailingSlash(options.apiUrl)
  const client = { authUrl, clientId, clientSecret }
  const send = httpSender({ requestTimeoutMs, proxy: options.proxy, log: options.log })
  return {
    makeLink: (request) => truelayerRoutes[request.route].makeLink(send, client, request),
    exchangeCode: (request) => truelayerRoutes[request.route].exchangeCode(send, client, request),
    refresh: (refreshToken) => refresh(send, client, refreshToken),
    readMe: (accessToken) => readMe(send, apiUrl, accessToken),
    checkCredentials: () => checkCredentials(send, client),
  }
}
