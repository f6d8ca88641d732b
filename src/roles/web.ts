// The role `web`: pages, callback, API, board, health, metrics. Part of the composition root: it constructs objects and
// decides nothing.
import { setTimeout as delay } from 'node:timers/promises'
import { requiresHttps } from '../config.ts'
import type { HealthDeps } from '../http/routes/health.ts'
import { defaultTimes, type HttpServer, makeServer } from '../http/server.ts'
import { receiveCallback } from '../processors/receive-callback.ts'
import { leaveForBank, visitStartPage } from '../processors/visit-start-page.ts'
import { queueNames } from '../queue/catalogue.ts'
import { apiDeps } from './api.ts'
import { type Services, type Stop, stopWaits } from './services.ts'

export const makeWebServer = async (services: Services, health: HealthDeps): Promise<HttpServer> => {
  const { backend, wrap, clock, config, log, store, vault, prepare } = services
  const { policy, timing, web } = config
  const visit = { store, prepare, renewalOfToken: vault.renewalOfToken, clock, policy, log }
  const ops = web.ops && {
    ...web.ops,
    queues: queueNames.map(backend.queue),
    allowDestructive: policy.board.allowDestructive,
  }
  const { endsWithinMs, settlesWithinMs } = stopWaits(timing)
  const closeWithinMs = Math.max(
    0,
    Math.min(defaultTimes.closeWithinMs, endsWithinMs + settlesWithinMs - timing.unreadyFor.toMillis()),
  )
  return makeServer({
    ...health,
    metrics: services.metrics,
    times: { closeWithinMs },
    publicUrl: web.publicUrl,
    apiKeyHashes: web.apiKeyHashes,
    readApiKeys: services.readUnrevokedApiKeys,
    trustedProxies: web.trustedProxies,
    renewalOfToken: vault.renewalOfToken,
    startLinkToken: vault.startLinkToken,
    board: ops,
    ...wrap('visits', {
      visitStartPage: visitStartPage(visit),
      leaveForBank: leaveForBank(visit),
      receiveCallback: receiveCallback({ store, enqueue: services.enqueue, clock, queuedFor: config.timing.queuedFor }),
    }),
    findConsent: store.findConsent,
    getRenewalPageByDoneId: store.getRenewalPageByDoneId,
    ...apiDeps({
      db: services.db,
      store,
      policy,
      clock,
      enqueue: services.enqueue,
      queuedFor: timing.queuedFor,
      httpsOnly: requiresHttps(config),
      publicUrl: web.publicUrl,
      giveAccessToken: services.refresher.giveAccessToken,
    }),
    policy,
    clock,
  })
}

/**
 * The server first reports that it is not ready, but still answers until load balancers have noticed; then it accepts
 * no new connection.
 */
export const stopWeb =
  (server: HttpServer, { config: { timing }, refresher }: Services): Stop =>
  async () => {
    const { endsWithinMs, settlesWithinMs } = stopWaits(timing)
    const end = performance.now() + endsWithinMs + settlesWithinMs
    server.setUnready()
    await delay(timing.unreadyFor.toMillis())
    await server.close()
    return refresher.end(Math.max(0, end - performance.now()))
  }
