// Builders for the tests: a policy, a consent and the counts of a database, with defaults for every field that a test
// does not care about.
import { randomUUID } from 'node:crypto'
import { type DateTime, Duration } from 'luxon'
import type { Consent, ConsentView } from '../src/domain/model.ts'
import type { Policy } from '../src/domain/policy.ts'
import type { Counts } from '../src/metrics.ts'

export const aPolicy = (over: Partial<Policy> = {}): Policy => ({
  sweep: { cron: '*/5 * * * *' },
  channels: ['email'],
  ladder: [-14, -7, -3, -1, 0, 7, 30, 60, 83].map((days) => ({ name: days > 0 ? `+${days}d` : `${days}d`, days })),
  quietHours: false,
  spread: false,
  link: { freshFor: Duration.fromObject({ minutes: 8 }) },
  routes: ['reauth'],
  providers: {},
  afterGrace: 'nothing',
  limits: { messagesPerHour: 1000 },
  sync: { pauseAtMost: 5 },
  company: { name: 'Brightside' },
  board: { allowDestructive: false },
  ...over,
})

/**
 * An active consent, given 90 days before its expiry, at a bank in the UK, with a user who can be reached by e-mail.
 */
export const aConsent = (over: Partial<Consent> & { expiresAt: DateTime }): Consent => ({
  id: randomUUID(),
  credentialsId: randomUUID(),
  userId: 'user-1',
  providerId: 'uk-ob-monzo',
  providerName: 'Monzo',
  country: 'GB',
  redirectUri: 'http://127.0.0.1:3000/callback',
  scopes: ['info', 'accounts', 'balance', 'transactions', 'offline_access'],
  email: 'ada@example.com',
  phone: undefined,
  name: 'Ada',
  locale: 'en',
  timeZone: 'Europe/London',
  channels: undefined,
  status: 'active',
  cycle: 1,
  expiresSource: 'imported',
  tokenVersion: 1,
  tokenIssuedAt: undefined,
  tokenAcceptedAt: undefined,
  tokenRejectedAt: undefined,
  candidate: undefined,
  nextActionAt: over.expiresAt.minus({ days: 90 }),
  nextActionReason: undefined,
  failedAttempts: 0,
  outages: 0,
  lastErrorCode: undefined,
  retryAfter: undefined,
  mismatches: 0,
  supersededById: undefined,
  createdAt: over.expiresAt.minus({ days: 90 }),
  ...over,
})

export const aView = (consent: Consent, over: Partial<ConsentView> = {}): ConsentView => ({
  consent,
  renewal: undefined,
  authorisations: [],
  notifications: [],
  ...over,
})

/** What the metrics read from a database in which nothing is late. */
export const aCount = (over: Partial<Counts> = {}): Counts => ({
  consents: { active: 2 },
  sweepAgeSeconds: 30,
  overdueSeconds: { consent: 0, authorisation: 0, notification: 0 },
  feedLagSeconds: 0,
  attention: {
    'without-channel': 0,
    'uncertain-notifications': 0,
    'authorisations-in-doubt': 0,
    'open-circuits': 0,
    'webhooks-disabled': 0,
    'webhooks-behind': 0,
  },
  ...over,
})
