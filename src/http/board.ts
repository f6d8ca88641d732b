// Bull Board at /ops/queues, for operators. Reconsent puts the board behind a login, refuses requests from other sites,
// and refuses routes that destroy or forge jobs unless the policy allows them. Bull Board itself checks none of this.
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import type { Queue } from 'bullmq'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { sameText } from '../crypto/hashing.ts'
import { Secret } from '../secret.ts'
import { permissionFor } from './board-policy.ts'
import type { Limit } from './limits.ts'
import { isCrossSite } from './security.ts'

export const BOARD_PATH = '/ops/queues'

export interface BoardOptions {
  readonly queues: readonly Queue[]
  readonly user: string
  readonly password: Secret
  /**
   * Also allows operators to empty queues, to add and edit jobs, and to use every other route that destroys or forges
   * jobs.
   */
  readonly allowDestructive: boolean
  /** The address at which browsers reach us; requests from its origin count as our own. */
  readonly publicUrl: string
  readonly wrongLogins: Limit
}

/** The board needs inline styles; it may load scripts and fonts from this host only, and connect only to this host. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-robots-tag': 'noindex',
}

const loginCheck = (user: string, password: Secret) => {
  const login = new Secret(`${user}:${password.reveal()}`)
  return (authorization: string | undefined): boolean => {
    const given = /^basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization ?? '')?.[1] ?? ''
    return sameText(Buffer.from(given, 'base64').toString('utf8'), login)
  }
}

/**
 * A Redis user without @dangerous may not send INFO. The board then shows no figures of the server, but still works.
 */
const adapterOf = (queue: Queue): BullMQAdapter => {
  const adapter = new BullMQAdapter(queue)
  const ask = adapter.getRedisInfo.bind(adapter)
  adapter.getRedisInfo = async () => ask().catch(() => '')
  return adapter
}

/**
 * Undefined for an invalid address, and for one whose origin is opaque (`null`), such as `chrome-extension:` or
 * `data:`.
 */
const originOf = (address: string): string | undefined => {
  const origin = URL.canParse(address) ? new URL(address).origin : 'null'
  return origin === 'null' ? undefined : origin
}

/**
 * Whether the page of another origin caused a request. Browsers say so in Sec-Fetch-Site (on https and localhost), else
 * in Origin, which they send with every method but GET and HEAD, else in Referer. A request with none of the three
 * headers does not come from a page.
 */
const isCrossOrigin = (request: FastifyRequest, publicOrigin: string | undefined): boolean => {
  if (isCrossSite(request)) return true
  const { headers } = request
  const named = headers.origin ?? headers.referer
  if (named === undefined) return false
  const origin = originOf(named)
  // Operators may also reach us at an internal address: then the page's host is the host that the request goes to.
  return origin === undefined || (origin !== publicOrigin && new URL(origin).host !== headers.host)
}

const refuse = (reply: FastifyReply, why: string): FastifyReply =>
  reply.code(403).send({ error: 'forbidden', message: why })

const tooMany = (reply: FastifyReply, seconds: number): FastifyReply =>
  reply
    .code(429)
    .header('retry-after', seconds)
    .send({ error: 'too_many_requests', message: 'too many wrong logins from this address' })

/**
 * Mounts the board. A request without a valid login gets 401, and after many wrong logins 429. A request from another
 * site, or for a route that the policy does not allow, gets 403.
 */
export const registerBoard = async (app: FastifyInstance, options: BoardOptions): Promise<void> => {
  const isLogin = loginCheck(options.user, options.password)
  const publicOrigin = originOf(options.publicUrl)
  const adapter = new FastifyAdapter()
  adapter.setBasePath(BOARD_PATH)
  createBullBoard({
    queues: options.queues.map(adapterOf),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Reconsent', hideDocsLink: true, sortQueues: false } },
  })

  const board = async (scope: FastifyInstance): Promise<void> => {
    scope.addHook('onRequest', async (request, reply) => {
      const { authorization } = request.headers
      // People choose this password: after too many wrong logins from an address, its logins are not checked, not even
      // right ones. The commands do not need the board.
      const blocked = await options.wrongLogins(request, 'look')
      if (blocked !== undefined) return tooMany(reply, blocked)
      if (!isLogin(authorization)) {
        // A browser's first request has no login yet: the 401 makes the browser prompt for one. That is not a wrong
        // login.
        const wait = authorization === undefined ? undefined : await options.wrongLogins(request)
        if (wait !== undefined) return tooMany(reply, wait)
        reply.header('www-authenticate', 'Basic realm="Reconsent operations", charset="UTF-8"')
        return reply.code(401).send({ error: 'unauthorized', message: 'log in with OPS_USER and OPS_PASSWORD' })
      }
      if (isCrossOrigin(request, publicOrigin)) return refuse(reply, 'requests from other sites are refused')
      const route = (request.routeOptions.url ?? '').slice(BOARD_PATH.length)
      if (permissionFor(request.method, route === '' ? '/' : route) === 'destroy' && !options.allowDestructive) {
        return refuse(reply, 'this could destroy or forge jobs; policy board.allowDestructive is off')
      }
      return undefined
    })
    scope.addHook('onSend', async (_request, reply, payload) => {
      reply.headers(HEADERS)
      // The board's page loads fonts from Google, which the policy above blocks: without the link, browsers do not try.
      const isPage = typeof payload === 'string' && String(reply.getHeader('content-type')).startsWith('text/html')
      return isPage ? payload.replace(/<link href="https:\/\/fonts[^>]*>/, '') : payload
    })
    // Without a handler of its own, this scope would answer an unknown path below the board without asking for the
    // login.
    scope.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: 'not found' }))
    await scope.register(adapter.registerPlugin())
  }
  await app.register(board, { prefix: BOARD_PATH })
}
