// The composition root: the only file that constructs things. Builds the parts a process needs for its roles, starts them in order
// and stops them in the opposite one.
import type { DateTime } from 'luxon'
import { type Clock, systemClock } from './clock.ts'
import type { Config } from './config.ts'
import { makeVault } from './crypto/vault.ts'
import { type HttpServer, makeHealthServer, makeServer } from './http/server.ts'
import type { Log } from './log.ts'
import { meteredLog, meteredProvider, meteredStore } from './meter.ts'
import { type Counts, makeMetrics } from './metrics.ts'
import { composeMessage } from './notify/compose.ts'
import { makeRenderMessage } from './notify/render.ts'
import { smtpChannel } from './notify/smtp-channel.ts'
import { loadTemplates } from './notify/templates.ts'
import { feedEventJson, historyJson } from './presentation/consent-json.ts'
import { advanceAuthorisation } from './processors/advance-authorisation.ts'
import { exchangeStuckCodes } from './processors/exchange-stuck-codes.ts'
import { handOver } from './processors/hand-over.ts'
import { keepTime } from './processors/keep-time.ts'
import { prepareAuthorisation } from './processors/prepare-authorisation.ts'
import { providerGate } from './processors/provider-gate.ts'
import { receiveCallback } from './processors/receive-callback.ts'
import { recordFailure } from './processors/record-failure.ts'
import { renewConsent } from './processors/renew-consent.ts'
import { sendNotification } from './processors/send-notification.ts'
import { sweep, sweepUrgent } from './processors/sweep.ts'
import { leaveForBank, visitStartPage } from './processors/visit-start-page.ts'
import { watchEvery, watchSweep } from './processors/watch-sweep.ts'
import { truelayerProvider } from './provider/truelayer/client.ts'
import { type Backend, openBackend } from './queue/backend.ts'
import { plansFor, queueNames } from './queue/catalogue.ts'
import { intervalOf } from './queue/cron.ts'
import { startWorkers, type WorkersOptions } from './queue/runner.ts'
import { makeSweepSchedule } from './queue/schedule.ts'
import { makeWorkQueue } from './queue/work-queue.ts'
import { missingMigrations } from './store/health.ts'
import type { Listing } from './store/administration-port.ts'
import { listing } from './store/listing.ts'
import { openStore } from './store/open-store.ts'
import type { Store } from './store/port.ts'

export const roles = ['web', 'worker', 'scheduler'] as const
export type Role = (typeof roles)[number]

export interface StartOptions {
  readonly config: Config<'database' | 'queue' | 'provider' | 'keys' | 'web' | 'mail'>
  readonly roles: readonly Role[]
  readonly log: Log
  /** The system's unless said: the demo and the tests move theirs. */
  readonly clock?: Clock
  /** Namespace of our keys on a Redis that others use too. */
  readonly queuePrefix?: string
  /** Instead of the configured one; 0 for any free port. */
  readonly port?: number
}

export interface Reconsent {
  /** Where this process listens: pages and API with the role `web`, health and metrics with every role. */
  readonly url: string
  /** Unready, then no new work, then what runs is finished or let go. True when everything had ended in time. */
  stop(): Promise<boolean>
}

/** Stops one part; answers whether it ended by itself. */
type Stop = () => Promise<boolean>

/** Connections to PostgreSQL of one process: each running job needs at most one at a time. */
const CONNECTIONS_BESIDE_JOBS = 10

