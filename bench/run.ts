// Measures on this machine the parts that decide throughput: `npm run bench [-- --consents 1000 --rounds 3]`.
//   dispatch   rows per second that a sweep dispatches when it need not wait for another process
//   sequence   events per second that get their place in the feed when many were committed at once
//   loop       consents per second from "due" to "message accepted by the mail server", on Redis and on PostgreSQL:
//              the same consents, provider, mail server and process for both, in turn, in one run
import { randomBytes, randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Duration } from 'luxon'
import pg from 'pg'
import { startEmbeddedPostgres } from '../simulator/embedded/postgres.ts'
import { startSimulator } from '../simulator/src/start-simulator.ts'
import { loadConfig } from '../src/config.ts'
import { makeVault } from '../src/crypto/vault.ts'
import { makeLog } from '../src/log.ts'
import { startReconsent } from '../src/main.ts'
import { placeEvents } from '../src/processors/place-events.ts'
import { Secret } from '../src/secret.ts'
import { imports } from '../src/store/import.ts'
import { migrate } from '../src/store/migrate.ts'
import { openStore } from '../src/store/open-store.ts'
import { startOwnRedis } from '../test/setup/redis.ts'

const { values } = parseArgs({
  options: { consents: { type: 'string', default: '500' }, rounds: { type: 'string', default: '3' } },
})
const atLeastOne = (name: keyof typeof values): number => {
  if (/^[1-9]\d{0,6}$/.test(values[name])) return Number(values[name])
  console.error(`--${name} must be a whole number from 1 on`)
  process.exit(2)
}
const consents = atLeastOne('consents')
const rounds = atLeastOne('rounds')
const REDIRECT_URI = 'http://127.0.0.1:3000/callback'
const keys = `bench:${randomBytes(32).toString('base64')}`

const postgres = await startEmbeddedPostgres({ durable: true })
const redis = await startOwnRedis()
const simulator = await startSimulator({
  clientId: 'bench',
  clientSecret: 'bench-secret-of-simulator',
  redirectUris: [REDIRECT_URI],
  keepMails: 10,
})

const freshDatabase = async (): Promise<string> => {
  const url = new URL(postgres.url)
  const name = `bench_${randomBytes(4).toString('hex')}`
  const admin = new pg.Client({ connectionString: url.href })
  await admin.connect()
  await admin.query(`CREATE DATABASE ${name}`)
  await admin.end()
  url.pathname = `/${name}`
  await migrate(url.href)
  return url.href
}

const configFor = async (databaseUrl: string, queue: 'redis' | 'postgres') =>
  loadConfig({
    cwd: process.cwd(),
    needs: ['database', 'queue', 'provider', 'keys', 'web', 'channels'],
    env: {
      NODE_ENV: 'test',
      DATABASE_URL: databaseUrl,
      QUEUE: queue,
      REDIS_URL: redis.url,
      ENCRYPTION_KEYS: keys,
      LOG_LEVEL: 'silent',
      TRUELAYER_AUTH_URL: simulator.url,
      TRUELAYER_API_URL: simulator.url,
      TRUELAYER_CLIENT_ID: 'bench',
      TRUELAYER_CLIENT_SECRET: 'bench-secret-of-simulator',
      PUBLIC_URL: 'http://127.0.0.1:3000',
      HOST: '127.0.0.1',
      PORT: '0',
      SMTP_URL: simulator.smtpUrl,
      MAIL_FROM: 'bench@example.com',
    },
    policy: {
      company: { name: 'Bench' },
      quietHours: false,
      spread: false,
      sweep: { cron: '* * * * * *' },
      limits: { messagesPerHour: 1_000_000 },
    },
  })

type Config = Awaited<ReturnType<typeof configFor>>

