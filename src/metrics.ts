// The numbers of one process, for Prometheus. Labels come from short lists; anything else is counted as `other`, so that nothing a
// stranger sends can become a label.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Proof } from './domain/proof.ts'
import type { QueueName } from './queue/port.ts'
import type { CallbackAnswer, RecordKind } from './store/port.ts'

export interface Counts {
  /** Consents by status. */
  readonly consents: Readonly<Record<string, number>>
  /** Since the last good sweep; undefined when there was none. */
  readonly sweepAgeSeconds: number | undefined
  /** How long the longest overdue record of each kind has waited; 0 when none does. */
  readonly overdueSeconds?: Readonly<Partial<Record<RecordKind, number>>> | undefined
  /** What an operator should look at: consents without a usable address, messages and exchanges of unknown outcome, holds. */
  readonly attention?: Readonly<Partial<Record<(typeof attentions)[number], number>>> | undefined
}

const attentions = ['without-channel', 'uncertain-notifications', 'unknown-authorisations', 'provider-holds'] as const
const kinds = ['consent', 'authorisation', 'notification'] as const satisfies readonly RecordKind[]

const queues = ['sweep', 'reauth', 'notify', 'exchange'] as const satisfies readonly QueueName[]
const jobResults = ['done', 'skipped', 'snoozed', 'retry', 'failed', 'released'] as const
const endpoints = ['reauthuri', 'token', 'refresh', 'me'] as const
const successes = ['link', 'tokens', 'me'] as const
const failures = ['rejected', 'refused', 'denied', 'token-rejected', 'not-processed', 'unavailable', 'unknown', 'held'] as const
const providerAnswers = [...successes, ...failures] as const
const messageResults = ['sent', 'uncertain', 'failed', 'away', 'deferred', 'postponed', 'cancelled'] as const
const bases = [
  'later-than-known',
  'created-or-updated-since',
  'full-validity-since',
  'clean-exchange-without-dates',
  'refresh-after-expiry',
] as const satisfies readonly Extract<Proof, { proven: true }>['basis'][]
const callbackAnswers = ['accepted', 'already', 'closed', 'unknown-state', 'malformed', 'failed'] as const satisfies readonly (
  | CallbackAnswer['kind']
  | 'malformed'
  | 'failed'
)[]
const alerts = ['messages-per-hour', 'mail-away', 'provider-paused', 'sweep-late'] as const
const consentStatuses = ['active', 'paused', 'quarantined', 'lapsed', 'revoked', 'opted_out', 'superseded', 'unsupported'] as const
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

export interface Metrics {
  readonly registry: Registry
  recordJob(run: { queue: QueueName; result: (typeof jobResults)[number]; seconds: number }): void
  recordProviderCall(endpoint: (typeof endpoints)[number], answer: (typeof providerAnswers)[number]): void
  recordMessage(result: (typeof messageResults)[number]): void
  /** A proven renewal, by what proved it. */
  recordRenewal(basis: string): void
  recordCallback(answer: (typeof callbackAnswers)[number]): void
  /** `route` is the pattern, never the address. */
  recordHttp(request: { method: string; route: string; status: number; seconds: number }): void
  /** Whether the queue's backend took what was last tried on it. */
  recordQueue(usable: boolean): void
  /** The alerts of the log, by their name. */
  recordAlert(name: (typeof alerts)[number]): void
}

const oneOf = (allowed: readonly string[], value: string): string => (allowed.includes(value) ? value : 'other')

/** Longer than any usual interval between two scrapes would be too stale, shorter would let scrapes load the database. */
const COUNTS_LAST_MS = 15_000

