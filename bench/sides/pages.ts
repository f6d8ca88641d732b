// The pages of the sides other than Reconsent: a start page with one button, the redirect to the bank, the callback.
import fastify, { type FastifyInstance } from 'fastify'
import type { Order } from './order.ts'

export const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

const page = (title: string, content: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head>
<body><h1>${escapeHtml(title)}</h1>${content}</body></html>`

export interface PageDeps {
  /** The bank's name and the bank's page of a renewal; undefined when there is no such renewal. */
  findRenewal(id: string): Promise<{ readonly bank: string; readonly link: string } | undefined>
  /** Resolves when the callback may be answered; false when there is no such state. */
  takeCode(state: string, code: string): Promise<boolean>
}

interface Start {
  readonly Params: { readonly id: string }
}
interface Callback {
  readonly Querystring: { readonly state?: string; readonly code?: string }
}

/** Serves the pages on the order's port. */
export const servePages = async (
  { port }: Order,
  { findRenewal, takeCode }: PageDeps,
): Promise<Pick<FastifyInstance, 'close'>> => {
  const app = fastify({ logger: false, forceCloseConnections: true })
  // Browsers send the button's form as an empty urlencoded body.
  app.addContentTypeParser('application/x-www-form-urlencoded', (_request, payload, done) => {
    payload.resume()
    done(null)
  })
  app.get<Start>('/r/:id', async ({ params }, reply) => {
    const renewal = await findRenewal(params.id)
    if (renewal === undefined) return reply.status(404).send('no such link')
    const button = '<form method="post"><button type="submit">Go to my bank</button></form>'
    return reply.type('text/html; charset=utf-8').send(page(`Keep sharing your ${renewal.bank} accounts`, button))
  })
  app.post<Start>('/r/:id', async ({ params }, reply) => {
    const renewal = await findRenewal(params.id)
    return renewal === undefined ? reply.status(404).send('no such link') : reply.redirect(renewal.link, 303)
  })
  app.get<Callback>('/callback', async ({ query }, reply) => {
    const taken = query.state !== undefined && query.code !== undefined && (await takeCode(query.state, query.code))
    return taken
      ? reply.type('text/html; charset=utf-8').send(page('Thank you', '<p>You can close this window.</p>'))
      : reply.status(400).send('unknown state')
  })
  await app.listen({ host: '127.0.0.1', port })
  return app
}
