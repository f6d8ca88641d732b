// One line and one count per request. By route pattern: addresses hold codes, states and start links, and are never
// written down.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'

/** Asked every few seconds by machines. */
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
    // Whose address: of those alone who were refused, for whoever has to shut them out.
    const client = status === 401 || status === 429 ? { client: request.ip } : {}
    const line = { method, route, status, ms: Math.round(reply.elapsedTime), ...client }
    if (status >= 500) log.warn(line, 'answered with a server error')
    else if (quiet.has(route)) log.debug(line, 'answered')
    else log.info(line, 'answered')
  })
}
