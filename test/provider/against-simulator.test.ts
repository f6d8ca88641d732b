// The TrueLayer provider against the simulator, whose ledger tells what was really processed.
import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FaultOrder } from '../../simulator/src/faults.ts'
import { startSimulator } from '../../simulator/src/start-simulator.ts'
import type { Simulator } from '../../simulator/src/start-simulator.ts'
import type { Route } from '../../src/domain/routes.ts'
import type { Provider } from '../../src/provider/port.ts'
import { truelayerProvider } from '../../src/provider/truelayer/client.ts'
import { Secret } from '../../src/secret.ts'

const clientId = 'sandbox-reconsent'
const clientSecret = 'the-client-secret'
const redirectUri = 'https://company.example/callback'

let simulator: Simulator
let provider: Provider
const providerWith = (over: { clientSecret?: string; requestTimeoutMs?: number } = {}): Provider =>
  truelayerProvider({
    authUrl: simulator.url,
    apiUrl: simulator.url,
    clientId,
    clientSecret: new Secret(over.clientSecret ?? clientSecret),
    requestTimeoutMs: over.requestTimeoutMs ?? 5000,
  })

beforeEach(async () => {
  simulator = await startSimulator({ clientId, clientSecret, redirectUris: [redirectUri] })
  provider = providerWith()
})
afterEach(() => simulator.close())

const seed = () => simulator.seedConnection({ providerId: 'uk-ob-monzo', country: 'GB', redirectUri })
type Connection = ReturnType<typeof seed>

const linkFor = async (connection: Connection, route: Route) => {
  const codeVerifier = new Secret(randomBytes(32).toString('base64url'))
  const answer = await provider.makeLink({
    route,
    refreshToken: new Secret(connection.refreshToken ?? ''),
    redirectUri,
    state: new Secret('the-state'),
    codeChallenge: createHash('sha256').update(codeVerifier.reveal()).digest('base64url'),
    providerId: 'uk-ob-monzo',
    scopes: ['info', 'accounts'],
  })
  return { answer, codeVerifier }
}

/** A code from the bank after the user has approved. */
const approvedCode = async (connection: Connection, route: Route = 'reauth') => {
  const { answer, codeVerifier } = await linkFor(connection, route)
  if (answer.kind !== 'link') throw new Error(`expected a link, got ${answer.kind}`)
  const played = await simulator.play({ link: answer.url.reveal(), as: 'approve' })
  if (played.kind !== 'callback') throw new Error(`expected a callback, got ${played.kind}`)
  const query = new URL(played.url).searchParams
  expect(query.get('state')).toBe('the-state')
  return { route, code: new Secret(query.get('code') ?? ''), redirectUri, codeVerifier }
}

const tokensOf = (answer: Awaited<ReturnType<Provider['refresh']>>) => {
  if (answer.kind !== 'tokens') throw new Error(`expected tokens, got ${JSON.stringify(answer)}`)
  return answer.tokens
}

