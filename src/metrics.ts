// The metrics of one process, for Prometheus. Labels come from short lists; any other value is counted as `other`, so
// that nothing a stranger sends can become a label.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Proof } from './domain/proof.ts'
import type { QueueName } from './queue/port.ts'
import type { CallbackAnswer, RecordKind } from './store/port.ts'

export interface Counts {
  /** Consents by status. */
  readonly consents: Readonly<Record<string, number>>
  /** Time since the last successful sweep; undefined when there was none. */
  readonly sweepAgeSeconds: number | undefined
  /** How long the longest overdue record of each kind has waited; 0 when none is overdue. */
  readonly overdueSeconds?: Readonly<Partial<Record<RecordKind, number>>> | undefined
  /** How long the oldest event without a place in the feed has waited; 0 when there is none. */
  readonly feedLagSeconds?: number | undefined
  /**
   * What an operator should look at: consents without a usable address, messages and exchanges in doubt, open circuits.
   */
  readonly attention?: Readonly<Partial<Record<(typeof attentions)[number], number>>> | undefined
}

const attentions = ['without-channel', 'uncertain-notifications', 'authorisations-in-doubt', 'open-circuits'] as const
const kinds = ['consent', 'authorisation', 'notification'] as const satisfies readonly RecordKind[]

const queues = ['sweep', 'reauth', 'notify', 'exchange'] as const satisfies readonly QueueName[]
const jobResults = ['done', 'skipped', 'snoozed', 'retry', 'failed', 'released'] as const
const endpoints = ['reauthuri', 'token', 'refresh', 'me'] as const
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
const messageResults = ['sent', 'uncertain', 'failed', 'unavailable', 'deferred', 'postponed', 'cancelled'] as const
const bases = [
  'later-than-known',
  'created-or-updated-since',
  'full-validity-since',
  'clean-exchange-without-dates',
  'refresh-after-expiry',
] as const satisfies readonly Extract<Proof, { proven: true }>['basis'][]
const callbackAnswers = [
  'accepted',
  'already',
  'closed',
  'unknown-state',
  'malformed',
  'failed',
] as const satisfies readonly (CallbackAnswer['kind'] | 'malformed' | 'failed')[]
const alerts = ['messages-per-hour', 'message-unavailable', 'provider-circuit-open', 'sweep-late'] as const
const consentStatuses = [
  'active',
  'paused',
  'quarantined',
  'lapsed',
  'revoked',
  'opted_out',
  'superseded',
  'unsupported',
] as const
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

export interface Metrics {
  readonly registry: Registry
  recordJob(run: { queue: QueueName; result: (typeof jobResults)[number]; seconds: number }): void
  recordProviderCall(endpoint: (typeof endpoints)[number], answer: (typeof providerAnswers)[number]): void
  recordMessage(result: (typeof messageResults)[number]): void
  /** A proven renewal, by what proved it. */
  recordRenewal(basis: string): void
  recordCallback(answer: (typeof callbackAnswers)[number]): void
  /** `route` is the route's pattern, never the address. */
  recordHttp(request: { method: string; route: string; status: number; seconds: number }): void
  /** Whether the queue's backend accepted the last test write. */
  recordQueue(usable: boolean): void
  /** Counts an alert of the log, by its name. */
  recordAlert(name: (typeof alerts)[number]): void
}

const OTHER = 'other'
const oneOf = (allowed: readonly string[], value: string): string => (allowed.includes(value) ? value : OTHER)

type LabelValues = Readonly<Record<string, readonly string[]>>

/** Every combination of one value of each label. */
const combinations = (labels: LabelValues): Record<string, string>[] =>
  Object.entries(labels).reduce<Record<string, string>[]>(
    (before, [label, values]) => before.flatMap((some) => values.map((value) => ({ ...some, [label]: value }))),
    [{}],
  )

/**
 * Counts by labels from closed lists. Each combination exists from the start, at zero: Prometheus sees a rise only from
 * a value that it has seen before. If a counter began with its first failure, the alert on failures would stay silent.
 */
const countBy = <Labels extends LabelValues>(registry: Registry, name: string, help: string, labels: Labels) => {
  const counter = new Counter({ name, help, labelNames: Object.keys(labels), registers: [registry] })
  const known = Object.fromEntries(Object.entries(labels).map(([label, values]) => [label, [...values, OTHER]]))
  for (const combination of combinations(known)) counter.inc(combination, 0)
  return (values: Readonly<Record<keyof Labels & string, string>>): void => {
    const counted = Object.entries<string>(values).map(([label, value]) => [label, oneOf(labels[label] ?? [], value)])
    counter.inc(Object.fromEntries(counted) as Record<string, string>)
  }
}

/**
 * How long counts are reused. More than a usual interval between two scrapes would be too stale; with less, scrapes
 * would load the database.
 */
const COUNTS_LAST_MS = 15_000

/**
 * `collectCounts` queries the database, at most every 15 s; when it fails, its metrics are missing instead of showing
 * old values.
 */