/** Rejects when a part does not start; what had started by then is stopped. */
export const startReconsent = async (options: StartOptions): Promise<Reconsent> => {
  const { config, roles: wanted, port = config.web.port } = options
  const stops: Stop[] = []
  const stop = async (): Promise<boolean> => {
    const ended: boolean[] = []
    for (const one of stops.splice(0).toReversed()) ended.push(await one().catch(() => false))
    return ended.every(Boolean)
  }
  try {
    const base = makeBase(options)
    stops.push(async () => base.close())
    const backend = await openBackend(config.queue, queueOptions(options))
    stops.push(async () => backend.close().then(() => true))
    const parts = makeParts(base, backend)
    const server = await (wanted.includes('web') ? makeWebServer(parts) : makeHealthServer(healthDeps(parts)))
    stops.push(async () => server.close().then(() => true))
    if (wanted.includes('worker')) stops.push(startWorkerRole(parts))
    if (wanted.includes('scheduler')) stops.push(startSchedulerRole(parts))
    const url = await server.listen({ host: config.web.host, port })
    // Unready first: whoever sends us traffic looks elsewhere while the rest still answers.
    stops.push(async () => {
      server.setUnready()
      return true
    })
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const queueOptions = ({ config, log, queuePrefix }: StartOptions): Parameters<typeof openBackend>[1] => {
  const { concurrency, retry } = config.timing
  const plans = plansFor({ concurrency, retry: { attempts: retry.attempts, firstDelayMs: retry.firstDelay.toMillis() } })
  return { log, plans, ...(queuePrefix === undefined ? {} : { prefix: queuePrefix }) }
}

/** What every role needs: the store, the provider, the clock. */
const makeBase = ({ config, log: plainLog, clock = systemClock }: StartOptions) => {
  const { concurrency, requestTimeout } = config.timing
  const vault = makeVault({ keys: config.keys })
  const connections = concurrency.reauth + concurrency.notify + concurrency.exchange + CONNECTIONS_BESIDE_JOBS
  const opened = openStore({ url: config.database.url, vault, connections })
  const lists = listing(opened.db)
  const metrics = makeMetrics({ collectCounts: async () => collectCounts({ store: opened.store, lists, clock }) })
  const log = meteredLog(plainLog, metrics)
  const store = meteredStore(opened.store, metrics)
  const client = truelayerProvider({ ...config.provider, requestTimeoutMs: requestTimeout.toMillis(), log })
  const provider = meteredProvider(providerGate({ provider: client, store, clock, log }), metrics)
  const prepare = prepareAuthorisation({ store, provider })
  return { config, log, clock, vault, store, db: opened.db, lists, metrics, provider, prepare, close: async () => opened.close().then(() => true) }
}

const collectCounts = async ({ store, lists, clock }: { store: Store; lists: Listing; clock: Clock }): Promise<Counts> => {
  const now = clock.now()
  const [counts, age] = await Promise.all([lists.statusCounts(now), store.sinceLastSweep()])
  const { consent, authorisation, notification } = counts.oldestOverdue
  const overdue = (since: DateTime | undefined): number => (since === undefined ? 0 : now.diff(since).as('seconds'))
  return {
    consents: counts.consents,
    sweepAgeSeconds: age?.as('seconds'),
    overdueSeconds: { consent: overdue(consent), authorisation: overdue(authorisation), notification: overdue(notification) },
    attention: {
      'without-channel': counts.withoutChannel,
      'uncertain-notifications': counts.uncertainNotifications,
      'unknown-authorisations': counts.unknownAuthorisations,
      'provider-holds': counts.holds.length,
    },
  }
}

/** The processors, over the base and a queue. */
const makeParts = (base: ReturnType<typeof makeBase>, backend: Backend) => {
  const { config, log, clock, vault, store, provider, prepare } = base
  const { policy, timing } = config
  const { lease, queuedFor, pageSize, maxWaiting } = timing
  const queue = makeWorkQueue(backend)
  const hand = handOver({ store, queue, log, queuedFor })
  // A mail server that takes longer than this is given up well before the job's deadline and the record's lease.
  const longest = timing.requestTimeout.toMillis()
  const timeouts = { connectMs: Math.min(longest, 10_000), silenceMs: longest, totalMs: longest }
  const channel = smtpChannel({ smtpUrl: config.mail.url, from: config.mail.from, timeouts })
  const render = makeRenderMessage({ templates: loadTemplates() })
  const { publicUrl } = config.web
  const compose = composeMessage({ render, startLinkToken: vault.startLinkToken, publicUrl, company: policy.company.name, clock })
  const sweepDeps = { store, queue, clock, log, pageSize, maxWaiting, queuedFor }
  return {
    ...base,
    backend,
    channel,
    handOver: hand,
    renew: renewConsent({ store, prepare, handOver: hand, clock, policy, lease }),
    send: sendNotification({ store, channel, compose, clock, policy, lease, log }),
    advance: advanceAuthorisation({ store, provider, handOver: hand, clock, policy, lease, log }),
    sweep: sweep(sweepDeps),
    sweepUrgent: sweepUrgent(sweepDeps),
  }
}
type Parts = ReturnType<typeof makeParts>

const healthDeps = ({ db, log, metrics }: Parts) => ({
  log,
  metrics,
  checkReady: async () => {
    const missing = await missingMigrations(db)
    return missing.length === 0 ? { ok: true, detail: 'ready' } : { ok: false, detail: `migrations are missing: ${missing.join(', ')}` }
  },
})

const makeWebServer = async (parts: Parts): Promise<HttpServer> => {
  const { backend, clock, config, lists, log, store, vault, prepare } = parts
  const { policy, web } = config
  const visit = { store, prepare, renewalOfToken: vault.renewalOfToken, clock, policy, log }
  const ops = web.ops && { ...web.ops, queues: queueNames.map(backend.queue), allowDestructive: policy.board.allowDestructive }
  return makeServer({
    ...healthDeps(parts),
    publicUrl: web.publicUrl,
    apiKeyHashes: web.apiKeyHashes,
    renewalOfToken: vault.renewalOfToken,
    startLinkToken: vault.startLinkToken,
    board: ops,
    visitStartPage: visitStartPage(visit),
    leaveForBank: leaveForBank(visit),
    receiveCallback: receiveCallback({ store, handOver: parts.handOver, clock }),
    findConsent: store.findConsent,
    getRenewalPageByDoneId: store.getRenewalPageByDoneId,
    getConsentJson: async (id) => {
      const consent = await store.findConsent(id)
      const history = consent === undefined ? undefined : await lists.getHistory(consent.id)
      return history && historyJson(history, clock.now(), policy)
    },
    listEvents: async (after, limit) => (await lists.listFeed(after, limit)).map(feedEventJson),
    policy,
    clock,
  })
}

/** Of the time a stop may take: most for running jobs to end by themselves, some for aborted ones; the rest is for closing connections. */
const STOP_WAITS = 0.6
const STOP_SETTLES = 0.2

const runnerTimings = ({ config: { timing } }: Parts): NonNullable<WorkersOptions['timings']> => ({
  jobDeadline: timing.jobDeadline.toMillis(),
  stopDeadline: timing.stopWithin.toMillis() * STOP_WAITS,
  settle: timing.stopWithin.toMillis() * STOP_SETTLES,
})

const byId = (job: (id: string, run: Parameters<Parts['renew']>[1]) => ReturnType<Parts['renew']>): NonNullable<WorkersOptions['handlers']['reauth']> =>
  async (id, run) => job(id ?? '', run)

const startWorkerRole = (parts: Parts): Stop => {
  const { backend, log, store, clock, config, advance } = parts
  const failed = recordFailure({ store, clock })
  const workers = startWorkers({
    backend,
    handlers: { reauth: byId(parts.renew), notify: byId(parts.send), exchange: byId(advance) },
    recordFailure: failed,
    onEnd: parts.metrics.recordJob,
    timings: runnerTimings(parts),
  })
  const stopping = new AbortController()
  const { codeTimer } = config.timing
  const codes = keepTime({
    name: 'codes', every: codeTimer, log, round: exchangeStuckCodes({ store, advance, clock, waited: codeTimer, log, signal: stopping.signal }),
  })
  return async () => {
    stopping.abort()
    const [ended] = await Promise.all([workers.close(), codes.stop()])
    parts.channel.close()
    return ended
  }
}

const startSchedulerRole = (parts: Parts): Stop => {
  const { backend, log, store, config } = parts
  const { cron } = config.policy.sweep
  const interval = intervalOf(cron)
  const schedule = makeSweepSchedule(backend)
  const registerSchedule = async (): Promise<void> => schedule.registerSweep(cron)
  const workers = startWorkers({ backend, handlers: { sweep: async () => parts.sweep() }, onEnd: parts.metrics.recordJob, timings: runnerTimings(parts) })
  const watchdog = keepTime({
    name: 'watchdog', every: watchEvery(interval), log, round: watchSweep({ store, sweep: parts.sweep, registerSchedule, interval, log }),
  })
  const urgent = keepTime({ name: 'urgent', every: config.timing.codeTimer, log, round: async () => void (await parts.sweepUrgent()) })
  // At the start whatever the watchdog finds: a changed pattern is registered here. While the queue is away, the watchdog repeats it.
  void registerSchedule().catch((error: unknown) => log.warn({ err: error }, 'the sweep could not be scheduled yet: the watchdog tries again'))
  return async () => {
    const [ended] = await Promise.all([workers.close(), watchdog.stop(), urgent.stop()])
    return ended
  }
}
