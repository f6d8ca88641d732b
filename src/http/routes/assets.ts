// The stylesheet of the pages.
import type { FastifyInstance } from 'fastify'
import { stylesheet, stylesheetHref, stylesheetPath } from '../pages/stylesheet.ts'

export const registerAssets = (app: FastifyInstance): void => {
  app.get(stylesheetPath, async (request, reply) => {
    // Only the address that names this content may be cached for ever: during an update another process may still serve
    // the previous release.
    if (request.url === stylesheetHref) void reply.header('cache-control', 'public, max-age=31536000, immutable')
    return reply.type('text/css; charset=utf-8').send(stylesheet)
  })
}