export const makeMetrics = ({ collectCounts }: { collectCounts: () => Promise<Counts> }): Metrics => {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const countJob = countBy(registry, 'reconsent_jobs_total', 'Runs of jobs, by queue and result.', {
    queue: queues,
    result: jobResults,
  })
  const jobSeconds = new Histogram({
    name: 'reconsent_job_duration_seconds',
    help: 'How long runs of jobs took, by queue.',
    labelNames: ['queue'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60],
    registers,
  })
  const countCall = countBy(
    registry,
    'reconsent_provider_calls_total',
    'Calls to the provider, by endpoint and answer.',
    {
      endpoint: endpoints,
      answer: providerAnswers,
    },
  )
  const countMessage = countBy(registry, 'reconsent_messages_total', 'Messages, by what became of them.', {
    result: messageResults,
  })
  const countRenewal = countBy(registry, 'reconsent_renewals_total', 'Proven renewals, by what proved them.', {
    basis: bases,
  })
  const countCallback = countBy(registry, 'reconsent_callbacks_total', 'Callbacks, by what was answered.', {
    answer: callbackAnswers,
  })
  const countAlert = countBy(registry, 'reconsent_alerts_total', 'Alerts raised in the log, by name.', { name: alerts })
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
  const counted = rememberCounts(collectCounts)
  new Gauge({
    name: 'reconsent_counts_readable',
    help: 'Whether the database could be asked for the numbers below (1) or not (0).',
    registers,
    async collect() {
      this.set((await counted()) === undefined ? 0 : 1)
    },
  })
  new Gauge({
    name: 'reconsent_consents',
    help: 'Consents, by status.',
    labelNames: ['status'],
    registers,
    async collect() {
      this.reset()
      const counts = await counted()
      if (counts === undefined) return
      for (const status of consentStatuses) this.set({ status }, counts.consents[status] ?? 0)
    },
  })
  new Gauge({
    name: 'reconsent_overdue_seconds',
    help: 'How long the longest overdue record has waited, by kind.',
    labelNames: ['kind'],
    registers,
    async collect() {
      this.reset()
      const overdue = (await counted())?.overdueSeconds
      for (const kind of kinds) if (overdue?.[kind] !== undefined) this.set({ kind }, overdue[kind])
    },
  })
  new Gauge({
    name: 'reconsent_feed_lag_seconds',
    help:
      'How long the oldest committed event without a place in the feed has waited since it was written; 0 when ' +
      'none waits.',
    // Like the sweep's age below: an unknown number is missing, not 0.
    labelNames: ['feed'],
    registers,
    async collect() {
      this.reset()
      const lag = (await counted())?.feedLagSeconds
      if (lag !== undefined) this.set({ feed: 'events' }, lag)
    },
  })
  new Gauge({
    name: 'reconsent_attention',
    help: 'Records that an operator should look at, by reason.',
    labelNames: ['reason'],
    registers,
    async collect() {
      this.reset()
      const attention = (await counted())?.attention
      for (const reason of attentions) if (attention?.[reason] !== undefined) this.set({ reason }, attention[reason])
    },
  })
  new Gauge({
    name: 'reconsent_sweep_age_seconds',
    help: 'Since the last successful sweep, whichever process did it. Missing when there was none.',
    // A gauge without labels always shows a number; with one label, always the same, the number can be missing.
    labelNames: ['queue'],
    registers,
    async collect() {
      this.reset()
      const counts = await counted()
      if (counts?.sweepAgeSeconds !== undefined)
        this.set({ queue: 'sweep' }, counts.sweepAgeSeconds + counts.ageSeconds())
    },
  })

  return {
    registry,
    recordJob: ({ queue, result, seconds }) => {
      countJob({ queue, result })
      jobSeconds.observe({ queue: oneOf(queues, queue) }, seconds)
    },
    recordProviderCall: (endpoint, answer) => countCall({ endpoint, answer }),
    recordMessage: (result) => countMessage({ result }),
    recordRenewal: (basis) => countRenewal({ basis }),
    recordCallback: (answer) => countCallback({ answer }),
    recordHttp: ({ method, route, status, seconds }) => {
      requests.inc({ method: oneOf(methods, method), route, status })
      requestSeconds.observe({ route }, seconds)
    },
    recordQueue: (usable) => queueUsable.set(usable ? 1 : 0),
    recordAlert: (name) => countAlert({ name }),
  }
}

/** Queries at most every 15 s, and shares the answer until then; undefined while the counts cannot be read. */
const rememberCounts = (collectCounts: () => Promise<Counts>) => {
  let asked: { readonly at: number; readonly counts: Promise<Counts | undefined> } | undefined
  return async (): Promise<(Counts & { ageSeconds(): number }) | undefined> => {
    const now = performance.now()
    if (asked === undefined || now - asked.at >= COUNTS_LAST_MS)
      asked = { at: now, counts: collectCounts().catch(() => undefined) }
    const { at, counts } = asked
    const known = await counts
    return known === undefined ? undefined : { ...known, ageSeconds: () => (performance.now() - at) / 1000 }
  }
}
