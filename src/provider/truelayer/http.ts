// One HTTP request to the provider: sent at most once, on a connection of its own, within a total time and a size.
// Every result is a value. Nothing of the request (URL, headers, body) may leave this file by an error or a log line.
import http from 'node:http'
import https from 'node:https'
import type { Duplex } from 'node:stream'
import got from 'got'
import type { Log } from '../../log.ts'
import { Secret } from '../../secret.ts'
import { type EgressProxy, goesByProxy } from './egress-proxy.ts'
import { noAnswer } from './failures.ts'
import type { Phase, Reply } from './failures.ts'
import { retryAfterMs } from './retry-after.ts'

export type ProviderLog = Pick<Log, 'info' | 'warn'>

export interface Call {
  /** What the log calls it; never the address, which may carry an id. */
  readonly name: string
  readonly url: string
  readonly post?: { readonly as: 'json' | 'form'; readonly fields: Readonly<Record<string, string | Secret>> }
  readonly bearer?: Secret
  /** Decompressed bytes; one MiB unless said. */
  readonly largestBody?: number
}

export type Send = (call: Call) => Promise<Reply>

const mebibyte = 1024 * 1024

/**
 * All that is left of an error of got's: its code. Its message has the address, its `options` the headers and the body.
 */
class CallFailed extends Error {
  override readonly name = 'CallFailed'
  readonly code: string

  constructor(code: unknown) {
    const word = typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'UNKNOWN'
    super(`the call failed: ${word}`)
    this.code = word
  }
}

/** One request's way to the provider: its agent, and how far its connection came. */
interface Way {
  readonly agent: { http: http.Agent } | { https: https.Agent }
  phase(): Phase
  /** The status by which the proxy refused a tunnel. */
  refusedBy(): number | undefined
  end(): void
}

/**
 * A connection is never kept for a second request: a kept one may be closed by the other side just as we write on it,
 * and such a reset cannot be told from one after the request was read. No maxSockets: with a limit Node offers the
 * other side to keep the connection.
 */
const single = { keepAlive: false }

/**
 * Of a call's time, what a silent proxy may use up: the rest tells it from a provider that is silent inside the tunnel.
 */
const TUNNEL_SHARE = 0.5

/**
 * TLS bytes wait for `secureConnect`, plain ones for `connect`; both are listened to before the connection can make
 * progress.
 */
const direct = (url: string): Way => {
  let phase: Phase = 'no-socket'
  const watch = <A extends http.Agent>(agent: A, opens: 'connect' | 'secureConnect'): A => {
    const connect = agent.createConnection.bind(agent)
    agent.createConnection = (options, callback) => {
      const socket = connect(options, callback)
      // Should the one request ever lead to two connections, the first that opened decides.
      if (phase === 'no-socket') phase = 'connecting'
      socket?.once(opens, () => {
        phase = 'open'
      })
      return socket
    }
    return agent
  }
  const agent = url.startsWith('https:')
    ? { https: watch(new https.Agent(single), 'secureConnect') }
    : { http: watch(new http.Agent(single), 'connect') }
  return { agent, phase: () => phase, refusedBy: () => undefined, end: () => {} }
}

/**
 * Node's agent listens once more for each piece of a proxy's answer, so that each is read twice as often as the one
 * before: thirty pieces would keep the process busy for good.
 */
const onceEach = (stream: Duplex): void => {
  const on = stream.on.bind(stream)
  stream.on = (event: string, listener: Parameters<Duplex['on']>[1]) =>
    stream.listeners(event).includes(listener) ? stream : on(event, listener)
}

/**
 * By Node's own agent: CONNECT, then TLS with the provider inside. It hands a connection over when that TLS stands and
 * not before, so no byte of the request has left until then, whatever the proxy did; a failure comes with the
 * connection that failed, the one to the proxy or the one inside. A request without a connection does not hear of its
 * time-out, nor the agent of everything that ends the connection to the proxy: hence the watch on both. See
 * docs/decisions/0028-a-proxy-has-sent-nothing-before-its-tunnel.md.
 */
