// Sends the answer, or the fault that this request meets. Only this file decides and records whether a request was
// processed.
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { HTML_TYPE, JSON_TYPE } from './answer.ts'
import type { Answer } from './answer.ts'
import type { ActiveSettings } from './fault-kinds.ts'
import type { Endpoint } from './ledger.ts'
import type { World } from './world.ts'

interface Served {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly endpoint: Endpoint
  /** The connection concerned, for faults with `only`. */
  readonly credentialsId: string | undefined
  /**
   * The number of the code in the request. The ledger thereby has the code's whole history, even where a fault replaced
   * the answer.
   */
  readonly codeNo?: number | undefined
  /** Processes the request. Must not be called twice. */
  readonly process: () => Answer
}

export type Serve = (served: Served) => Promise<FastifyReply>

const GATEWAY_PAGE = `<html>
<head><title>Bad Gateway</title></head>
<body><center><h1>Bad Gateway</h1></center><hr><center>gateway</center></body>
</html>
`

const isProcessed = (fault: ActiveSettings): boolean => {
  if (fault.kind === 'rate-limited' || fault.kind === 'reset-before') return false
  return 'processed' in fault ? fault.processed || fault.kind === 'slow' : true
}

/** By how many milliseconds the fault delays the last byte of the answer. */
const lateBy = (fault: ActiveSettings, { body }: Answer): number | undefined => {
  if (fault.kind === 'slow') return fault.ms
  return fault.kind === 'drip' ? fault.interval_ms * Math.max(0, Buffer.byteLength(body) - 1) : undefined
}

const send = (reply: FastifyReply, { status, contentType, headers, body }: Omit<Answer, 'entry'>): FastifyReply => {
  void reply.status(status).headers(headers)
  if (body !== '') void reply.type(contentType)
  return reply.send(body)
}

const errorBody = (error: string): string =>
  JSON.stringify({
    error,
    error_description: 'Simulator: a fault that was asked for',
    error_details: { reason: 'fault' },
  })

/** Resets the client's TCP connection. */
const reset = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
  reply.hijack()
  request.raw.socket.resetAndDestroy()
  return reply
}

const drip = async (
  reply: FastifyReply,
  answer: Answer,
  intervalMs: number,
  closing: AbortSignal,
): Promise<FastifyReply> => {
  reply.hijack()
  const bytes = Buffer.from(answer.body)
  const headers = {
    ...answer.headers,
    'content-type': answer.contentType,
    'content-length': bytes.length,
    'x-tl-correlation-id': randomUUID(),
  }
  reply.raw.writeHead(answer.status, headers)
  for (const [position, byte] of bytes.entries()) {
    if (position > 0) await wait(intervalMs, undefined, { signal: closing }).catch(() => undefined)
    if (closing.aborted || reply.raw.destroyed) break
    reply.raw.write(Buffer.of(byte))
  }
  reply.raw.end()
  return reply
}

export const makeServe =
  ({ faults, ledger, closing }: World): Serve =>
  async ({ request, reply, endpoint, credentialsId, codeNo, process }) => {
    const processAndNote = (met?: ActiveSettings): Answer => {
      const answer = process()
      ledger.record({ ...answer.entry, fault: met?.kind, late_ms: met && lateBy(met, answer) })
      return answer
    }
    const fault = faults.take(endpoint, [credentialsId])
    if (fault === undefined) return send(reply, processAndNote())

    const pause = (ms: number): Promise<unknown> => wait(ms, undefined, { signal: closing }).catch(() => undefined)
    // A server that starts late still processes the request, whether or not the client waits for it.
    if (fault.kind === 'slow' && !fault.processed) await pause(fault.ms)
    const answer = isProcessed(fault) ? processAndNote(fault) : undefined
    if (answer === undefined) {
      ledger.record({
        what: endpoint,
        outcome: 'not-processed',
        credentials_id: credentialsId,
        code_no: codeNo,
        fault: fault.kind,
      })
    }

    switch (fault.kind) {
      case 'rate-limited': {
        const headers: Record<string, string> =
          fault.retry_after === undefined ? {} : { 'retry-after': String(fault.retry_after) }
        return send(reply, {
          status: 429,
          contentType: JSON_TYPE,
          headers,
          body: errorBody('provider_too_many_requests'),
        })
      }
      case 'error-json':
        return send(reply, { status: fault.status, contentType: JSON_TYPE, headers: {}, body: errorBody(fault.error) })
      case 'error-html':
        return send(reply, { status: fault.status, contentType: HTML_TYPE, headers: {}, body: GATEWAY_PAGE })
      case 'bad-json': {
        const body =
          answer?.contentType === JSON_TYPE ? answer.body.slice(0, Math.ceil(answer.body.length / 2)) : '{"result": '
        return send(reply, { status: 200, contentType: JSON_TYPE, headers: {}, body })
      }
      case 'slow':
        if (fault.processed) await pause(fault.ms)
        break
      case 'drip':
        if (answer !== undefined) return drip(reply, answer, fault.interval_ms, closing)
        break
      case 'reset-before':
      case 'reset-after':
        return reset(request, reply)
      default:
        break
    }
    if (answer === undefined) throw new Error(`simulator: the fault ${fault.kind} has no answer of its own`)
    return send(reply, answer)
  }
