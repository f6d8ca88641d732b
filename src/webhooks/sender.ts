// Sends one webhook over HTTP. The host's addresses are looked up and checked here, once, and the connection is made to
// what was checked: a name that resolves to something else a moment later changes nothing. Nothing of the address, the
// headers or the reply leaves this file.
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Duplex } from 'node:stream'
import got, { type Request } from 'got'
import { type EgressProxy, goesByProxy } from '../provider/truelayer/egress-proxy.ts'
import { retryAfterMs } from '../provider/truelayer/retry-after.ts'
import { type LimitedResolve, limitedLookups } from './lookups.ts'
import type { SendWebhook, WebhookFailure, WebhookReply, WebhookRequest } from './port.ts'
import {
  type Address,
  hostOf,
  mayBeSentTo,
  type Reach,
  type Resolve,
  systemResolve,
  urlProblem,
} from './public-address.ts'
import { signedHeaders } from './signature.ts'

/** For everything: looking up, connecting, sending, reading the reply. */
export const WEBHOOK_TIMEOUT_MS = 15_000
/**
 * What is read of a reply's body, in bytes as they come, and for how long. Its status has decided already; it is read
 * only so that the connection can be used again. One that is longer, or trickles, ends its connection.
 */
export const MAX_REPLY = 64 * 1024
const REPLY_MS = 1_000
/** How long an idle connection is kept: less than servers commonly do. */
const KEPT_MS = 4_000

export interface SenderOptions extends Reach {
  readonly proxy?: EgressProxy | undefined
  /** The system's by default; tests resolve names to what they like. */
  readonly resolve?: Resolve
  /** Authorities that are trusted besides the public ones; for tests. */
  readonly ca?: string
  readonly timeoutMs?: number
}

class Refused extends Error {
  readonly failure: WebhookFailure

  constructor(failure: WebhookFailure) {
    super(failure)
    this.failure = failure
  }
}

const client = got.extend({
  retry: { limit: 0 },
  followRedirect: false,
  throwHttpErrors: false,
  http2: false,
  // A small reply may be large when it is unpacked.
  decompress: false,
  headers: { 'user-agent': 'reconsent', 'content-type': 'application/json', accept: '*/*' },
})

const TLS_CODE = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|EPROTO$)/

const failureOf = (error: unknown, byProxy: boolean): WebhookFailure => {
  if (error instanceof Refused) return error.failure
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown }
  const word = typeof code === 'string' ? code : ''
  if (word === 'ETIMEDOUT') return 'timed-out'
  if (TLS_CODE.test(word)) return 'certificate'
  if (byProxy && (statusCode !== undefined || word === 'ERR_PROXY_TUNNEL' || word === 'ECONNREFUSED'))
    return 'proxy-failed'
  return word.startsWith('HPE_') ? 'reply-broken' : 'not-reached'
}

/** The addresses that the request may connect to. All must be public: a host with one that is not is refused. */
const checkedAddresses = async (
  url: URL,
  { resolve, reach, signal }: { resolve: LimitedResolve; reach: Reach; signal: AbortSignal },
): Promise<readonly Address[]> => {
  const host = hostOf(url)
  const family = isIP(host)
  const found =
    family === 0 ? await resolve(host, signal).catch(() => []) : [{ address: host, family: family as 4 | 6 }]
  signal.throwIfAborted()
  if (found.length === 0) throw new Refused('not-resolved')
  if (!found.every(({ address }) => mayBeSentTo(address, reach))) throw new Refused('address-refused')
  return found
}

/** Answers with the checked addresses alone, whatever it is asked for. */
const lookupOf =
  (addresses: readonly Address[]): LookupFunction =>
  (_host, { all }, callback) => {
    const [first] = addresses
    if (all === true) callback(null, [...addresses])
    else callback(null, first?.address ?? '', first?.family)
  }

interface Way {
  readonly url: URL
  readonly agent: { readonly http: http.Agent } | { readonly https: https.Agent }
  readonly headers: Readonly<Record<string, string>>
  end(): void
}

/**
 * By CONNECT to the checked address, so that no name is resolved at the proxy. TLS is with the endpoint's own name,
 * which Node takes from the header `host`. The connection is made for this request alone, and ended with it: the agent
 * tells a request that has no tunnel yet of nothing (decision 0028).
 */
const throughProxy = (url: URL, addresses: readonly Address[], proxy: EgressProxy, ca: string | undefined): Way => {
  const chosen = addresses.find(({ family }) => family === 4) ?? addresses[0]
  const literal = new URL(url)
  if (chosen !== undefined) literal.hostname = chosen.family === 6 ? `[${chosen.address}]` : chosen.address
  const agent = new https.Agent({ keepAlive: false, ca, proxyEnv: { HTTPS_PROXY: proxy.url.reveal() } })
  const connect = agent.createConnection.bind(agent)
  let outer: Duplex | null | undefined
  agent.createConnection = (options, callback) => (outer = connect(options, callback))
  return { url: literal, agent: { https: agent }, headers: { host: url.host }, end: () => outer?.destroy() }
}