const importDue = async (config: Config, count: number): Promise<ReturnType<typeof openStore>> => {
  const opened = openStore({ url: config.database.url, vault: makeVault({ keys: config.keys }), connections: 5 })
  const expiresAt = simulator.clock.now().plus({ days: 10 })
  for (let done = 0; done < count; done += 500) {
    const rows = Array.from({ length: Math.min(500, count - done) }, () => {
      const credentialsId = randomUUID()
      const refreshToken = randomUUID()
      const bank = { providerId: 'uk-ob-monzo', providerName: 'Monzo', country: 'GB', redirectUri: REDIRECT_URI }
      simulator.seedConnection({ credentialsId, refreshToken, expiresAt, ...bank })
      return {
        ...bank,
        credentialsId,
        refreshToken: new Secret(refreshToken),
        userId: credentialsId,
        email: `${credentialsId}@example.com`,
        expiresAt,
        scopes: undefined,
        phone: undefined,
        name: undefined,
        locale: undefined,
        timeZone: undefined,
        consentedAt: undefined,
      }
    })
    await imports(opened.db, config.policy).importBatch(rows, { now: simulator.clock.now(), correct: false })
  }
  return opened
}

const secondsOf = async (work: () => Promise<void>): Promise<number> => {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

/** Rows per second. */
const dispatch = async (rows: number): Promise<number> => {
  const config = await configFor(await freshDatabase(), 'redis')
  const { store, close } = await importDue(config, rows)
  const hold = Duration.fromObject({ hours: 1 })
  const seconds = await secondsOf(async () => {
    while ((await store.dispatchDue('consent', simulator.clock.now(), 500, hold)).length > 0);
  })
  await close()
  return rows / seconds
}

/** Events per second. */
const sequence = async (rows: number): Promise<number> => {
  const config = await configFor(await freshDatabase(), 'redis')
  const { store, db, close } = await importDue(config, rows)
  const seconds = await secondsOf(async () => placeEvents({ store })(new AbortController().signal))
  const placed = await db.prisma.eventPosition.count()
  await close()
  return placed / seconds
}

/** Consents per second. */
const loop = async (queue: 'redis' | 'postgres'): Promise<number> => {
  const config = await configFor(await freshDatabase(), queue)
  const opened = await importDue(config, consents)
  const log = makeLog({ level: 'silent' })
  const reconsent = await startReconsent({
    config,
    roles: ['worker', 'scheduler'],
    log,
    clock: simulator.clock,
    queuePrefix: randomUUID(),
  })
  const seconds = await secondsOf(async () => {
    while ((await opened.db.prisma.notification.count({ where: { status: 'sent' } })) < consents)
      await new Promise((resolve) => setTimeout(resolve, 100))
  })
  await reconsent.stop()
  await opened.close()
  return consents / seconds
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
const show = (what: string, numbers: readonly number[], unit: string): void =>
  console.log(
    `${what.padEnd(20)} ${median(numbers).toFixed(0).padStart(8)} ${unit}   ` +
      `(${numbers.map((number) => number.toFixed(0)).join(', ')})`,
  )

const results = { dispatch: [] as number[], sequence: [] as number[], redis: [] as number[], postgres: [] as number[] }
for (let round = 0; round < rounds; round += 1) {
  results.dispatch.push(await dispatch(consents * 10))
  results.sequence.push(await sequence(consents * 10))
  // The queues take turns, and each is first as often as the other: whatever warms up or wears out does so for both.
  for (const queue of round % 2 === 0 ? (['redis', 'postgres'] as const) : (['postgres', 'redis'] as const))
    results[queue].push(await loop(queue))
}
console.log(
  `${consents} consents, ${rounds} rounds, median (each round); PostgreSQL durable, one process with roles ` +
    'worker and scheduler',
)
show('dispatch', results.dispatch, 'rows/s')
show('sequence', results.sequence, 'events/s')
show('loop on Redis', results.redis, 'consents/s')
show('loop on PostgreSQL', results.postgres, 'consents/s')
await simulator.close()
await redis.stop()
await postgres.stop()
