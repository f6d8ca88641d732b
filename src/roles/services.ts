// What every role needs: the store, the provider, the metrics, the queue. Part of the composition root: it constructs
// objects and decides nothing.
import { type DateTime, Duration } from 'luxon'
import { type Clock, systemClock } from '../clock.ts'
import { type Config, requiresHttps, type Timing } from '../config.ts'
import { makeVault } from '../crypto/vault.ts'
import type { Readiness } from '../http/routes/health.ts'
import type { Log } from '../log.ts'
import { meteredLog, meteredProvider, meteredStore } from '../meter.ts'
import { type Counts, makeMetrics } from '../metrics.ts'
import { makeEnqueue } from '../processors/enqueue.ts'
import { prepareAuthorisation } from '../processors/prepare-authorisation.ts'
import { circuitBreaker } from '../processors/circuit-breaker.ts'
import { truelayerProvider } from '../provider/truelayer/client.ts'
import type { Backend } from '../queue/backend.ts'
import type { QueueState, QueueWatch } from '../queue/watch.ts'
import { makeWorkQueue } from '../queue/work-queue.ts'
import type { Listing } from '../store/administration-port.ts'
import { apiKeys } from '../store/api-keys.ts'
import { missingMigrations } from '../store/health.ts'
import { listing } from '../store/listing.ts'
import { makeRefresher } from './refresher.ts'
import { openStore } from '../store/open-store.ts'
import { namingOutages } from '../store/database-errors.ts'
import type { Store } from '../store/port.ts'
import { webhookDelivering } from '../store/webhook-deliveries.ts'
import { webhookAdministration } from '../store/webhook-endpoints.ts'
import type { WebhookAdministration } from '../store/webhook-port.ts'

export type PortName = 'store' | 'provider' | 'truelayer' | 'channel' | 'queue' | 'schedule' | 'jobs' | 'visits'

/** Something that stands around a port and passes its calls on, as the crash suite does. */
export type Wrap = <Port extends object>(name: PortName, port: Port) => Port

export interface ServicesOptions {
  /** The role `worker` also needs `channels`. */
  readonly config: Config<'database' | 'queue' | 'provider' | 'keys' | 'web'>
  readonly log: Log
  /** The system's clock by default; the demo and the tests use a clock that they move. */
  readonly clock?: Clock
  /** Around every port; nothing unless said. */
  readonly wrap?: Wrap
}

/** Stops one part; resolves to whether the part ended by itself. */
export type Stop = () => Promise<boolean>

/**
 * A process has this many connections to PostgreSQL in addition to one for each job that it may run at once. Requests
 * of the API get no more than eight of them (http/api/turns.ts).
 */
const CONNECTIONS_BESIDE_JOBS = 10
/**
 * No statement of the running program takes seconds. A statement that takes this long is stuck, or its connection is
 * dead.
 */
const STATEMENT_MS = 20_000

export const makeServices = (
  { config, log: plainLog, clock = systemClock, wrap = (_, port) => port }: ServicesOptions,
  backend: Backend,
) => {
  const { concurrency, requestTimeout } = config.timing
  const vault = makeVault({ keys: config.keys })
  const connections = concurrency.reauth + concurrency.notify + concurrency.exchange + CONNECTIONS_BESIDE_JOBS
  const opened = openStore({ url: config.database.url, vault, connections, statementMs: STATEMENT_MS })
  const { statusCounts } = listing(opened.db, config.policy.channels)
  const lists = namingOutages({ statusCounts })
  const webhooks = namingOutages({ ...webhookDelivering(opened.db), ...webhookAdministration(opened.db) })
  const { readUnrevokedApiKeys } = apiKeys(opened.db)
  const metrics = makeMetrics({
    collectCounts: async () => collectCounts({ store: opened.store, lists, webhooks, clock }),
  })
  const log = meteredLog(plainLog, metrics)
  const store = wrap('store', meteredStore(opened.store, metrics))
  const truelayer = truelayerProvider({ ...config.provider, requestTimeoutMs: requestTimeout.toMillis(), log })
  const breaker = circuitBreaker({ provider: wrap('truelayer', truelayer), store, clock, log })
  const provider = wrap('provider', meteredProvider(breaker, metrics))
  const prepare = prepareAuthorisation({ store, provider, httpsOnly: requiresHttps(config) })
  const queue = wrap('queue', makeWorkQueue(backend))
  const refresher = makeRefresher({ store, provider, clock, log, record: metrics.recordAccessToken, requestTimeout })
  return {
    config,
    wrap,
    log,
    clock,
    vault,
    store,
    db: opened.db,
    readUnrevokedApiKeys,
    webhooks,
    metrics,
    provider,
    prepare,
    refresher,
    backend,
    queue,
    enqueue: makeEnqueue({ store, queue, log, queuedFor: config.timing.queuedFor }),
    close: async () => opened.close().then(() => true),
  }
}