type Answered = Pick<WebhookReply, 'status' | 'retryAfterMs'>

/** Reads a reply's body as far as it is worth it. How that ends is nothing to the webhook. */
const drain = async (stream: Request): Promise<void> => {
  const enough = setTimeout(() => stream.destroy(), REPLY_MS)
  try {
    let size = 0
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > MAX_REPLY) return
    }
  } catch {
    // Its status came before.
  } finally {
    clearTimeout(enough)
  }
}

interface Given {
  readonly dnsLookup: LookupFunction
  readonly signal: AbortSignal
  readonly timeoutMs: number
  /** Called when the headers of the reply have come: nothing later changes what they say. */
  readonly note: (answered: Answered) => void
}

const exchange = async (
  { url, agent, headers }: Way,
  request: WebhookRequest,
  { dnsLookup, signal, timeoutMs, note }: Given,
): Promise<Answered> => {
  const stream = client.stream(url, {
    method: 'POST',
    agent,
    dnsLookup,
    body: request.body,
    timeout: { request: timeoutMs },
    headers: { ...headers, ...signedHeaders(request, request.secrets) },
  })
  const stop = (): void => void stream.destroy(new Refused('timed-out'))
  signal.addEventListener('abort', stop, { once: true })
  // An error after the last byte was read has no other listener, and without this one it would end the process.
  stream.on('error', () => {})
  try {
    const [response] = (await once(stream, 'response')) as [IncomingMessage]
    const { statusCode: status, headers: replied } = response
    const answered = { status, retryAfterMs: retryAfterMs(replied['retry-after'], replied.date, Date.now()) }
    note(answered)
    await drain(stream)
    return answered
  } catch (error) {
    // A kept connection that the other side has closed meanwhile: to send a webhook again does no harm.
    if (stream.reusedSocket && stream.response === undefined && !signal.aborted && !(error instanceof Refused))
      throw new ConnectionClosed()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
    stream.destroy()
  }
}

class ConnectionClosed extends Error {}

export const webhookSender = (options: SenderOptions): SendWebhook => {
  const { proxy, ca, timeoutMs = WEBHOOK_TIMEOUT_MS } = options
  const resolve = limitedLookups(options.resolve ?? systemResolve)
  const kept = { keepAlive: true, timeout: KEPT_MS }
  const trusted = ca === undefined ? {} : { ca }
  const shared = { http: new http.Agent(kept), https: new https.Agent({ ...kept, ...trusted }) }
  const single = { http: new http.Agent(), https: new https.Agent({ keepAlive: false, ...trusted }) }

  return async (request, stopping) => {
    const startedAt = performance.now()
    const tookMs = (): number => Math.round(performance.now() - startedAt)
    const over = AbortSignal.any([stopping, AbortSignal.timeout(timeoutMs)])
    const viaProxy = proxy !== undefined && goesByProxy(request.url, proxy) ? proxy : undefined

    let answered: Answered | undefined
    const send = async (): Promise<Answered> => {
      // Checked again: an address that was stored in development must not be used elsewhere.
      if (urlProblem(request.url, options) !== undefined) throw new Refused('address-refused')
      const url = new URL(request.url)
      const addresses = await checkedAddresses(url, { resolve, reach: options, signal: over })
      const left = (): number => Math.max(1, timeoutMs - tookMs())
      const note = (one: Answered): void => void (answered = one)
      const given = (): Given => ({ dnsLookup: lookupOf(addresses), signal: over, timeoutMs: left(), note })
      const direct = (agents: typeof shared): Way => ({
        url,
        agent: url.protocol === 'https:' ? { https: agents.https } : { http: agents.http },
        headers: {},
        end: () => {},
      })
      const way = viaProxy === undefined ? direct(shared) : throughProxy(url, addresses, viaProxy, ca)
      try {
        return await exchange(way, request, given())
      } catch (error) {
        if (!(error instanceof ConnectionClosed)) throw error
        return await exchange(direct(single), request, given())
      } finally {
        way.end()
      }
    }
    const cut = new Promise<never>((_, reject) => {
      over.addEventListener('abort', () => reject(new Refused('timed-out')), { once: true })
    })
    try {
      return { ...(await Promise.race([send(), cut])), failure: undefined, tookMs: tookMs() }
    } catch (error) {
      if (answered !== undefined) return { ...answered, failure: undefined, tookMs: tookMs() }
      const failure = stopping.aborted
        ? 'stopped'
        : over.aborted
          ? 'timed-out'
          : failureOf(error, viaProxy !== undefined)
      return { status: undefined, failure, retryAfterMs: undefined, tookMs: tookMs() }
    }
  }
}
