// A route answers to its own spelling alone. The router decodes a path before it looks for the route, and takes one
// behind a host name or before a #: a rule of a proxy for /metrics or /ops would not see those. The spellings that
// users meet are put right before (served-address.ts).
import type { FastifyInstance } from 'fastify'
import { answerPlainPage } from './answer-page.ts'

/** Segment by segment; what stands for a parameter, or for the rest, is the route's own to judge. */
const isSpelledAs = (pattern: string, path: string): boolean => {
  const given = path.split('/')
  const wanted = pattern.split('/')
  return (
    (wanted.at(-1) === '*' || given.length === wanted.length) &&
    wanted.every((part, at) => part === '*' || part.startsWith(':') || part === given[at])
  )
}

export const registerExactRoutes = (app: FastifyInstance): void => {
  app.addHook('onRequest', async (request, reply) => {
    const { url } = request.routeOptions
    const [path = ''] = request.url.split('?', 1)
    // What is nowhere below /ops/queues would be asked for the login there, also where the router only decoded its way
    // to it.
    if (request.is404 || url === undefined)
      return /^[^/]|[%#\\]/.test(path) ? answerPlainPage(request, reply, 'not-found') : undefined
    return isSpelledAs(url, path) ? undefined : reply.callNotFound()
  })
}
