// The metrics of one process, for Prometheus. Each is declared at one place in `makeMetrics`: its name, its help, its
// labels with their values, and the function that records it. Labels come from closed lists; any other value is counted
// as `other`, so that nothing a stranger sends can become a label.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { consentTransitions } from './domain/lifecycle.ts'
import type { ConsentStatus } from './domain/model.ts'
import { routeCalls } from './domain/routes.ts'
import { alertNames } from './log.ts'
import type { RecordKind } from './records.ts'

/** Numbers that are read from the database when the metrics are scraped. */
export interface Counts {
  /** Consents by status; a status that is not listed has none. */
  readonly consents: Readonly<Partial<Record<ConsentStatus, number>>>
  /** Time since the last successful sweep; undefined when there was none. */
  readonly sweepAgeSeconds: number | undefined
  /** How long the longest overdue record of each kind has waited; 0 when none is overdue. */
  readonly overdueSeconds: Readonly<Record<RecordKind, number>>
  /** How long the oldest event without a place in the feed has waited; 0 when there is none. */
  readonly feedLagSeconds: number
  /**
   * What an operator should look at: consents without a usable address, messages and exchanges in doubt, open circuits,
   * endpoints of webhooks that were disabled, or are long behind.
   */
  readonly attention: Readonly<Record<Attention, number>>
}
type Attention =
  | 'without-channel'
  | 'uncertain-notifications'
  | 'authorisations-in-doubt'
  | 'open-circuits'
  | 'webhooks-disabled'
  | 'webhooks-behind'

const queues = ['sweep', 'reauth', 'notify', 'exchange'] as const
const jobResults = ['done', 'skipped', 'snoozed', 'retry', 'failed', 'released'] as const
const successes = ['link', 'tokens', 'me'] as const
const failures = [
  'rejected',
  'refused',
  'denied',
  'token-rejected',
  'not-processed',
  'unavailable',
  'in-doubt',
  'circuit-open',
] as const
const providerAnswers = [...successes, ...failures] as const
const bases = [
  'later-than-known',
  'created-or-updated-since',
  'full-validity-since',
  'clean-exchange-without-dates',
  'refresh-after-expiry',
] as const
const accessOutcomes = [
  'cached',
  'refreshed',
  'refused',
  'rejected',
  'in-doubt',
  'not-processed',
  'circuit-open',
  'put-off',
] as const
const consentStatuses = Object.keys(consentTransitions) as ConsentStatus[]
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

const OTHER = 'other'
const oneOf = (allowed: readonly string[], value: string | undefined): string =>
  value !== undefined && allowed.includes(value) ? value : OTHER

/** A label and the values that it may have, besides `other`. */
type Label = readonly [name: string, values: readonly string[]]

/** Every combination of one value of each label. */
const combinations = (labels: readonly Label[]): Record<string, string>[] =>
  labels.reduce<Record<string, string>[]>(
    (before, [label, values]) => before.flatMap((some) => values.map((value) => ({ ...some, [label]: value }))),
    [{}],
  )

/**
 * Counts by labels from closed lists. Each combination exists from the start, at zero: Prometheus sees a rise only from
 * a value that it has seen before. If a counter began with its first failure, the alert on failures would stay silent.
 * Returns the function that records one event: it takes a value of each label, in the order of the labels.
 */
const countBy = <const Labels extends readonly Label[]>(
  registry: Registry,
  { name, help, labels }: { name: string; help: string; labels: Labels },
) => {
  const counter = new Counter({ name, help, labelNames: labels.map(([label]) => label), registers: [registry] })
  const known = labels.map(([label, values]) => [label, [...values, OTHER]] as const)
  for (const combination of combinations(known)) counter.inc(combination, 0)
  return (...values: { readonly [Index in keyof Labels]: Labels[Index][1][number] }): void =>
    counter.inc(Object.fromEntries(labels.map(([label, allowed], index) => [label, oneOf(allowed, values[index])])))
}