export type Services = ReturnType<typeof makeServices>

/**
 * A process with the role `web` stays ready while only the queue is unavailable: it takes codes, and a timer exchanges
 * them without the queue. Without that role, a process whose queue does not work does nothing, so it is not ready: a
 * roll-out that causes this must stop.
 */
const queueReadiness = (
  state: QueueState | undefined,
  isWeb: boolean,
): Pick<Readiness, 'ok' | 'degraded' | 'queue'> & { readonly why: string } => {
  if (state === undefined) return { ok: isWeb, why: 'the queue was not tried yet' }
  const { trial, ageSeconds: checked_seconds_ago } = state
  if (trial.ok) return { ok: true, why: '', queue: { ok: true, checked_seconds_ago } }
  return {
    ok: isWeb,
    degraded: 'queue',
    why: `queue: ${trial.word}: ${trial.detail}`,
    queue: { ok: false, answer: trial.word, checked_seconds_ago },
  }
}

export const healthDeps = (
  { db, log, metrics }: Services,
  watch: Pick<QueueWatch, 'latest'>,
  { isWeb }: { isWeb: boolean },
) => ({
  log,
  metrics,
  checkReady: async (): Promise<Readiness> => {
    const missing = await missingMigrations(db)
    const { ok, why, ...queue } = queueReadiness(watch.latest(), isWeb)
    if (missing.length > 0) return { ...queue, ok: false, detail: `migrations are missing: ${missing.join(', ')}` }
    return { ...queue, ok, detail: why === '' ? 'ready' : why }
  },
})

/**
 * Shares of the time that a stop may take: most of it for work to end by itself, some for work to end after it was
 * aborted; the rest is for closing connections.
 */
const STOP_WAITS = 0.6
const STOP_SETTLES = 0.2

export const stopWaits = ({ stopWithin }: Pick<Timing, 'stopWithin'>) => ({
  endsWithinMs: stopWithin.toMillis() * STOP_WAITS,
  settlesWithinMs: stopWithin.toMillis() * STOP_SETTLES,
})

/** The same limits under the names that the queue's workers use, with the deadline of a job. */
export const runnerTimings = ({ config: { timing } }: Services) => {
  const { endsWithinMs, settlesWithinMs } = stopWaits(timing)
  return { jobDeadline: timing.jobDeadline.toMillis(), stopDeadline: endsWithinMs, settle: settlesWithinMs }
}

/** An endpoint of webhooks that has waited so long for the feed's next event needs a look. */
const BEHIND_AFTER = Duration.fromObject({ hours: 1 })

const collectCounts = async ({
  store,
  lists,
  webhooks,
  clock,
}: {
  store: Store
  lists: Pick<Listing, 'statusCounts'>
  webhooks: Pick<WebhookAdministration, 'countDisabled' | 'countBehind'>
  clock: Clock
}): Promise<Counts> => {
  const now = clock.now()
  const [counts, age, disabledWebhooks, webhooksBehind] = await Promise.all([
    lists.statusCounts(now),
    store.sinceLastSweep(),
    webhooks.countDisabled(),
    webhooks.countBehind(now.minus(BEHIND_AFTER)),
  ])
  const { consent, authorisation, notification } = counts.oldestOverdue
  const overdue = (since: DateTime | undefined): number => (since === undefined ? 0 : now.diff(since).as('seconds'))
  return {
    consents: counts.consents,
    sweepAgeSeconds: age?.as('seconds'),
    overdueSeconds: {
      consent: overdue(consent),
      authorisation: overdue(authorisation),
      notification: overdue(notification),
    },
    feedLagSeconds: counts.feedLagSeconds,
    attention: {
      'without-channel': counts.withoutChannel,
      'uncertain-notifications': counts.uncertainNotifications,
      'authorisations-in-doubt': counts.authorisationsInDoubt,
      'open-circuits': counts.openCircuits.length,
      'webhooks-disabled': disabledWebhooks,
      'webhooks-behind': webhooksBehind,
    },
  }
}
