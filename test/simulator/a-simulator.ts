// Builders for the simulator's own tests: a running simulator, and the calls a client makes.
import { DateTime } from 'luxon'
import { onTestFinished } from 'vitest'
import { movableClock } from '../../simulator/src/clock.ts'
import type { Connection, Seed } from '../../simulator/src/connections.ts'
import { startSimulator } from '../../simulator/src/start-simulator.ts'
import type { Simulator, SimulatorOptions } from '../../simulator/src/start-simulator.ts'
import { challengeOf } from '../../simulator/src/tokens.ts'

export const START = DateTime.fromISO('2026-03-02T10:00:00Z', { zone: 'utc' })
export const REDIRECT = 'https://company.example/callback'
export const OTHER_REDIRECT = 'https://company.example/other'
export const VERIFIER = 'a-verifier-of-at-least-forty-three-characters-0123456789'

export const aSimulator = async (options: Partial<SimulatorOptions> = {}): Promise<Simulator> => {
  const simulator = await startSimulator({
    clientId: 'sandbox-test',
    clientSecret: 'the-secret',
    redirectUris: [REDIRECT, OTHER_REDIRECT],
    clock: movableClock(START),
    ...options,
  })
  onTestFinished(() => simulator.close())
  return simulator
}

export const aConnection = (simulator: Simulator, seed: Partial<Seed> = {}): Connection & { refreshToken: string } => {
  const connection = simulator.seedConnection({
    providerId: 'uk-ob-monzo',
    country: 'GB',
    redirectUri: REDIRECT,
    consentedAt: simulator.clock.now().minus({ days: 80 }),
    ...seed,
  })
  if (connection.refreshToken === undefined) throw new Error('seeded without a refresh token')
  return { ...connection, refreshToken: connection.refreshToken }
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: any
}

const replyOf = async (response: Response): Promise<Reply> => {
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
}

export const postJson = async (url: string, body: unknown, method = 'POST'): Promise<Reply> =>
  replyOf(await fetch(url, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }))

export const get = async (url: string, init: RequestInit = {}): Promise<Reply> => replyOf(await fetch(url, init))

export const reauth = (
  simulator: Simulator,
  refreshToken: string,
  fields: Record<string, unknown> = {},
): Promise<Reply> =>
  postJson(`${simulator.url}/v1/reauthuri`, {
    response_type: 'code',
    refresh_token: refreshToken,
    redirect_uri: REDIRECT,
    state: 'a-state',
    code_challenge: challengeOf(VERIFIER),
    code_challenge_method: 'S256',
    ...fields,
  })

/** Asks for a link, and fails the test if the provider gives none. */
export const aLink = async (
  simulator: Simulator,
  refreshToken: string,
  fields: Record<string, unknown> = {},
): Promise<string> => {
  const { status, body } = await reauth(simulator, refreshToken, fields)
  if (status !== 200) throw new Error(`no link: ${status}`)
  return body.result
}

const token = async (simulator: Simulator, fields: Record<string, string>): Promise<Reply> =>
  replyOf(
    await fetch(`${simulator.url}/connect/token`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'sandbox-test', client_secret: 'the-secret', ...fields }),
    }),
  )

export const exchange = (simulator: Simulator, code: string, fields: Record<string, string> = {}): Promise<Reply> =>
  token(simulator, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: REDIRECT,
    code_verifier: VERIFIER,
    ...fields,
  })

export const refresh = (
  simulator: Simulator,
  refreshToken: string,
  fields: Record<string, string> = {},
): Promise<Reply> => token(simulator, { grant_type: 'refresh_token', refresh_token: refreshToken, ...fields })

export const me = (simulator: Simulator, accessToken: string): Promise<Reply> =>
  get(`${simulator.url}/data/v1/me`, { headers: { authorization: `Bearer ${accessToken}` } })

/** Plays the user and returns the parameters of the callback. */
export const callbackOf = async (
  simulator: Simulator,
  link: string,
  as: 'approve' | 'deny' | 'bank-error' | 'somebody-else',
): Promise<URLSearchParams> => {
  const played = await simulator.play({ link, as })
  if (played.kind !== 'callback') throw new Error(`no callback: ${played.kind}`)
  return played.method === 'GET' ? new URL(played.url).searchParams : new URLSearchParams(played.form)
}

export const aCode = async (
  simulator: Simulator,
  refreshToken: string,
  as: 'approve' | 'somebody-else' = 'approve',
): Promise<string> => {
  const code = (await callbackOf(simulator, await aLink(simulator, refreshToken), as)).get('code')
  if (code === null) throw new Error('no code')
  return code
}

export const claimsOf = (accessToken: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString())
