// A provider client full of secrets that must not appear, and the search for them in answers and log lines.
import { Writable } from 'node:stream'
import { inspect } from 'node:util'
import pino from 'pino'
import { expect } from 'vitest'
import type { LinkRequest, Provider } from '../../../src/provider/port.ts'
import { truelayerProvider } from '../../../src/provider/truelayer/client.ts'
import type { EgressProxy } from '../../../src/provider/truelayer/egress-proxy.ts'
import { Secret } from '../../../src/secret.ts'

export const planted = {
  clientSecret: 'planted-client-secret',
  refreshToken: 'planted-refresh-token',
  accessToken: 'planted-access-token',
  code: 'planted-code',
  codeVerifier: 'planted-code-verifier',
  state: 'planted-state',
  link: 'planted-link',
}

export interface Subject {
  readonly provider: Provider
  readonly logged: () => string
  exchange(): ReturnType<Provider['exchangeCode']>
  refresh(): ReturnType<Provider['refresh']>
  link(over?: Partial<LinkRequest>): ReturnType<Provider['makeLink']>
  me(): ReturnType<Provider['readMe']>
}

export const aLinkRequest = (over: Partial<LinkRequest> = {}): LinkRequest => ({
  route: 'reauth',
  refreshToken: new Secret(planted.refreshToken),
  redirectUri: 'https://company.example/callback',
  state: new Secret(planted.state),
  codeChallenge: 'the-challenge',
  providerId: 'uk-ob-monzo',
  scopes: ['accounts', 'balance'],
  ...over,
})

export const subject = (
  url: string,
  options: { requestTimeoutMs?: number; apiUrl?: string; proxy?: EgressProxy } = {},
): Subject => {
  const lines: string[] = []
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const provider = truelayerProvider({
    authUrl: url,
    apiUrl: options.apiUrl ?? url,
    clientId: 'reconsent-test',
    clientSecret: new Secret(planted.clientSecret),
    requestTimeoutMs: options.requestTimeoutMs ?? 5000,
    proxy: options.proxy,
    log: pino({ level: 'trace' }, sink),
  })
  return {
    provider,
    logged: () => lines.join(''),
    exchange: () =>
      provider.exchangeCode({
        route: 'reauth',
        code: new Secret(planted.code),
        redirectUri: 'https://company.example/callback',
        codeVerifier: new Secret(planted.codeVerifier),
      }),
    refresh: () => provider.refresh(new Secret(planted.refreshToken)),
    link: (over) => provider.makeLink(aLinkRequest(over)),
    me: () => provider.readMe(new Secret(planted.accessToken)),
  }
}

/** Neither the answer nor the log may contain a planted secret or the server's address. */
export const expectClean = (answer: unknown, { logged }: Subject, address?: string): void => {
  const stack = answer instanceof Error ? answer.stack : ''
  const shown = [inspect(answer, { depth: 10, showHidden: true }), JSON.stringify(answer), stack, logged()].join('\n')
  for (const secret of Object.values(planted)) expect(shown).not.toContain(secret)
  if (address !== undefined) expect(shown).not.toContain(address)
}

export const aJwt = (
  payload: unknown,
  encode: (text: string) => string = (text) => Buffer.from(text).toString('base64url'),
): string =>
  `${encode('{"alg":"RS256"}')}.${encode(typeof payload === 'string' ? payload : JSON.stringify(payload))}.c2lnbmF0dXJl`
