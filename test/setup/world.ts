// One company's Reconsent without its servers: the real store on a real PostgreSQL, the real processors, a real mail
// server and the simulator as the provider. There is no queue, so a test decides what runs when, and the test moves the
// clock.
import { randomUUID } from 'node:crypto'
import { type DateTime, Duration } from 'luxon'
import { movableClock } from '../../simulator/src/clock.ts'
import type { Played } from '../../simulator/src/play.ts'
import { startSimulator, type SimulatorOptions } from '../../simulator/src/start-simulator.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import type { Consent } from '../../src/domain/model.ts'
import type { Policy } from '../../src/domain/policy.ts'
import { makeLog } from '../../src/log.ts'
import { emailChannel } from '../../src/notify/email/email-channel.ts'
import { makeMessageFacts } from '../../src/notify/message-facts.ts'
import { advanceAttempt } from '../../src/processors/advance-attempt.ts'
import { circuitBreaker } from '../../src/processors/circuit-breaker.ts'
import type { Outcome, JobContext } from '../../src/processors/outcome.ts'
import { prepareAuthorisation } from '../../src/processors/prepare-authorisation.ts'
import { receiveCallback } from '../../src/processors/receive-callback.ts'
import { renewConsent } from '../../src/processors/renew-consent.ts'
import { sendNotification } from '../../src/processors/send-notification.ts'
import { leaveForBank, visitStartPage } from '../../src/processors/visit-start-page.ts'
import { truelayerProvider } from '../../src/provider/truelayer/client.ts'
import { Secret } from '../../src/secret.ts'
import { listEvents } from '../../src/store/events.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { RecordKind } from '../../src/records.ts'
import type { CallbackAnswer, RenewalPage } from '../../src/store/port.ts'
import { sealToken } from '../../src/store/refresh-token.ts'
import { detailsRow } from '../../src/store/rows.ts'
import { texts } from '../../src/texts/own-texts.ts'
import { aConsent, aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { createDatabase } from './database.ts'

export const REDIRECT_URI = 'http://127.0.0.1:3000/callback'
const PUBLIC_URL = 'http://127.0.0.1:3000'

export const aRun = (over: Partial<JobContext> = {}): JobContext => ({
  manual: false,
  isLastTry: true,
  signal: new AbortController().signal,
  ...over,
})

export type World = Awaited<ReturnType<typeof startWorld>>

export interface WorldOptions {
  readonly policy?: Partial<Policy>
  readonly switches?: SimulatorOptions['switches']
  readonly lease?: Duration
  readonly startAt?: DateTime
  /** Where our own connections go instead of to the database itself. */
  readonly through?: (databaseUrl: string) => Promise<string>
}

export const startWorld = async (options: WorldOptions = {}) => {
  const clock = movableClock(options.startAt)
  const policy = aPolicy(options.policy)
  const vault = makeVault({ keys: ringOf('k1') })
  const log = makeLog({ level: 'silent' })
  const lease = options.lease ?? Duration.fromObject({ seconds: 60 })
  const simulator = await startSimulator({
    clientId: 'client',
    clientSecret: 'client-secret',
    redirectUris: [REDIRECT_URI],
    clock,
    switches: options.switches,
  })
  const url = new Secret(await createDatabase())
  const { through = async (direct: string) => direct } = options
  const { store, db, close } = openStore({ url: new Secret(await through(url.reveal())), vault, connections: 10 })
  const client = truelayerProvider({
    authUrl: simulator.url,
    apiUrl: simulator.url,
    clientId: 'client',
    clientSecret: new Secret('client-secret'),
    requestTimeoutMs: 1_500,
  })
  const provider = circuitBreaker({ provider: client, store, clock, log })
  const channel = emailChannel({
    texts,
    smtpUrl: new Secret(simulator.smtpUrl),
    from: 'Brightside <consents@example.com>',
    // Patient: the intent is committed while the mail server waits, and a busy machine must not look like an outage.
    timeouts: { connectMs: 5_000, silenceMs: 10_000, totalMs: 20_000 },
  })
  const factsOf = makeMessageFacts({
    startLinkToken: vault.startLinkToken,
    publicUrl: PUBLIC_URL,
    company: policy.company.name,
    clock,
  })
  const prepare = prepareAuthorisation({ store, provider })
  const enqueue = async (): Promise<void> => undefined
  const queuedFor = Duration.fromMillis(0)
  const renew = renewConsent({ store, prepare, enqueue, queuedFor, clock, policy, lease })
  const send = sendNotification({ store, channels: { email: channel }, factsOf, clock, policy, lease, log })
  const advance = advanceAttempt({ store, provider, enqueue, clock, policy, lease })
  const visit = { store, prepare, renewalOfToken: vault.renewalOfToken, clock, policy, log }
  const receive = receiveCallback({ store, enqueue, clock, queuedFor })
  const jobs: Record<RecordKind, (id: string, run: JobContext) => Promise<Outcome>> = {
    consent: renew,
    notification: send,
    authorisation: advance,
  }

  /** Adds a consent to our database, as an import leaves it, and its connection to the provider. */
  const addConsent = async (over: Partial<Consent> & { expiresAt: DateTime }): Promise<Consent> => {
    const refreshToken = `refresh-${randomUUID()}`
    const consent = aConsent({ userId: `user-${randomUUID()}`, email: `${randomUUID()}@example.com`, ...over })
    const { id, credentialsId, providerId, country, redirectUri, expiresAt, scopes } = consent
    simulator.seedConnection({ credentialsId, providerId, country, redirectUri, refreshToken, expiresAt, scopes })
    const now = clock.now().toJSDate()
    await db.prisma.consent.create({
      data: {
        id,
        credentialsId,
        ...detailsRow(consent),
        status: consent.status,
        cycle: consent.cycle,
        expiresAt: expiresAt.toJSDate(),
        expiresSource: consent.expiresSource,
        refreshToken: sealToken(vault, id, 1, new Secret(refreshToken)),
        nextActionAt: consent.status === 'active' ? now : null,
        createdAt: consent.createdAt.toJSDate(),
        updatedAt: now,
      },
    })
    return consent
  }

  /** Runs all jobs that are due now until none is due; returns the outcome of each job. */
  const drain = async (): Promise<Outcome[]> => {
    const outcomes: Outcome[] = []
    for (let round = 0; round < 40; round += 1) {
      let found = 0
      for (const kind of ['authorisation', 'notification', 'consent'] as const) {
        const due = await store.dispatchDue(kind, clock.now(), 100, Duration.fromMillis(0))
        found += due.length
        for (const { id } of due) outcomes.push(await jobs[kind](id, aRun()))
      }
      if (found === 0) return outcomes
    }
    throw new Error(`something stays due: ${JSON.stringify(outcomes.slice(-6))}`)
  }

  const currentRenewal = async (consentId: string) =>
    db.prisma.renewal.findFirst({ where: { consentId }, orderBy: { cycle: 'desc' } })
  const startToken = async (consentId: string): Promise<string> =>
    vault.startLinkToken((await currentRenewal(consentId))?.id ?? randomUUID())

  /** Presses the button on the start page; returns the authorisation URL. */
  const leave = async (consentId: string): Promise<string> => leaveBy(await startToken(consentId))
  const leaveBy = async (token: string): Promise<string> => {
    const departure = await leaveForBank(visit)(token)
    if (departure.kind !== 'to-bank') throw new Error(`the user could not leave for the bank: ${departure.kind}`)
    return departure.link.reveal()
  }
  const toCallback = (played: Played) => {
    if (played.kind !== 'callback') throw new Error(`no callback came: ${played.kind}`)
    const query = played.method === 'GET' ? Object.fromEntries(new URL(played.url).searchParams) : played.form
    const state = new Secret(query['state'] ?? '')
    return query['code'] === undefined
      ? { state, bankError: query['error'] ?? '' }
      : { state, code: new Secret(query['code']) }
  }
  /** The user goes to the bank, decides, and comes back to the callback. */
  const goToBank = async (
    consentId: string,
    as: 'approve' | 'deny' | 'bank-error' | 'somebody-else',
  ): Promise<CallbackAnswer> => receive(toCallback(await simulator.play({ link: await leave(consentId), as })))

  const consentOf = async (id: string): Promise<Consent> =>
    (await store.getView(id))?.consent ?? Promise.reject(new Error('gone'))
  const tokenOf = async (id: string): Promise<string> => (await store.readRefreshToken(id)).token.reveal()
  return {
    url,
    clock,
    policy,
    vault,
    simulator,
    store,
    db,
    provider,
    client,
    channel,
    factsOf,
    jobs,
    addConsent,
    drain,
    startToken,
    leave,
    goToBank,
    toCallback,
    receive,
    consentOf,
    tokenOf,
    prepare,
    leaveBy,
    /** The renewal page of the present cycle, as the start page reads it. */
    renewalPage: async (consentId: string): Promise<RenewalPage> => {
      const page = await store.getRenewalPage((await currentRenewal(consentId))?.id ?? '')
      if (page === undefined) throw new Error('no cycle was opened')
      return page
    },
    lookAt: async (token: string) => visitStartPage(visit)(token),
    look: async (consentId: string) => visitStartPage(visit)(await startToken(consentId)),
    leaveForBank: async (consentId: string) => leaveForBank(visit)(await startToken(consentId)),
    authorisationsOf: async (consentId: string) =>
      db.prisma.authorisation.findMany({ where: { consentId }, orderBy: { issuedAt: 'asc' } }),
    notificationsOf: async (consentId: string) =>
      db.prisma.notification.findMany({ where: { consentId }, orderBy: { createdAt: 'asc' } }),
    renewalsOf: async (consentId: string) =>
      db.prisma.renewal.findMany({ where: { consentId }, orderBy: { cycle: 'asc' } }),
    eventsOf: async (consentId: string) => listEvents(db, consentId),
    mailsTo: (consent: Consent) => simulator.mails({ to: consent.email ?? '' }),
    close: async () => {
      channel.close()
      await close()
      await simulator.close()
    },
  }
}
