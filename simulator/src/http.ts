// One HTTP listener for everything: routes each path to its part. Contains no rule of the protocol.
import { randomUUID } from 'node:crypto'
import formbody from '@fastify/formbody'
import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { HTML_TYPE } from './answer.ts'
import { BadInput } from './bad-input.ts'
import { answerBankPage, answerDecision } from './bank.ts'
import { mountControl } from './control.ts'
import { answerDelete, answerMe, answerProviders, bearerOf } from './data-host.ts'
import { makeServe } from './faulty-reply.ts'
import { makeFullLinks } from './full-link.ts'
import { html, page } from './html.ts'
import { inboxPage, mailPage, noMailPage } from './inbox-pages.ts'
import { answerReauth } from './reauth.ts'
import { STYLE } from './style.ts'
import { readTokenCall } from './token-endpoint.ts'
import type { World } from './world.ts'

const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<path d="M1 6 8 2l7 4v1H1zm2 2h2v4H3zm4 0h2v4H7zm4 0h2v4h-2zM1 13h14v1H1z"/>
</svg>`
const MAX_BODY_BYTES = 10 * 1024 * 1024

const fieldOf = (body: unknown, name: string): unknown =>
  typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined

const landing = page({
  title: 'TrueLayer simulator',
  place: 'TrueLayer simulator',
  main: html`<p>This stands in for TrueLayer, a bank and the users' mailboxes.</p>
<ul><li><a href="/_control">Control</a>: clock, switches, faults, ledger</li><li><a href="/inbox">Inbox</a></li></ul>`,
})

const mountErrors = (app: FastifyInstance): void => {
  app.setErrorHandler((error, _request, reply) => {
    if (error instanceof BadInput)
      return reply.status(400).send({ error: 'invalid_request', problems: error.problems, known: error.known })
    const status = Number(Reflect.get(Object(error), 'statusCode') ?? 500)
    const description = error instanceof Error ? error.message : 'unknown error'
    return reply.status(status).send({
      error: status < 500 ? 'invalid_request' : 'internal_server_error',
      error_description: description,
      error_details: { reason: 'body' },
    })
  })
  app.setNotFoundHandler((_request, reply) =>
    reply.status(404).send({ error: 'not_found', error_description: 'Simulator: no such endpoint' }),
  )
}

const mountTrueLayer = (app: FastifyInstance, world: World): void => {
  const serve = makeServe(world)
  const fullLinks = makeFullLinks(world)

  app.post('/v1/reauthuri', (request, reply) => {
    const isJson = request.headers['content-type']?.startsWith('application/json') ?? false
    const body = isJson ? request.body : undefined
    const credentialsId = world.connections.byRefreshToken(String(fieldOf(body, 'refresh_token')))?.credentialsId
    return serve({ request, reply, endpoint: 'reauthuri', credentialsId, process: () => answerReauth(world, body) })
  })
  app.post('/connect/token', (request, reply) => serve({ request, reply, ...readTokenCall(world, request.body) }))
  app.get('/data/v1/me', (request, reply) => {
    const { authorization } = request.headers
    const credentialsId = bearerOf(world, authorization).connection?.credentialsId
    return serve({ request, reply, endpoint: 'me', credentialsId, process: () => answerMe(world, authorization) })
  })
  app.delete('/api/delete', (request, reply) => {
    const { authorization } = request.headers
    const credentialsId = bearerOf(world, authorization).connection?.credentialsId
    return serve({
      request,
      reply,
      endpoint: 'delete',
      credentialsId,
      process: () => answerDelete(world, authorization),
    })
  })
  app.get('/api/providers', (request, reply) => {
    const process = () => answerProviders(world, fieldOf(request.query, 'clientId'))
    return serve({ request, reply, endpoint: 'providers', credentialsId: undefined, process })
  })
  app.get('/', (request, reply) => {
    const rawQuery = request.url.split('?')[1] ?? ''
    if (rawQuery === '') return reply.type(HTML_TYPE).send(landing.html)
    const process = () => fullLinks.answer(request.query, rawQuery)
    return serve({ request, reply, endpoint: 'full-link', credentialsId: undefined, process })
  })
}

const mountBank = (app: FastifyInstance, world: World): void => {
  const serve = makeServe(world)
  const path = '/bank/:providerId/authorise/:id'
  const linkOf = (params: unknown) => {
    const link = world.links.find(String(fieldOf(params, 'id')))
    return link?.bank.providerId === fieldOf(params, 'providerId') ? link : undefined
  }
  // Without this setting, a HEAD request of a mail scanner would use the link up.
  app.route({
    method: 'GET',
    url: path,
    exposeHeadRoute: false,
    handler: (request, reply) => {
      const link = linkOf(request.params)
      return serve({
        request,
        reply,
        endpoint: 'bank',
        credentialsId: link?.credentialsId,
        process: () => answerBankPage(world, link),
      })
    },
  })
  app.post(path, (request, reply) => {
    const link = linkOf(request.params)
    const process = () => answerDecision(world, link, fieldOf(request.body, 'decision'))
    return serve({ request, reply, endpoint: 'decision', credentialsId: link?.credentialsId, process })
  })
}

const mountInbox = (app: FastifyInstance, { mails }: World): void => {
  app.get('/inbox', (request, reply) => {
    const to = fieldOf(request.query, 'to')
    return reply
      .type(HTML_TYPE)
      .send(inboxPage(mails, typeof to === 'string' && to.trim() !== '' ? to.trim() : undefined).html)
  })
  app.get('/inbox/:id', (request, reply) => {
    const mail = mails.find(Number(fieldOf(request.params, 'id')))
    return reply
      .status(mail === undefined ? 404 : 200)
      .type(HTML_TYPE)
      .send((mail === undefined ? noMailPage() : mailPage(mail)).html)
  })
}

export const makeHttp = async (world: World): Promise<FastifyInstance> => {
  const app = fastify({ logger: false, forceCloseConnections: true, bodyLimit: MAX_BODY_BYTES })
  await app.register(formbody, { bodyLimit: MAX_BODY_BYTES })
  app.addHook('onSend', async (_request, reply) => {
    void reply.headers({ 'x-tl-correlation-id': randomUUID(), 'cache-control': 'no-store' })
  })
  mountErrors(app)
  mountTrueLayer(app, world)
  mountBank(app, world)
  mountInbox(app, world)
  mountControl(app, world)
  app.get('/_style.css', (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLE))
  app.get('/_logo.svg', (_request, reply) => reply.type('image/svg+xml').send(LOGO))
  return app
}
