// The stylesheet of the pages.
import type { FastifyInstance } from 'fastify'
import { stylesheet, stylesheetHref, stylesheetPath } from '../pages/stylesheet.ts'

export const registerAssets = (app: FastifyInstance): void => {
  app.get(stylesheetPath, async (request, reply) => {
    // Kept for ever only under the address that names its content: in the middle of an update another process may be a
    // release behind.
    if (request.url === stylesheetHref) void reply.header('cache-control', 'public, max-age=31536000, immutable')
    return reply.type('text/css; charset=utf-8').send(stylesheet)
  })
}