describe('the happy paths', () => {
  test('link, approval, exchange, proof: the same connection, the same refresh token, a new date', async () => {
    const connection = seed()
    const tokens = tokensOf(await provider.exchangeCode(await approvedCode(connection)))
    expect(tokens.credentialsId).toBe(connection.credentialsId)
    expect(tokens.refreshToken?.reveal()).toBe(connection.refreshToken)
    expect(tokens.expiresInSeconds).toBe(3600)

    const answer = await provider.readMe(tokens.accessToken)
    if (answer.kind !== 'me') throw new Error(`expected me, got ${answer.kind}`)
    const renewed = simulator.connection(connection.credentialsId)
    expect(answer.me).toMatchObject({
      credentialsId: connection.credentialsId,
      providerId: 'uk-ob-monzo',
      providerName: 'Monzo',
    })
    expect(answer.me.consentExpiresAt?.toMillis()).toBe(renewed?.dates.expiresAt.toMillis())
    expect(renewed?.dates.expiresAt.toMillis()).toBeGreaterThan(connection.dates.expiresAt.toMillis())
  })

  test('a refresh gives the connection’s tokens and ends the previous access token', async () => {
    const connection = seed()
    const first = tokensOf(await provider.refresh(new Secret(connection.refreshToken ?? '')))
    const second = tokensOf(await provider.refresh(new Secret(connection.refreshToken ?? '')))
    expect(second.credentialsId).toBe(connection.credentialsId)
    expect(await provider.readMe(first.accessToken)).toEqual({ kind: 'token-rejected' })
    expect(await provider.readMe(second.accessToken)).toMatchObject({ kind: 'me' })
  })

  test('the full link makes a new connection', async () => {
    const connection = seed()
    const tokens = tokensOf(await provider.exchangeCode(await approvedCode(connection, 'full')))
    expect(tokens.credentialsId).toBeDefined()
    expect(tokens.credentialsId).not.toBe(connection.credentialsId)
    expect(tokens.refreshToken).toBeDefined()
    const answer = await provider.readMe(tokens.accessToken)
    expect(answer).toMatchObject({ kind: 'me', me: { credentialsId: tokens.credentialsId, providerId: 'uk-ob-monzo' } })
  })

  test('an opaque token has no identity, /me has it', async () => {
    simulator.switches.set({ access_token: 'opaque', return_refresh_token: false, me_dates: 'none' })
    const connection = seed()
    const tokens = tokensOf(await provider.exchangeCode(await approvedCode(connection)))
    expect(tokens).toMatchObject({ credentialsId: undefined, refreshToken: undefined })
    const answer = await provider.readMe(tokens.accessToken)
    expect(answer).toMatchObject({
      kind: 'me',
      me: { credentialsId: connection.credentialsId, consentExpiresAt: undefined },
    })
  })
})

describe('refusals', () => {
  test('a wrong, a reused and an old code', async () => {
    const refused = { kind: 'refused', code: 'code-refused' }
    const connection = seed()
    const request = await approvedCode(connection)
    expect(await provider.exchangeCode({ ...request, code: new Secret('made-up') })).toEqual(refused)
    tokensOf(await provider.exchangeCode(request))
    expect(await provider.exchangeCode(request)).toEqual(refused)
    expect(simulator.ledger.count({ what: 'revoked', credentials_id: connection.credentialsId })).toBe(1)

    const late = await approvedCode(seed())
    simulator.switches.set({ code_life_seconds: 0 })
    simulator.clock.advance({ seconds: 1 })
    expect(await provider.exchangeCode(late)).toEqual(refused)
  })

  test('another verifier or redirect_uri', async () => {
    const refused = { kind: 'refused', code: 'grant-refused' }
    const request = await approvedCode(seed())
    expect(await provider.exchangeCode({ ...request, codeVerifier: new Secret('another') })).toEqual(refused)
    expect(await provider.exchangeCode({ ...request, redirectUri: 'https://company.example/other' })).toEqual(refused)
  })

  test('after expiry: no refresh, /me denied, but a link', async () => {
    const connection = seed()
    const tokens = tokensOf(await provider.refresh(new Secret(connection.refreshToken ?? '')))
    simulator.clock.advance({ days: 91 })
    expect(await provider.readMe(tokens.accessToken)).toEqual({ kind: 'denied' })
    expect(await provider.refresh(new Secret(connection.refreshToken ?? ''))).toEqual({
      kind: 'refused',
      code: 'grant-refused',
    })
    expect((await linkFor(connection, 'reauth')).answer.kind).toBe('link')
  })

  test('no link past grace, outside the UK, or with success:false', async () => {
    const abroad = simulator.seedConnection({ providerId: 'fr-stet-caisse-depargne', country: 'FR', redirectUri })
    expect((await linkFor(abroad, 'reauth')).answer).toEqual({
      kind: 'rejected',
      status: 401,
      providerError: 'unauthorized',
      blames: 'token',
    })
    const connection = seed()
    simulator.switches.set({ link_success: false })
    expect((await linkFor(connection, 'reauth')).answer).toMatchObject({ kind: 'unavailable', code: 'link-unusable' })
    simulator.switches.set({ link_success: true, link_result: 'not-https' })
    expect((await linkFor(connection, 'reauth')).answer).toMatchObject({ kind: 'unavailable', code: 'link-unusable' })
    simulator.clock.advance({ days: 181 })
    expect((await linkFor(connection, 'reauth')).answer).toEqual({
      kind: 'rejected',
      status: 401,
      providerError: 'unauthorized',
      blames: 'token',
    })
  })

  test('a wrong secret leaves the code valid', async () => {
    const request = await approvedCode(seed())
    const rejected = { kind: 'not-processed', code: 'client-rejected', retryAfterMs: undefined }
    expect(await providerWith({ clientSecret: 'wrong' }).exchangeCode(request)).toEqual(rejected)
    tokensOf(await provider.exchangeCode(request))
  })
})

