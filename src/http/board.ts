// Bull Board at /ops/queues, for operators: behind a login, closed to other sites, and without what destroys or forges
// jobs unless the policy allows it. The board itself checks none of this.
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import type { Queue } from 'bullmq'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../secret.ts'
import { actOf } from './board-policy.ts'
import type { Limit } from './limits.ts'

export const BOARD_PATH = '/ops/queues'

export interface BoardOptions {
  readonly queues: readonly Queue[]
  readonly user: string
  readonly password: Secret
  /** Also allows emptying queues, adding and editing jobs, and all else that destroys or forges. */
  readonly allowDestructive: boolean
  /** Where browsers reach us; requests from there count as our own. */
  readonly publicUrl: string
  readonly wrongLogins: Limit
}

/** Inline styles are the board's own; scripts, fonts and calls stay on this host. */
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

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Compares digests, so that neither time nor length tells anything about the right answer. */
const loginCheck = (user: string, password: Secret) => {
  const expected = digest(`${user}:${password.reveal()}`)
  return (authorization: string | undefined): boolean => {
    const given = /^basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization ?? '')?.[1] ?? ''
    return timingSafeEqual(digest(Buffer.from(given, 'base64').toString('utf8')), expected)
  }
}

/**
 * A user of Redis without @dangerous may not send INFO: the board is then without the server's numbers, not without an
 * answer.
 */
const adapterOf = (queue: Queue): BullMQAdapter => {
  const adapter = new BullMQAdapter(queue)
  const ask = adapter.getRedisInfo.bind(adapter)
  adapter.getRedisInfo = async () => ask().catch(() => '')
  return adapter
}

/** Undefined for what has none of its own: `chrome-extension:`, `data:` and the like are opaque, and say `null`. */
const originOf = (address: string): string | undefined => {
  const origin = URL.canParse(address) ? new URL(address).origin : 'null'
  return origin === 'null' ? undefined : origin
}

/**
 * Whether a request was caused by another site. Browsers say so in Sec-Fetch-Site (on https and localhost), else in
 * Origin, which they send with everything that is not GET or HEAD, else in Referer. A request with none of the three
 * does not come from a page.
 */
const isFromElsewhere = (request: FastifyRequest, publicOrigin: string | undefined): boolean => {
  const { headers } = request
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  const named = headers.origin ?? headers.referer
  if (named === undefined) return false
  const origin = originOf(named)
  // Operators may reach us by an inner address as well: the page then comes from the host the request goes to.
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
 * Mounts the board. Requests without login get 401, after many wrong ones 429; from other sites, or to what the policy
 * does not allow, 403.
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
      // People choose this password: once too many were wrong, none is looked at, not even a right one. The commands do
      // without the board.
      const blocked = await options.wrongLogins(request, 'look')
      if (blocked !== undefined) return tooMany(reply, blocked)
      if (!isLogin(authorization)) {
        // A browser's first request has no login yet, and asks by it for the prompt.
        const wait = authorization === undefined ? undefined : await options.wrongLogins(request)
        if (wait !== undefined) return tooMany(reply, wait)
        reply.header('www-authenticate', 'Basic realm="Reconsent operations", charset="UTF-8"')
        return reply.code(401).send({ error: 'unauthorized', message: 'log in with OPS_USER and OPS_PASSWORD' })
      }
      if (isFromElsewhere(request, publicOrigin)) return refuse(reply, 'requests from other sites are refused')
      const route = (request.routeOptions.url ?? '').slice(BOARD_PATH.length)
      if (actOf(request.method, route === '' ? '/' : route) === 'destroy' && !options.allowDestructive) {
        return refuse(reply, 'this could destroy or forge jobs; policy board.allowDestructive is off')
      }
      return undefined
    })
    scope.addHook('onSend', async (_request, reply, payload) => {
      reply.headers(HEADERS)
      // The page asks Google for fonts, which the policy above refuses: it need not try.
      const isPage = typeof payload === 'string' && String(reply.getHeader('content-type')).startsWith('text/html')
      return isPage ? payload.replace(/<link href="https:\/\/fonts[^>]*>/, '') : payload
    })
    // Without a handler of its own, an unknown path below the board would answer without login.
    scope.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: 'not found' }))
    await scope.register(adapter.registerPlugin())
  }
  await app.register(board, { prefix: BOARD_PATH })
}
