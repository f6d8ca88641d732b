// The web server: puts routes, headers, limits and timeouts together. It gets the use cases as functions and contains
// no rule itself.
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { registerApi } from './api/register-api.ts'
import type { ApiDeps } from './api/register-api.ts'
import type { BoardOptions } from './board.ts'
import { registerExactRoutes } from './exact-routes.ts'
import { answerClientError, answerUnroutable, registerFallback } from './fallback.ts'
import { defaultLimits, registerLimits } from './limits.ts'
import type { LimitOptions } from './limits.ts'
import { registerRequestLog } from './request-log.ts'
import { registerAssets } from './routes/assets.ts'
import { registerCallback } from './routes/callback.ts'
import { registerDone } from './routes/done.ts'
import type { DoneDeps } from './routes/done.ts'
import { registerHealth } from './routes/health.ts'
import type { HealthDeps, HealthTimes } from './routes/health.ts'
import { registerStart } from './routes/start.ts'
import type { StartDeps } from './routes/start.ts'
import { registerSecurity } from './security.ts'
import { servedAddress } from './served-address.ts'

/** All in milliseconds. */
export interface HttpTimes extends HealthTimes {
  /** From the connection to the end of the headers. */
  readonly headersMs: number
  /** From the connection to the end of the body. */
  readonly requestMs: number
  /** The longest time without a byte in either direction; longer than any answer takes. */
  readonly idleMs: number
  /** The longest pause between two requests; longer than the 60 s for which load balancers keep a connection. */
  readonly keepAliveMs: number
  /** How often `headersMs` and `requestMs` are checked. */
  readonly checkEveryMs: number
  /** The time a callback has to be committed; after it, the answer is that the callback was not stored. */
  readonly commitWithinMs: number
  /** Requests that have not ended this long after `close` are cut off. */
  readonly closeWithinMs: number
}

export const defaultTimes: HttpTimes = {
  headersMs: 10_000,
  requestMs: 15_000,
  idleMs: 90_000,
  keepAliveMs: 72_000,
  checkEveryMs: 1_000,
  commitWithinMs: 15_000,
  closeWithinMs: 8_000,
  maxLagMs: 5_000,
  readyWithinMs: 5_000,
}

export interface HealthServerDeps extends HealthDeps {
  readonly log: Log
  readonly metrics: Metrics
  readonly times?: Partial<HttpTimes> | undefined
}

interface OwnDeps {
  /** PUBLIC_URL: scheme and host. */
  readonly publicUrl: string
  readonly renewalOfToken: (token: string) => string | undefined
  /** Undefined when there is no board. */
  readonly board: Omit<BoardOptions, 'publicUrl' | 'wrongLogins'> | undefined
  readonly limits?: Partial<LimitOptions> | undefined
  /**
   * Proxies (addresses or CIDR ranges) whose X-Forwarded-For names the client. None by default: anybody can send that
   * header. Behind a proxy that is not listed, limits per address see the proxy's address; they count failures only, so
   * that is safe.
   */
  readonly trustedProxies?: readonly string[] | undefined
}

export type ServerDeps = OwnDeps & HealthServerDeps & StartDeps & DoneDeps & ApiDeps

export interface HttpServer {
  /** For tests that need no connection. */
  readonly app: FastifyInstance
  /** Resolves to the URL that the server listens on. */
  listen(address: { host: string; port: number }): Promise<string>
  /** From now on `/readyz` answers 503, while every other request is still served. */
  setUnready(): void
  /** Takes no new connection and lets running requests end; those that still run after `closeWithinMs` are cut off. */
  close(): Promise<void>
}

/** More than any page's form needs; routes set lower limits. */
const BODY_LIMIT = 64 * 1024
/** A start link's token has 43 characters. */
const MAX_PARAMETER_LENGTH = 200