/** `collectCounts` asks the database, at most every 15 s; a failure takes its numbers out instead of leaving old ones. */
export const makeMetrics = ({ collectCounts }: { collectCounts: () => Promise<Counts> }): Metrics => {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const jobs = new Counter({
    name: 'reconsent_jobs_total',
    help: 'Runs of jobs, by queue and result.',
    labelNames: ['queue', 'result'],
    registers,
  })
  const jobSeconds = new Histogram({
    name: 'reconsent_job_duration_seconds',
    help: 'How long runs of jobs took, by queue.',
    labelNames: ['queue'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60],
    registers,
  })
  const providerCalls = new Counter({
    name: 'reconsent_provider_calls_total',
    help: 'Calls to the provider, by endpoint and kind of answer.',
    labelNames: ['endpoint', 'answer'],
    registers,
  })
  const messages = new Counter({
    name: 'reconsent_messages_total',
    help: 'Messages, by what became of them.',
    labelNames: ['result'],
    registers,
  })
  const renewals = new Counter({
    name: 'reconsent_renewals_total',
    help: 'Proven renewals, by what proved them.',
    labelNames: ['basis'],
    registers,
  })
  const callbacks = new Counter({
    name: 'reconsent_callbacks_total',
    help: 'Callbacks, by what was answered.',
    labelNames: ['answer'],
    registers,
  })
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
  const raised = new Counter({
    name: 'reconsent_alerts_total',
    help: 'Alerts raised in the log, by name.',
    labelNames: ['name'],
    registers,
  })
  const queueUsable = new Gauge({
    name: 'reconsent_queue_usable',
    help: 'Whether the backend of the queue took what this process last wrote to try it (1) or not (0).',
    registers,
  })
  // From the start at zero: an alert rule on a rise needs something to rise from.
  for (const name of alerts) raised.inc({ name }, 0)
  for (const result of messageResults) messages.inc({ result }, 0)
  for (const answer of callbackAnswers) callbacks.inc({ answer }, 0)

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
    help: 'Since the last good sweep, whichever process did it. Missing when there was none.',
    // A gauge without labels always shows a number; one label, always the same, lets it be missing.
    labelNames: ['queue'],
    registers,
    async collect() {
      this.reset()
      const counts = await counted()
      if (counts?.sweepAgeSeconds !== undefined) this.set({ queue: 'sweep' }, counts.sweepAgeSeconds + counts.ageSeconds())
    },
  })

  return {
    registry,
    recordJob: ({ queue, result, seconds }) => {
      jobs.inc({ queue: oneOf(queues, queue), result: oneOf(jobResults, result) })
      jobSeconds.observe({ queue: oneOf(queues, queue) }, seconds)
    },
    recordProviderCall: (endpoint, answer) =>
      providerCalls.inc({ endpoint: oneOf(endpoints, endpoint), answer: oneOf(providerAnswers, answer) }),
    recordMessage: (result) => messages.inc({ result: oneOf(messageResults, result) }),
    recordRenewal: (basis) => renewals.inc({ basis: oneOf(bases, basis) }),
    recordCallback: (answer) => callbacks.inc({ answer: oneOf(callbackAnswers, answer) }),
    recordHttp: ({ method, route, status, seconds }) => {
      requests.inc({ method: oneOf(methods, method), route, status })
      requestSeconds.observe({ route }, seconds)
    },
    recordQueue: (usable) => queueUsable.set(usable ? 1 : 0),
    recordAlert: (name) => raised.inc({ name: oneOf(alerts, name) }),
  }
}

/** One question at a time and at most every 15 s; undefined while it cannot be answered. */
const rememberCounts = (collectCounts: () => Promise<Counts>) => {
  let asked: { readonly at: number; readonly counts: Promise<Counts | undefined> } | undefined
  return async (): Promise<(Counts & { ageSeconds(): number }) | undefined> => {
    const now = performance.now()
    if (asked === undefined || now - asked.at >= COUNTS_LAST_MS) asked = { at: now, counts: collectCounts().catch(() => undefined) }
    const { at, counts } = asked
    const known = await counts
    return known === undefined ? undefined : { ...known, ageSeconds: () => (performance.now() - at) / 1000 }
  }
}
