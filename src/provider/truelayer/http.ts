// Makes one HTTP request to the provider, with a limit on total time and size: sent at most once, on a connection of
// its own, unless the call says that it may be repeated. Every result is a value. No part of the request (URL, headers,
// body) may leave this file in an error or a log line.
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
  /** The call's name in the log. The log never shows the address, which may contain an id. */
  readonly name: string
  readonly url: string
  readonly post?: { readonly as: 'json' | 'form'; readonly fields: Readonly<Record<string, string | Secret>> }
  readonly bearer?: Secret
  /** In decompressed bytes; default one MiB. */
  readonly largestBody?: number
  /**
   * To ask twice does no more than to ask once. The call may use a connection that was kept, and is asked once more, on
   * a new one, when the provider has closed that connection meanwhile. Never for a code or a refresh token.
   */
  readonly isRepeatable?: boolean
}

export type Send = (call: Call) => Promise<Reply>

const mebibyte = 1024 * 1024

/**
 * Replaces an error of got and keeps only its code: got's message contains the address, its `options` the headers and
 * the body.
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

/** How one request reaches the provider: its agent, and how far its connection got. */
interface Way {
  readonly agent: { http: http.Agent } | { https: https.Agent }
  /** Told of the request as soon as there is one. */
  follow?(request: http.ClientRequest): void
  phase(): Phase
  /** The status with which the proxy refused a tunnel. */
  refusedBy(): number | undefined
  end(): void
}

/**
 * A connection is not kept for a second request, unless both are repeatable: the other side may close a kept connection
 * just as we write to it, and such a reset looks the same as one after the request was read. No maxSockets: with a
 * limit, Node offers the other side to keep the connection.
 */
const single = { keepAlive: false }

/** Load balancers close a connection that has been idle for a minute, some servers after five seconds. */
const KEPT_MS = 4_000

/**
 * The share of a call's time that a silent proxy may use. The rest lets us tell a silent proxy from a provider that is
 * silent inside the tunnel.
 */
const TUNNEL_SHARE = 0.5

/**
 * TLS data is sent after `secureConnect`, plain data after `connect`. The listener for either is added before the
 * connection can make progress.
 */
const direct = (url: string): Way => {
  let phase: Phase = 'no-socket'
  const watch = <A extends http.Agent>(agent: A, opens: 'connect' | 'secureConnect'): A => {
    const connect = agent.createConnection.bind(agent)
    agent.createConnection = (options, callback) => {
      const socket = connect(options, callback)
      // If one request ever makes two connections, the first that opened decides.
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

/** Connections that repeatable calls share. Those that nobody uses do not keep the process alive. */
const sharedWays = () => {
  const kept = { keepAlive: true, timeout: KEPT_MS }
  const agents = { http: new http.Agent(kept), https: new https.Agent(kept) }
  return (url: string): Way => {
    let phase: Phase = 'no-socket'
    const isEncrypted = url.startsWith('https:')
    return {
      agent: isEncrypted ? { https: agents.https } : { http: agents.http },
      follow: (request) =>
        request.once('socket', (socket) => {
          phase = request.reusedSocket ? 'open' : 'connecting'
          if (request.reusedSocket) return
          socket.once(isEncrypted ? 'secureConnect' : 'connect', () => {
            phase = 'open'
          })
        }),
      phase: () => phase,
      refusedBy: () => undefined,
      end: () => {},
    }
  }
}

/**
 * Node's agent adds another listener for each piece of a proxy's answer, so each piece is read twice as often as the
 * one before: thirty pieces would keep the process busy for ever.
 */
const onceEach = (stream: Duplex): void => {
  const on = stream.on.bind(stream)
  stream.on = (event: string, listener: Parameters<Duplex['on']>[1]) =>
    stream.listeners(event).includes(listener) ? stream : on(event, listener)
}

/**
 * Uses Node's own agent: CONNECT, then TLS with the provider inside the tunnel. The agent hands over the connection
 * only after that TLS handshake, so until then no byte of the request was sent, whatever the proxy did. A failure is
 * reported with the connection that failed: the outer one to the proxy, or the inner one. A request without a
 * connection is not told of its time-out, nor is the agent told of everything that ends the connection to the proxy:
 * hence the timer and the `close` listener below. See
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
      // The types require a socket, but after a failure the agent ignores it.
      callback?.(error, socket as Duplex)
    }
    const deadline = setTimeout(() => settle(new CallFailed('ETIMEDOUT')), requestTimeoutMs)
    outer = connect(options, settle)
    if (outer) onceEach(outer)
    // setImmediate lets the agent report its own error first.
    outer?.once('close', () => setImmediate(() => settle(new CallFailed('PROXY_CLOSED'))))
    return outer
  }
  // An abandoned connection to the proxy does not belong to a request yet, so `end` must close it.
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

/**
 * The id for which TrueLayer's support asks. Logged only if it looks like an id, because the header comes from outside.
 */
const correlationId = (header: unknown): string | undefined =>
  typeof header === 'string' && /^[\w.:-]{1,128}$/.test(header) ? header : undefined

interface SenderOptions {
  /** Limits the total time of the call, from the DNS lookup to the last byte of the body, however slowly it arrives. */
  readonly requestTimeoutMs: number
  readonly proxy?: EgressProxy | undefined
  readonly log: ProviderLog | undefined
}

export const httpSender = ({ requestTimeoutMs, proxy, log }: SenderOptions): Send => {
  const shared = sharedWays()
  return async (call) => {
    const startedAt = performance.now()
    const tookMs = () => Math.round(performance.now() - startedAt)

    /** `wasClosed`: the connection was a kept one, and nothing came of it. */
    const ask = async (way: Way): Promise<{ readonly reply: Reply; readonly wasClosed: boolean }> => {
      const stream = client.stream(call.url, {
        method: call.post === undefined ? 'GET' : 'POST',
        agent: way.agent,
        timeout: { request: Math.max(1, requestTimeoutMs - tookMs()) },
        ...(call.bearer === undefined ? {} : { headers: { authorization: `Bearer ${call.bearer.reveal()}` } }),
        ...(call.post === undefined ? {} : bodyOf(call.post)),
      })
      stream.once('request', (request) => way.follow?.(request))
      // An error after the last byte was read has no other listener, and without this one it would end the process.
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
        const reply: Reply = {
          kind: 'answer',
          status,
          retryAfterMs: retryAfterMs(headers['retry-after'], headers.date, Date.now()),
          body: new Secret(new TextDecoder().decode(Buffer.concat(chunks))),
        }
        return { reply, wasClosed: false }
      } catch (error) {
        const cause = error instanceof CallFailed ? error.code : 'UNKNOWN'
        // A proxy that was silent for too long would have failed earlier, so the rest of the time was spent inside its
        // tunnel.
        const phase = cause === 'ETIMEDOUT' && way.phase() === 'proxy' ? 'connecting' : way.phase()
        const reply = noAnswer(cause, phase)
        const isCut = cause === 'ECONNRESET' || cause === 'EPIPE'
        if (stream.reusedSocket && stream.response === undefined && isCut) return { reply, wasClosed: true }
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
        return { reply, wasClosed: false }
      } finally {
        stream.destroy()
        way.end()
      }
    }

    const byProxy = proxy !== undefined && goesByProxy(call.url, proxy)
    const way = byProxy
      ? throughProxy(proxy, requestTimeoutMs)
      : call.isRepeatable
        ? shared(call.url)
        : direct(call.url)
    const { reply, wasClosed } = await ask(way)
    return wasClosed ? (await ask(direct(call.url))).reply : reply
  }
}