const makeApp = (times: HttpTimes, trustedProxies: readonly string[] | undefined): FastifyInstance =>
  fastify({
    logger: false,
    trustProxy: trustedProxies === undefined || trustedProxies.length === 0 ? false : [...trustedProxies],
    bodyLimit: BODY_LIMIT,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    rewriteUrl: ({ url = '/' }) => servedAddress(url),
    // A slow connection occupies a socket until one of these timeouts ends it, and never delays another client.
    http: { headersTimeout: times.headersMs, connectionsCheckingInterval: times.checkEveryMs },
    requestTimeout: times.requestMs,
    connectionTimeout: times.idleMs,
    keepAliveTimeout: times.keepAliveMs,
    // While it closes, Fastify would refuse requests that still arrive on open connections: it is better to take a
    // callback than to lose it.
    return503OnClosing: false,
    frameworkErrors: answerUnroutable,
    clientErrorHandler: answerClientError,
  })

/** The app with everything that its routes have in common. */
const openApp = async (
  deps: HealthServerDeps,
  {
    times,
    publicUrl,
    trustedProxies,
  }: { times: HttpTimes; publicUrl: URL; trustedProxies?: readonly string[] | undefined },
): Promise<FastifyInstance> => {
  const app = makeApp(times, trustedProxies)
  registerRequestLog(app, deps)
  await registerSecurity(app, publicUrl)
  registerExactRoutes(app)
  registerFallback(app, deps)
  return app
}

const serve = (app: FastifyInstance, setUnready: () => void, times: HttpTimes): HttpServer => {
  const close = async (): Promise<void> => {
    setUnready()
    const cut = setTimeout(() => app.server.closeAllConnections(), times.closeWithinMs)
    try {
      await app.close()
    } finally {
      clearTimeout(cut)
    }
  }
  let closed: Promise<void> | undefined
  return {
    app,
    listen: async ({ host, port }) => {
      await app.listen({ host, port })
      const { address, family, port: taken } = app.server.address() as AddressInfo
      const reachable =
        address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '[::1]' : family === 'IPv6' ? `[${address}]` : address
      return `http://${reachable}:${taken}`
    },
    setUnready,
    close: () => (closed ??= close()),
  }
}

/** Makes the whole web role. Throws when `publicUrl` has a path: pages and links are made for the root of a host. */
export const makeServer = async (deps: ServerDeps): Promise<HttpServer> => {
  const times = { ...defaultTimes, ...deps.times }
  const publicUrl = new URL(deps.publicUrl)
  if (publicUrl.pathname !== '/') throw new TypeError('PUBLIC_URL must be a host of its own, without a path')
  const app = await openApp(deps, { times, publicUrl, trustedProxies: deps.trustedProxies })
  const renewalOf = (request: FastifyRequest): string => {
    const { token = '' } = (request.params ?? {}) as { token?: string }
    return deps.renewalOfToken(token) ?? ''
  }
  const limits = await registerLimits(app, { options: { ...defaultLimits, ...deps.limits }, renewalOf })
  registerAssets(app)
  registerStart(app, { ...deps, publicUrl, limits })
  registerCallback(app, { ...deps, limits, commitWithinMs: times.commitWithinMs })
  registerDone(app, deps)
  registerApi(app, { ...deps, publicUrl, limits, commitWithinMs: times.commitWithinMs })
  const setUnready = registerHealth(app, { ...deps, times })
  if (deps.board !== undefined) {
    // A tenth of everything that is loaded, for those alone who have a board.
    const { registerBoard } = await import('./board.ts')
    await registerBoard(app, { ...deps.board, publicUrl: deps.publicUrl, wrongLogins: limits.wrongLogins })
  }
  await app.ready()
  return serve(app, setUnready, times)
}

/** Makes a server with only health and metrics, for processes without the web role. */
export const makeHealthServer = async (deps: HealthServerDeps): Promise<HttpServer> => {
  const times = { ...defaultTimes, ...deps.times }
  const app = await openApp(deps, { times, publicUrl: new URL('http://localhost') })
  const setUnready = registerHealth(app, { ...deps, times })
  await app.ready()
  return serve(app, setUnready, times)
}
