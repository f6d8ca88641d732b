// One HTTP request to the provider: sent at most once, on a connection of its own, within a total time and a size. Every result
// is a value. Nothing of the request (URL, headers, body) may leave this file by an error or a log line.
import http from 'node:http'
import https from 'node:https'
import got from 'got'
import type { Log } from '../../log.ts'
import { Secret } from '../../secret.ts'
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

/** All that is left of an error of got's: its code. Its message has the address, its `options` the headers and the body. */
class CallFailed extends Error {
  override readonly name = 'CallFailed'
  readonly code: string

  constructor(code: unknown) {
    const word = typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'UNKNOWN'
    super(`the call failed: ${word}`)
    this.code = word
  }
}

/**
 * An agent for one request that tells how far its connection came. A connection is never kept for a second request: a kept one
 * may be closed by the other side just as we write on it, and such a reset cannot be told from one after the request was read.
 * TLS bytes wait for `secureConnect`, plain ones for `connect`; both are listened to before the connection can make progress.
 */
const singleUseAgent = (url: string): { agent: { http: http.Agent } | { https: https.Agent }; phase: () => Phase } => {
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
  // No maxSockets: with a limit Node offers the other side to keep the connection, keepAlive or not.
  const single = { keepAlive: false }
  const agent = url.startsWith('https:')
    ? { https: watch(new https.Agent(single), 'secureConnect') }
    : { http: watch(new http.Agent(single), 'connect') }
  return { agent, phase: () => phase }
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
  const fields = Object.entries(post.fields).map(([key, value]) => [key, value instanceof Secret ? value.reveal() : value])
  return post.as === 'json' ? { json: Object.fromEntries(fields) } : { form: Object.fromEntries(fields) }
}

/** TrueLayer's support asks for it. Only what looks like an id is logged: the header comes from outside. */
const correlationId = (header: unknown): string | undefined =>
  typeof header === 'string' && /^[\w.:-]{1,128}$/.test(header) ? header : undefined

/** `requestTimeoutMs` bounds the whole call, DNS to the last byte of the body, however slowly it drips. */
export const httpSender = ({ requestTimeoutMs, log }: { requestTimeoutMs: number; log: ProviderLog | undefined }): Send => async (call) => {
  const startedAt = performance.now()
  const tookMs = () => Math.round(performance.now() - startedAt)
  const { agent, phase } = singleUseAgent(call.url)
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
    log?.info({ call: call.name, status, ms: tookMs(), correlationId: correlationId(headers['x-tl-correlation-id']) }, 'provider answered')
    return {
      kind: 'answer',
      status,
      retryAfterMs: retryAfterMs(headers['retry-after'], headers.date, Date.now()),
      body: new Secret(new TextDecoder().decode(Buffer.concat(chunks))),
    }
  } catch (error) {
    const cause = error instanceof CallFailed ? error.code : 'UNKNOWN'
    const reply = noAnswer(cause, phase())
    const seen = correlationId(stream.response?.headers['x-tl-correlation-id'])
    log?.warn({ call: call.name, cause, phase: phase(), code: reply.code, ms: tookMs(), correlationId: seen }, 'provider gave no answer')
    return reply
  } finally {
    stream.destroy()
  }
}
