// A web server over a real world (store on PostgreSQL, simulator, clock), on loopback; the tests can read its log.
import { Duration } from 'luxon'
import { Writable } from 'node:stream'
import { onTestFinished } from 'vitest'
import { sha256Hex } from '../../src/crypto/hashing.ts'
import { makeServer } from '../../src/http/server.ts'
import type { HttpServer, ServerDeps } from '../../src/http/server.ts'
import { makeLog } from '../../src/log.ts'
import { makeMetrics } from '../../src/metrics.ts'
import { receiveCallback } from '../../src/processors/receive-callback.ts'
import { apiDeps } from '../../src/roles/api.ts'
import { makeRefresher } from '../../src/roles/refresher.ts'
import { leaveForBank, visitStartPage } from '../../src/processors/visit-start-page.ts'
import { apiKeys } from '../../src/store/api-keys.ts'
import { aCount } from '../builders.ts'
import type { World } from '../setup/world.ts'

export const API_KEY = 'an-api-key-of-the-company'
export const WITH_KEY = { authorization: `Bearer ${API_KEY}` }

export interface Web extends HttpServer {
  readonly url: string
  /** Everything logged so far. */
  logged(): string
  /** Does not follow redirects. */
  get(path: string, init?: RequestInit): Promise<Answer>
  post(path: string, init?: RequestInit): Promise<Answer>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly location: string
  readonly body: string
}

const ask = async (url: string, init: RequestInit): Promise<Answer> => {
  const response = await fetch(url, { redirect: 'manual', ...init })
  return {
    status: response.status,
    headers: response.headers,
    location: response.headers.get('location') ?? '',
    body: await response.text(),
  }
}

/** The server closes when the test ends (or at the end of the file, when it was started outside of a test). */
export const startWeb = async (world: World, over: Partial<ServerDeps> = {}): Promise<Web> => {
  const lines: string[] = []
  const to = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk))
      done()
    },
  })
  const log = makeLog({ level: 'debug', pretty: false, to })
  const { store, vault, clock, policy, prepare } = world
  const visit = { store, prepare, renewalOfToken: vault.renewalOfToken, clock, policy, log }
  const metrics = makeMetrics({ collectCounts: async () => aCount({ consents: { active: 3 }, sweepAgeSeconds: 12 }) })
  const server = await makeServer({
    publicUrl: 'http://127.0.0.1:3000',
    policy,
    clock,
    log,
    metrics,
    visitStartPage: visitStartPage(visit),
    leaveForBank: leaveForBank(visit),
    receiveCallback: receiveCallback({
      store,
      enqueue: async () => undefined,
      clock,
      queuedFor: Duration.fromMillis(0),
    }),
    getRenewalPageByDoneId: store.getRenewalPageByDoneId,
    findConsent: store.findConsent,
    startLinkToken: vault.startLinkToken,
    renewalOfToken: vault.renewalOfToken,
    apiKeyHashes: [sha256Hex('another key'), sha256Hex(API_KEY)],
    readApiKeys: apiKeys(world.db).readUnrevokedApiKeys,
    ...apiDeps({
      db: world.db,
      store,
      policy,
      clock,
      enqueue: async () => undefined,
      queuedFor: Duration.fromMillis(0),
      httpsOnly: false,
      publicUrl: 'http://127.0.0.1:3000',
      giveAccessToken: makeRefresher({
        store,
        provider: world.provider,
        clock,
        log,
        record: metrics.recordAccessToken,
        requestTimeout: Duration.fromObject({ seconds: 5 }),
      }).giveAccessToken,
    }),
    checkReady: async () => ({ ok: true, detail: 'the database answers' }),
    board: undefined,
    ...over,
  })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  return {
    ...server,
    url,
    logged: () => lines.join(''),
    get: async (path, init = {}) => ask(`${url}${path}`, init),
    post: async (path, init = {}) => ask(`${url}${path}`, { method: 'POST', ...init }),
  }
}

export const aWeb = async (world: World, over: Partial<ServerDeps> = {}): Promise<Web> => {
  const web = await startWeb(world, over)
  onTestFinished(() => web.close())
  return web
}

export const form = (fields: Record<string, string>): RequestInit => ({ body: new URLSearchParams(fields) })

/** A consent whose user was just asked: its renewal is open and has an authorisation URL. */
export const anAskedConsent = async (world: World, over: Partial<Parameters<World['addConsent']>[0]> = {}) => {
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }), ...over })
  await world.drain()
  return consent
}

/** The query with which the bank redirects the user to the callback. */
export const theCallback = async (
  world: World,
  consentId: string,
  as: 'approve' | 'deny' | 'somebody-else' = 'approve',
): Promise<URLSearchParams> => {
  const played = await world.simulator.play({ link: await world.leave(consentId), as })
  if (played.kind !== 'callback') throw new Error(`no callback came: ${played.kind}`)
  return played.method === 'GET' ? new URL(played.url).searchParams : new URLSearchParams(played.form)
}
