// Answers requests that no route answers: unknown addresses, malformed requests, errors. The pages are neutral and
// repeat nothing of the request.
import type { Socket } from 'node:net'
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { TransientError } from '../errors.ts'
import type { Log } from '../log.ts'
import { answerPage, answerPlainPage, HTML, localeFor } from './answer-page.ts'
import { isApiPath, PROBLEM_JSON, problemBody } from './api/problems.ts'
import { noticePage } from './pages/notice-page.ts'
import { routeOf } from './request-log.ts'
import { bareHeaders } from './security.ts'

/** After which a request that met an outage may be repeated. */
export const OUTAGE_SECONDS = 10

/** The 4xx with which Fastify's own checks refused a request; undefined for every error that is our fault. */
export const clientStatusOf = (error: unknown): number | undefined => {
  const { statusCode } = Object(error) as { statusCode?: unknown }
  return error instanceof Error && typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
    ? statusCode
    : undefined
}

/** Logs an error by name, code and source location only: messages of the database repeat the values it was given. */
export const logFailure = (log: Log, request: FastifyRequest, error: unknown): void => {
  const err = error instanceof Error ? error : new Error('not an error')
  log.error({ method: request.method, route: routeOf(request), err }, 'a request failed')
}

export const registerFallback = (app: FastifyInstance, { log }: { log: Log }): void => {
  app.setNotFoundHandler(async (request, reply) => answerPlainPage(request, reply, 'not-found'))
  app.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const status = clientStatusOf(error)
    if (status === undefined) {
      logFailure(log, request, error)
      // During an outage the answer is 503 with Retry-After: a browser or a proxy may repeat the request.
      if (error instanceof TransientError)
        return answerPage(reply.header('retry-after', OUTAGE_SECONDS), 'internal', { locale: localeFor(request) }, 503)
      return answerPlainPage(request, reply, 'internal')
    }
    return answerPage(reply, 'bad-request', { locale: localeFor(request) }, status === 413 ? 413 : 400)
  })
}

/**
 * Answers an address that cannot be decoded, or a token longer than any of ours. The router finds both before the hooks
 * run.
 */
export const answerUnroutable = (_error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
  const isApi = isApiPath(request.raw.url ?? '')
  const page = Buffer.from(
    isApi
      ? JSON.stringify(problemBody('not-found', 'there is no such route'))
      : noticePage('not-found', { locale: localeFor(request) }),
  )
  const type = isApi ? PROBLEM_JSON : HTML
  reply.raw.writeHead(404, { ...bareHeaders, 'content-type': type, 'content-length': page.length })
  reply.raw.end(request.method === 'HEAD' ? undefined : page)
}

/**
 * Answers bytes that are not an HTTP request, or that came too slowly. Does what Node does by default, but with our
 * headers and without naming the cause.
 */
export const answerClientError = (error: NodeJS.ErrnoException, socket: Socket): void => {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
  if (socket.writable) {
    const headers = Object.entries({ ...bareHeaders, connection: 'close', 'content-length': '0' })
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines}\r\n`)
  }
  socket.destroy()
}
