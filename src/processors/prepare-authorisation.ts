// Makes the link of one attempt at the bank, with a new state and verifier, and tries the policy's routes in their
// order, each with the refresh tokens in theirs. Stores nothing: what the provider shows about the tokens is committed
// together with the attempt.
import { randomUUID } from 'node:crypto'
import { type DateTime, Duration } from 'luxon'
import { challengeOf, newDoneId, newState, newVerifier } from '../crypto/hashing.ts'
import type { Consent } from '../domain/model.ts'
import type { Route } from '../domain/routes.ts'
import { TransientError } from '../errors.ts'
import type { LinkRejected } from '../provider/port.ts'
import type { Exchanges, NewAuthorisation, TokenRef, TokenUse } from '../store/port.ts'
import type { GuardedProvider } from './circuit-breaker.ts'

/**
 * How long a state is accepted, whatever the link's own TTL: a user may stay at the bank for hours, or come back
 * through the browser's history.
 */
export const STATE_TTL = Duration.fromObject({ hours: 24 })

export type Prepared =
  | { readonly kind: 'prepared'; readonly authorisation: NewAuthorisation }
  /**
   * Every route was refused for this connection (4xx), or its callback must not be used. `token-rejected`: nothing but
   * its tokens can be the cause, unless our client is.
   */
  | { readonly kind: 'rejected'; readonly code: 'link-rejected' | 'token-rejected'; readonly detail: string }
  /** The circuit breaker lets no call through before `until`. */
  | { readonly kind: 'circuit-open'; readonly until: DateTime }

/** `readWith`: the claim or the page with which the consent has just been read. */
export type PrepareAuthorisation = (
  consent: Consent,
  routes: readonly Route[],
  now: DateTime,
  readWith?: Parameters<Exchanges['readTokens']>[1],
) => Promise<Prepared>

/** Throws TransientError when the provider is unavailable: an outage is not the connection's fault. */
export const prepareAuthorisation =
  ({
    store,
    provider,
    httpsOnly = false,
  }: {
    store: Pick<Exchanges, 'readTokens'>
    provider: Pick<GuardedProvider, 'makeLink'>
    /** Production: no real user's code is sent unencrypted, whatever callback was imported before, or elsewhere. */
    httpsOnly?: boolean
  }): PrepareAuthorisation =>
  async (consent, routes, now, readWith) => {
    if (httpsOnly && !/^https:/i.test(consent.redirectUri))
      return { kind: 'rejected', code: 'link-rejected', detail: 'its callback (redirect_uri) is not https' }
    const before = await store.readTokens(consent.id, readWith)
    const prepared = await tryRoutes(provider, { consent, routes, now, stored: before })
    if (prepared.kind !== 'rejected' || prepared.code !== 'token-rejected') return prepared
    // A refresh for the company may have replaced the token just then: the rejection says nothing of the new one.
    const stored = await store.readTokens(consent.id)
    if (stored.currentVersion === before.currentVersion) return prepared
    return tryRoutes(provider, { consent, routes, now, stored })
  }

/** Each route in turn, until one is not refused. */
const tryRoutes = async (
  provider: Pick<GuardedProvider, 'makeLink'>,
  {
    consent,
    routes,
    now,
    stored,
  }: {
    readonly consent: Consent
    readonly routes: readonly Route[]
    readonly now: DateTime
    readonly stored: Awaited<ReturnType<Exchanges['readTokens']>>
  },
): Promise<Prepared> => {
  const refusals: { route: Route; answer: LinkRejected }[] = []
  const { tokens, currentVersion } = stored
  const [first, ...others] = tokens
  if (first === undefined) throw new Error('a consent without a token')
  for (const route of routes) {
    const state = newState()
    const verifier = newVerifier()
    const answer = await provider.makeLink(consent.id, {
      route,
      refreshToken: first.token,
      otherTokens: others.map(({ token }) => token),
      redirectUri: consent.redirectUri,
      state,
      codeChallenge: challengeOf(verifier),
      providerId: consent.providerId,
      scopes: consent.scopes,
    })
    if (answer.kind === 'circuit-open') return { kind: 'circuit-open', until: answer.until }
    if (answer.kind === 'unavailable') throw new TransientError(answer.code, { retryAfterMs: answer.retryAfterMs })
    if (answer.kind === 'link') {
      const times = { issuedAt: now, expiresAt: now.plus(STATE_TTL) }
      const made = {
        id: randomUUID(),
        route,
        state,
        verifier,
        link: answer.url,
        doneId: newDoneId(),
        redirectUri: consent.redirectUri,
        tokenUse: useOf(tokens, answer.rejectedTokens, { currentVersion, at: now }),
      }
      return { kind: 'prepared', authorisation: { ...made, ...times } }
    }
    refusals.push({ route, answer })
  }
  const detail = refusals
    .map(({ route, answer }) => `${route}: ${answer.status} ${answer.providerError}${named[answer.blames]}`)
    .join('; ')
  const isToken = refusals.length > 0 && refusals.every(({ answer }) => answer.blames === 'token')
  return { kind: 'rejected', code: isToken ? 'token-rejected' : 'link-rejected', detail }
}

/** `rejected`: how many tokens the provider rejected before it made the link with the next one. */
const useOf = (
  tokens: readonly TokenRef[],
  rejected: number | undefined,
  rest: Pick<TokenUse, 'currentVersion' | 'at'>,
): TokenUse | undefined => {
  const refs = tokens.map(({ place, version }) => ({ place, version }))
  const accepted = rejected === undefined ? undefined : refs[rejected]
  return accepted && { accepted, rejected: refs.slice(0, rejected), ...rest }
}

/** What the error word does not say. */
const named: Record<LinkRejected['blames'], string> = {
  token: '',
  client: ' (names our client)',
  'redirect-uri': ' (names the redirect_uri)',
  request: '',
}