/**
 * How long counts are reused. More than a usual interval between two scrapes would be too stale; with less, scrapes
 * would load the database.
 */
const COUNTS_LAST_MS = 15_000

/**
 * The default metrics want to look every 10 ms whether the event loop is late. That wakes a process a hundred times a
 * second, most of what it costs at rest. So they never look, and what they would say of it is left out;
 * `nodejs_eventloop_lag_seconds`, measured at each scrape, stays, and `/livez` watches the loop by itself.
 */
const NEVER_MS = 2 ** 31 - 1
const loopDelays = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'] as const

/**
 * `collectCounts` queries the database, at most every 15 s; when it fails, its metrics are missing instead of showing
 * old values.
 */
export const makeMetrics = ({ collectCounts }: { collectCounts: () => Promise<Counts> }) => {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS })
  for (const name of loopDelays) registry.removeSingleMetric(`nodejs_eventloop_lag_${name}_seconds`)

  const counted = rememberCounts(collectCounts)
  new Gauge({
    name: 'reconsent_counts_readable',
    help: 'Whether the database could be asked for the numbers below (1) or not (0).',
    registers,
    async collect() {
      this.set((await counted()) === undefined ? 0 : 1)
    },
  })
  /**
   * A gauge over the counts, with one label. A number that is not known is missing, not 0; a gauge without labels would
   * always show a number.
   */
  const gauge = (of: { name: string; help: string; label: string; read: (counts: AgedCounts) => Numbers }): void => {
    new Gauge({
      name: of.name,
      help: of.help,
      labelNames: [of.label],
      registers,
      async collect() {
        this.reset()
        const counts = await counted()
        if (counts === undefined) return
        for (const [value, number] of Object.entries(of.read(counts)))
          if (number !== undefined) this.set({ [of.label]: value }, number)
      },
    })
  }
  gauge({
    name: 'reconsent_consents',
    help: 'Consents, by status.',
    label: 'status',
    read: ({ consents }) => Object.fromEntries(consentStatuses.map((status) => [status, consents[status] ?? 0])),
  })
  gauge({
    name: 'reconsent_overdue_seconds',
    help: 'How long the longest overdue record has waited, by kind.',
    label: 'kind',
    read: ({ overdueSeconds }) => overdueSeconds,
  })
  gauge({
    name: 'reconsent_feed_lag_seconds',
    help:
      'How long the oldest committed event without a place in the feed has waited since it was written; 0 when ' +
      'none waits.',
    label: 'feed',
    read: ({ feedLagSeconds }) => ({ events: feedLagSeconds }),
  })
  gauge({
    name: 'reconsent_attention',
    help: 'Records that an operator should look at, by reason.',
    label: 'reason',
    read: ({ attention }) => attention,
  })
  gauge({
    name: 'reconsent_sweep_age_seconds',
    help: 'Since the last successful sweep, whichever process did it. Missing when there was none.',
    label: 'queue',
    read: ({ sweepAgeSeconds, ageSeconds }) => ({
      sweep: sweepAgeSeconds === undefined ? undefined : sweepAgeSeconds + ageSeconds(),
    }),
  })

  const countJob = countBy(registry, {
    name: 'reconsent_jobs_total',
    help: 'Runs of jobs, by queue and result.',
    labels: [
      ['queue', queues],
      ['result', jobResults],
    ],
  })
  const jobSeconds = new Histogram({
    name: 'reconsent_job_duration_seconds',
    help: 'How long runs of jobs took, by queue.',
    labelNames: ['queue'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60],
    registers,
  })
  // The routes are not known here, so nothing starts at zero; no alert uses this counter.
  const requests = new Counter({
    name: 'reconsent_http_requests_total',
    help: 'HTTP requests, by method, route pattern and status.',
    labelNames: ['method', 'route', 'status'],
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'reconsent_http_request_duration_seconds',
    help: 'How long HTTP requests took, by route pattern.',
    labelNames: ['route'],
    buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10],
    registers,
  })
  const queueUsable = new Gauge({
    name: 'reconsent_queue_usable',
    help: 'Whether the backend of the queue took what this process last wrote to try it (1) or not (0).',
    registers,
  })

  return {
    registry,
    recordJob: ({ queue, result, seconds }: Job): void => {
      countJob(queue, result)
      jobSeconds.observe({ queue: oneOf(queues, queue) }, seconds)
    },
    /** By endpoint and answer. */
    recordProviderCall: countBy(registry, {
      name: 'reconsent_provider_calls_total',
      help: 'Calls to the provider, by endpoint and answer.',
      labels: [
        ['endpoint', [...routeCalls, 'refresh', 'me']],
        ['answer', providerAnswers],
      ],
    }),
    recordMessage: countBy(registry, {
      name: 'reconsent_messages_total',
      help: 'Messages, by what became of them.',
      labels: [
        ['result', ['sent', 'uncertain', 'failed', 'repeated', 'unavailable', 'deferred', 'postponed', 'cancelled']],
      ],
    }),
    recordRenewal: countBy(registry, {
      name: 'reconsent_renewals_total',
      help: 'Proven renewals, by what proved them.',
      labels: [['basis', bases]],
    }),
    recordCallback: countBy(registry, {
      name: 'reconsent_callbacks_total',
      help: 'Callbacks, by what was answered.',
      labels: [['answer', ['accepted', 'already', 'closed', 'unknown-state', 'malformed', 'failed']]],
    }),
    recordWebhook: countBy(registry, {
      name: 'reconsent_webhook_deliveries_total',
      help: 'Tries to deliver a webhook, by result; `given-up` is the last of an event.',
      labels: [['result', ['delivered', 'failed', 'given-up']]],
    }),
    recordAccessToken: countBy(registry, {
      name: 'reconsent_access_tokens_total',
      help: 'Requests for access tokens, by what became of them; each refresh that was made is one.',
      labels: [['outcome', accessOutcomes]],
    }),
    /** `route` is the route's pattern, never the address. */
    recordHttp: ({ method, route, status, seconds }: HttpRequest): void => {
      requests.inc({ method: oneOf(methods, method), route, status })
      requestSeconds.observe({ route }, seconds)
    },
    /** Whether the queue's backend accepted the last test write. */
    recordQueue: (usable: boolean): void => queueUsable.set(usable ? 1 : 0),
    /** An alert of the log, by its name. */
    recordAlert: countBy(registry, {
      name: 'reconsent_alerts_total',
      help: 'Alerts raised in the log, by name.',
      labels: [['name', alertNames]],
    }),
  }
}

export type Metrics = ReturnType<typeof makeMetrics>

interface Job {
  readonly queue: (typeof queues)[number]
  readonly result: (typeof jobResults)[number]
  readonly seconds: number
}

interface HttpRequest {
  readonly method: string
  readonly route: string
  readonly status: number
  readonly seconds: number
}

type Numbers = Readonly<Record<string, number | undefined>>
/** With the time that has passed since the counts were read. */
type AgedCounts = Counts & { ageSeconds(): number }

/** Queries at most every 15 s, and shares the answer until then; undefined while the counts cannot be read. */
const rememberCounts = (collectCounts: () => Promise<Counts>) => {
  let asked: { readonly at: number; readonly counts: Promise<Counts | undefined> } | undefined
  return async (): Promise<AgedCounts | undefined> => {
    const now = performance.now()
    if (asked === undefined || now - asked.at >= COUNTS_LAST_MS)
      asked = { at: now, counts: collectCounts().catch(() => undefined) }
    const { at, counts } = asked
    const known = await counts
    return known === undefined ? undefined : { ...known, ageSeconds: () => (performance.now() - at) / 1000 }
  }
}
