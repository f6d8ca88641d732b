// A route answers only to its own spelling. The router decodes a path before it looks for the route, and also accepts a
// path behind a host name or before a #. A proxy's rule for /metrics or /ops would miss such spellings. Those that
// users meet have already been corrected (served-address.ts).
import type { FastifyInstance } from 'fastify'
import { answerPlainPage } from './answer-page.ts'
import { isApiPath } from './api/problems.ts'

/**
 * Compares segment by segment; each route itself checks the values of its parameters and of its wildcard. In a pattern,
 * a colon that begins no parameter is written twice.
 */
const isSpelledAs = (pattern: string, path: string): boolean => {
  const given = path.split('/')
  const wanted = pattern.split('/')
  return (
    (wanted.at(-1) === '*' || given.length === wanted.length) &&
    wanted.every((part, at) => part === '*' || part.startsWith(':') || part.replaceAll('::', ':') === given[at])
  )
}

export const registerExactRoutes = (app: FastifyInstance): void => {
  app.addHook('onRequest', async (request, reply) => {
    const { url } = request.routeOptions
    const [path = ''] = request.url.split('?', 1)
    // An unknown path below /ops/queues prompts for the board's login, even when only the router's decoding led there.
    // Such spellings get the not-found page instead.
    if (request.is404 || url === undefined)
      return /^[^/]|[%#\\]/.test(path) && !isApiPath(path) ? answerPlainPage(request, reply, 'not-found') : undefined
    return isSpelledAs(url, path) ? undefined : reply.callNotFound()
  })
}