const throughProxy = (proxy: EgressProxy, requestTimeoutMs: number): Way => {
  let phase: Phase = 'no-socket'
  let status: number | undefined
  let outer: Duplex | null | undefined
  const tunnelMs = Math.max(1, Math.round(requestTimeoutMs * TUNNEL_SHARE))
  const agent = new https.Agent({ ...single, timeout: tunnelMs, proxyEnv: { HTTPS_PROXY: proxy.url.reveal() } })
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    if (phase === 'no-socket') phase = 'proxy'
    let settled = false
    const settle = (error: (Error & { statusCode?: number }) | null, socket?: Duplex): void => {
      if (settled) return
      settled = true
      clearTimeout(deadline)
      if (error === null) phase = 'open'
      else if (phase === 'proxy' && socket !== undefined && socket !== outer) phase = 'connecting'
      status ??= error?.statusCode
      // The types know no failure without a socket; the agent looks at none then.
      callback?.(error, socket as Duplex)
    }
    const deadline = setTimeout(() => settle(new CallFailed('ETIMEDOUT')), requestTimeoutMs)
    outer = connect(options, settle)
    if (outer) onceEach(outer)
    // After whatever the agent itself has to say of it.
    outer?.once('close', () => setImmediate(() => settle(new CallFailed('PROXY_CLOSED'))))
    return outer
  }
  // Given up on, the connection to the proxy belongs to no request yet, and nobody else would close it.
  return { agent: { https: agent }, phase: () => phase, refusedBy: () => status, end: () => outer?.destroy() }
}

const client = got.extend({
  retry: { limit: 0 },
  followRedirect: false,
  throwHttpErrors: false,
  http2: false,
  headers: { 'user-agent': 'reconsent', accept: 'application/json' },
  hooks: { beforeError: [(error) => new CallFailed(error.code)] },
})

const bodyOf = (post: NonNullable<Call['post']>) => {
  const fields = Object.entries(post.fields).map(([key, value]) => [
    key,
    value instanceof Secret ? value.reveal() : value,
  ])
  return post.as === 'json' ? { json: Object.fromEntries(fields) } : { form: Object.fromEntries(fields) }
}

/** TrueLayer's support asks for it. Only what looks like an id is logged: the header comes from outside. */
const correlationId = (header: unknown): string | undefined =>
  typeof header === 'string' && /^[\w.:-]{1,128}$/.test(header) ? header : undefined

interface SenderOptions {
  /** Bounds the whole call, DNS to the last byte of the body, however slowly it drips. */
  readonly requestTimeoutMs: number
  readonly proxy?: EgressProxy | undefined
  readonly log: ProviderLog | undefined
}

export const httpSender =
  ({ requestTimeoutMs, proxy, log }: SenderOptions): Send =>
  async (call) => {
    const startedAt = performance.now()
    const tookMs = () => Math.round(performance.now() - startedAt)
    const way =
      proxy !== undefined && goesByProxy(call.url, proxy) ? throughProxy(proxy, requestTimeoutMs) : direct(call.url)
    const { agent } = way
    const stream = client.stream(call.url, {
      method: call.post === undefined ? 'GET' : 'POST',
      agent,
      timeout: { request: requestTimeoutMs },
      ...(call.bearer === undefined ? {} : { headers: { authorization: `Bearer ${call.bearer.reveal()}` } }),
      ...(call.post === undefined ? {} : bodyOf(call.post)),
    })
    // An error after the last byte was read has nobody left to tell; without a listener it would end the process.
    stream.on('error', () => {})
    try {
      const chunks: Buffer[] = []
      let size = 0
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        size += chunk.length
        if (size > (call.largestBody ?? mebibyte)) throw new CallFailed('BODY_TOO_LARGE')
        chunks.push(chunk)
      }
      const { response } = stream
      if (response === undefined) throw new CallFailed('NO_RESPONSE')
      const { statusCode: status, headers } = response
      log?.info(
        { call: call.name, status, ms: tookMs(), correlationId: correlationId(headers['x-tl-correlation-id']) },
        'provider answered',
      )
      return {
        kind: 'answer',
        status,
        retryAfterMs: retryAfterMs(headers['retry-after'], headers.date, Date.now()),
        body: new Secret(new TextDecoder().decode(Buffer.concat(chunks))),
      }
    } catch (error) {
      const cause = error instanceof CallFailed ? error.code : 'UNKNOWN'
      // A proxy that was silent for too long would have failed before: this time passed inside its tunnel.
      const phase = cause === 'ETIMEDOUT' && way.phase() === 'proxy' ? 'connecting' : way.phase()
      const reply = noAnswer(cause, phase)
      const seen = correlationId(stream.response?.headers['x-tl-correlation-id'])
      const line = {
        call: call.name,
        cause,
        phase,
        code: reply.code,
        ms: tookMs(),
        correlationId: seen,
        proxyStatus: way.refusedBy(),
      }
      log?.warn(line, 'provider gave no answer')
      return reply
    } finally {
      stream.destroy()
      way.end()
    }
  }
