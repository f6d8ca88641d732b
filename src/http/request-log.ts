// Writes one log line and one count per request, by route pattern. The address itself is never written down, because
// addresses hold codes, states and start links.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'

/** Routes requested so often that their lines have the level debug. */
const quiet = new Set(['/livez', '/readyz', '/metrics', '/assets/style.css'])

/** The pattern of the route, such as `/r/:token`; `none` where there is none. */
export const routeOf = (request: FastifyRequest): string =>
  request.is404 ? 'none' : (request.routeOptions.url ?? 'none')

export const registerRequestLog = (
  app: FastifyInstance,
  { log, metrics }: { log: Log; metrics: Pick<Metrics, 'recordHttp'> },
): void => {
  app.addHook('onResponse', async (request, reply) => {
    const { method } = request
    const route = routeOf(request)
    const status = reply.statusCode
    metrics.recordHttp({ method, route, status, seconds: reply.elapsedTime / 1000 })
    // Only the line of a refused request names the client's address, for the operator who has to block that client.
    const client = status === 401 || status === 429 ? { client: request.ip } : {}
    const line = { method, route, status, ms: Math.round(reply.elapsedTime), ...client }
    if (status >= 500) log.warn(line, 'answered with a server error')
    else if (quiet.has(route)) log.debug(line, 'answered')
    else log.info(line, 'answered')
  })
}
