// A whole company on real parts: PostgreSQL, a queue of either kind, the simulator with its mail server, and the roles
// of any number of Reconsent processes, all in this process so that a test can move their clock.
import { randomUUID } from 'node:crypto'
import type { DateTime } from 'luxon'
import { inject } from 'vitest'
import type { Decision } from '../../simulator/src/bank.ts'
import { movableClock } from '../../simulator/src/clock.ts'
import { startSimulator } from '../../simulator/src/start-simulator.ts'
import { loadConfig } from '../../src/config.ts'
import type { PolicyInput } from '../../src/config/define-config.ts'
import { sha256Hex } from '../../src/crypto/hashing.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import type { Consent } from '../../src/domain/model.ts'
import { makeLog } from '../../src/log.ts'
import { type Reconsent, type Role, startReconsent } from '../../src/main.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open-store.ts'
import { sealToken } from '../../src/store/refresh-token.ts'
import { detailsRow } from '../../src/store/rows.ts'
import { aConsent } from '../builders.ts'
import { keyText } from '../crypto/keys.ts'
import { createDatabase } from './database.ts'
import { freePort } from './free-port.ts'
import { recordImport } from './record-import.ts'

export interface CompanyOptions {
  readonly queue: 'redis' | 'postgres'
  /** The roles of each process. */
  readonly processes: readonly (readonly Role[])[]
  readonly policy?: PolicyInput
  /** Another Redis than that of the test run, which the test may stop. */
  readonly redisUrl?: string
  /**
   * The address of a migrated database, with the role that the application uses; by default a new database with its
   * owner's role.
   */
  readonly databaseUrl?: string
  /** Collects log lines. */
  readonly logTo?: NodeJS.WritableStream
}

/** The key with which the company's own systems authenticate. */
export const API_KEY = 'api-key-of-tests'

/** Short timings, so that no test waits for a production interval. */
const quick: NonNullable<PolicyInput['timing']> = {
  lease: '10s',
  queuedFor: '3s',
  codeTimer: '500ms',
  jobDeadline: '9s',
  stopWithin: '12s',
  unreadyFor: '300ms',
  requestTimeout: '8s',
  retry: { attempts: 3, firstDelay: '200ms' },
}

export const startCompany = async ({
  queue,
  processes,
  policy = {},
  redisUrl,
  databaseUrl: givenUrl,
  logTo,
}: CompanyOptions) => {
  const clock = movableClock()
  const databaseUrl = givenUrl ?? (await createDatabase())
  const port = await freePort()
  const publicUrl = `http://127.0.0.1:${port}`
  const redirectUri = `${publicUrl}/callback`
  const simulator = await startSimulator({
    clientId: 'client',
    clientSecret: 'client-secret-of-tests',
    redirectUris: [redirectUri],
    clock,
  })
  const env = {
    NODE_ENV: 'test',
    DATABASE_URL: databaseUrl,
    QUEUE: queue,
    REDIS_URL: redisUrl ?? inject('redisUrl'),
    TRUELAYER_AUTH_URL: simulator.url,
    TRUELAYER_API_URL: simulator.url,
    TRUELAYER_CLIENT_ID: 'client',
    TRUELAYER_CLIENT_SECRET: 'client-secret-of-tests',
    PUBLIC_URL: publicUrl,
    HOST: '127.0.0.1',
    PORT: String(port),
    ENCRYPTION_KEYS: `k1:${keyText('k1')}`,
    SMTP_URL: simulator.smtpUrl,
    MAIL_FROM: 'Brightside <consents@example.com>',
    OPS_USER: 'operator',
    OPS_PASSWORD: 'operator-password',
    API_KEYS_SHA256: sha256Hex(API_KEY),
    LOG_LEVEL: logTo === undefined ? 'silent' : 'debug',
  }
  const wholePolicy: PolicyInput = {
    company: { name: 'Brightside' },
    quietHours: false,
    spread: false,
    sweep: { cron: '* * * * * *' },
    timing: quick,
    ...policy,
  }
  const needs = ['database', 'queue', 'provider', 'keys', 'web', 'channels'] as const
  const config = await loadConfig({ cwd: process.cwd(), needs, env, policy: wholePolicy })
  const log = makeLog({ level: config.logLevel, ...(logTo === undefined ? {} : { to: logTo, pretty: false }) })
  const vault = makeVault({ keys: config.keys })
  const { store, db, close } = openStore({ url: new Secret(databaseUrl), vault, connections: 5 })
  const queuePrefix = `test-${randomUUID()}`
  /** `port` 0: any free port, for a second process with the role `web`; PUBLIC_URL names the first one. */
  const start = async (roles: readonly Role[], webPort = port): Promise<Reconsent> =>
    startReconsent({ config, roles, log, clock, queuePrefix, port: roles.includes('web') ? webPort : 0 })
  const running = await Promise.all(processes.map(async (roles) => start(roles)))

  const addConsent = async (over: Partial<Consent> & { expiresAt: DateTime }): Promise<Consent> => {
    const refreshToken = `refresh-${randomUUID()}`
    const consent = aConsent({
      userId: `user-${randomUUID()}`,
      email: `${randomUUID()}@example.com`,
      redirectUri,
      ...over,
    })
    const { id, credentialsId, providerId, country, expiresAt, scopes } = consent
    simulator.seedConnection({ credentialsId, providerId, country, redirectUri, refreshToken, expiresAt, scopes })
    const now = clock.now().toJSDate()
    // In one transaction: a worker may take the consent as soon as it is committed.
    await db.prisma.$transaction(async (tx) => {
      await tx.consent.create({
        data: {
          id,
          credentialsId,
          ...detailsRow(consent),
          expiresAt: expiresAt.toJSDate(),
          expiresSource: 'imported',
          refreshToken: sealToken(vault, id, 1, new Secret(refreshToken)),
          nextActionAt: now,
          createdAt: consent.createdAt.toJSDate(),
          updatedAt: now,
        },
      })
      await recordImport(tx, consent, clock.now())
    })
    return consent
  }

  const startLinkOf = (consent: Consent): string => {
    const link = simulator.mails({ to: consent.email ?? '' })[0]?.links[0]
    if (link === undefined) throw new Error('no mail with a start link came')
    return link
  }
  /**
   * By real HTTP: the user opens the mail's link, presses the button, decides at the bank and follows the redirect.
   * Returns the page on which the user ends.
   */
  const visit = async (consent: Consent, as: Decision): Promise<string> => {
    const link = startLinkOf(consent)
    await (await fetch(link)).arrayBuffer()
    const pressed = await fetch(link, { method: 'POST', redirect: 'manual' })
    const played = await simulator.play({ link: pressed.headers.get('location') ?? '', as })
    if (played.kind !== 'callback') return played.kind
    return (await fetch(played.url)).text()
  }

  return {
    clock,
    config,
    env,
    policy: wholePolicy,
    queuePrefix,
    simulator,
    store,
    db,
    vault,
    publicUrl,
    addConsent,
    visit,
    startLinkOf,
    start,
    running,
    stop: async (): Promise<boolean[]> => {
      const ended = await Promise.all(running.map(async (one) => one.stop()))
      await close()
      await simulator.close()
      return ended
    },
  }
}

/** Polls until the value is not undefined: the test waits for the event, not for a fixed time. */
export const until = async <Value>(
  what: string,
  ask: () => Promise<Value | undefined>,
  withinMs = 30_000,
): Promise<Value> => {
  const end = Date.now() + withinMs
  for (;;) {
    const value = await ask()
    if (value !== undefined) return value
    if (Date.now() > end) throw new Error(`waited ${withinMs} ms in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