describe('faults: a call that is reported as not processed was not processed, and its code still works', () => {
  const faults: Record<string, { order: FaultOrder; expected: object }> = {
    '429': {
      order: { endpoint: 'exchange', kind: 'rate-limited' },
      expected: { kind: 'not-processed', retryAfterMs: undefined },
    },
    '429 with seconds': {
      order: { endpoint: 'exchange', kind: 'rate-limited', retry_after: 3 },
      expected: { kind: 'not-processed', retryAfterMs: 3000 },
    },
    'reset before': {
      order: { endpoint: 'exchange', kind: 'reset-before' },
      expected: { kind: 'in-doubt', code: 'provider-unreachable' },
    },
    'reset after': {
      order: { endpoint: 'exchange', kind: 'reset-after' },
      expected: { kind: 'in-doubt', code: 'provider-unreachable' },
    },
    'bad JSON': {
      order: { endpoint: 'exchange', kind: 'bad-json' },
      expected: { kind: 'in-doubt', code: 'provider-garbled' },
    },
    '502 page after processing': {
      order: { endpoint: 'exchange', kind: 'error-html', processed: true },
      expected: { kind: 'in-doubt', code: 'provider-failed' },
    },
    'an undocumented 400 after processing': {
      order: { endpoint: 'exchange', kind: 'error-json', status: 400, error: 'code_flow_disturbed', processed: true },
      expected: { kind: 'in-doubt', code: 'provider-garbled' },
    },
    'slow, processed': {
      order: { endpoint: 'exchange', kind: 'slow', ms: 60_000, processed: true },
      expected: { kind: 'in-doubt', code: 'provider-timeout' },
    },
    drip: {
      order: { endpoint: 'exchange', kind: 'drip', interval_ms: 100 },
      expected: { kind: 'in-doubt', code: 'provider-timeout' },
    },
  }

  for (const [name, { order, expected }] of Object.entries(faults)) {
    test(name, async () => {
      const request = await approvedCode(seed())
      simulator.faults.add({ ...order, count: 1 })
      const answer = await providerWith({ requestTimeoutMs: 1000 }).exchangeCode(request)
      expect(answer).toMatchObject(expected)
      expect(simulator.ledger.count({ what: 'exchange' })).toBe(1)
      if (answer.kind === 'not-processed') tokensOf(await provider.exchangeCode(request))
    })
  }
})

describe('checkCredentials', () => {
  test('valid and invalid ones are told apart, without a trace on any connection', async () => {
    const connection = seed()
    expect(await provider.checkCredentials()).toMatchObject({ ok: true })
    expect(await providerWith({ clientSecret: 'wrong' }).checkCredentials()).toMatchObject({ ok: false })
    simulator.switches.set({ unknown_refresh: 'invalid_client' })
    expect(await provider.checkCredentials()).toMatchObject({ ok: true })
    expect(simulator.ledger.count({ credentials_id: connection.credentialsId })).toBe(1)
  })
})
