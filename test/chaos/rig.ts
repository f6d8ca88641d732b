// Everything that a run needs, for real: PostgreSQL, Redis, the simulator with its mail server, a fault proxy in front
// of each, and the processes of Reconsent, which know only the proxies.
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../simulator/embedded/postgres.ts'
import { startSimulator } from '../../simulator/src/start-simulator.ts'
import { loadConfig } from '../../src/config.ts'
import type { PolicyInput } from '../../src/config/define-config.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { migrate } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/open-store.ts'
import { grantRights } from '../../src/store/rights.ts'
import { createRole } from '../setup/roles.ts'
import { startFaultProxy } from './fault-proxy.ts'
import { makeFleet, type Seat } from './fleet.ts'
import type { Options } from './options.ts'
import { startRedisPair } from './redis-pair.ts'
import { leadClock } from './shared-clock.ts'
import { recordWrites } from './writes.ts'

/**
 * Leases take two seconds, so that a process that hangs is overtaken within the run; all other times are in proportion.
 */
const policyOf = (options: Options): PolicyInput => ({
  company: { name: 'Brightside' },
  // The clock jumps by days and then runs for a few seconds: long quiet hours would leave no time to send anything.
  quietHours: { from: '02:00', to: '04:00' },
  spread: '1h',
  sweep: { cron: '*/2 * * * * *' },
  limits: { messagesPerHour: 1_000_000 },
  timing: {
    lease: '2s',
    queuedFor: '4s',
    codeTimer: '500ms',
    jobDeadline: '1900ms',
    stopWithin: `${STOP_WITHIN_MS}ms`,
    unreadyFor: '300ms',
    requestTimeout: `${REQUEST_TIMEOUT_MS}ms`,
    pageSize: 200,
    maxWaiting: Math.max(1000, Math.round(options.consents / 5)),
    concurrency: { reauth: JOBS_AT_ONCE, notify: JOBS_AT_ONCE, exchange: JOBS_AT_ONCE },
    retry: { attempts: 3, firstDelay: '200ms' },
  },
})

/** How long Reconsent waits for the provider's answer, up to its last byte. */
export const REQUEST_TIMEOUT_MS = 1_500
export const SWEEP_MS = 2_000
export const LEASE_MS = 2_000
/** How long a process may take to stop, whatever hangs. */
export const STOP_WITHIN_MS = 6_000
/** How long a dispatched record is left to the queue before the next dispatch. */
export const QUEUED_FOR_MS = 4_000
const JOBS_AT_ONCE = 3
/**
 * The most exchanges that one worker has in flight: those of the queue, and those of the timer for codes that no job
 * took.
 */
export const EXCHANGES_AT_ONCE = JOBS_AT_ONCE + 10
export const OPS = { user: 'operator', password: 'operator-of-the-chaos-run' }
/** The domain of every planted address. */
export const MAIL_DOMAIN = 'planted.example'

const portOf = (url: string): number => Number(new URL(url).port)
const throughPort = (url: string, port: number): string => {
  const through = new URL(url)
  through.port = String(port)
  return through.href.replace(/\/$/, '')
}

const ZONES = ['America/New_York', 'Asia/Kolkata', 'Pacific/Auckland', 'Europe/London', 'America/St_Johns'] as const
const zoneOf = (seed: number): string => ZONES[seed % ZONES.length] ?? ZONES[0]

const inSession = async <Row>(url: string, text: string, values: unknown[] = []): Promise<Row[]> => {
  const client = new pg.Client({ connectionString: url, application_name: 'chaos' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(text, values)).rows as Row[]
  } finally {
    await client.end()
  }
}

export type Rig = Awaited<ReturnType<typeof startRig>>

export const startRig = async (options: Options) => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-chaos-'))
  await mkdir(join(folder, 'logs'))
  const clockFile = join(folder, 'clock')
  const clock = leadClock(clockFile)
  const [postgres, redis] = await Promise.all([
    startEmbeddedPostgres({ durable: true, maxConnections: 400 }),
    startRedisPair(),
  ])

  // Reconsent must handle instants correctly whatever the time zone of the server is: the seed chooses the zone of the
  // run's database.
  await inSession(postgres.url, `ALTER DATABASE reconsent SET timezone TO '${zoneOf(options.seed)}'`)
  // Rights as `reconsent migrate` leaves them: the processes have a role of their own; the run itself is the owner.
  await migrate(postgres.url)
  const appUrl = await createRole(postgres.url)
  const granted = await grantRights({ ownerUrl: postgres.url, appUrl })
  if (granted.kind !== 'granted' || granted.rewrites)
    throw new Error('the role of the application can do more than it may')

  const workers = options.consents > 2000 ? 3 : 2
  // The only address that the users know: a balancer for the web processes that run.
  const web = await startFaultProxy({
    targets: () => fleet.members('web').flatMap(({ url }) => (url === undefined ? [] : [portOf(url)])),
  })
  const publicUrl = `http://127.0.0.1:${web.port}`
  const redirectUri = `${publicUrl}/callback`
  const clientSecret = randomBytes(24).toString('base64url')
  const simulator = await startSimulator({
    clientId: 'client',
    clientSecret,
    redirectUris: [redirectUri],
    clock,
    seed: options.seed,
    keepMails: Math.max(5_000, options.consents),
  })
  const to = (url: string) => startFaultProxy({ targets: () => [portOf(url)] })
  const proxies = {
    postgres: await to(postgres.url),
    redis: await startFaultProxy({ targets: () => [redis.port()] }),
    provider: await to(simulator.url),
    smtp: await to(simulator.smtpUrl),
    web,
  }
  const env = {
    NODE_ENV: 'test',
    LOG_LEVEL: 'debug',
    QUEUE: 'redis',
    DATABASE_URL: throughPort(appUrl, proxies.postgres.port),
    REDIS_URL: `redis://127.0.0.1:${proxies.redis.port}`,
    TRUELAYER_AUTH_URL: throughPort(simulator.url, proxies.provider.port),
    TRUELAYER_API_URL: throughPort(simulator.url, proxies.provider.port),
    TRUELAYER_CLIENT_ID: 'client',
    TRUELAYER_CLIENT_SECRET: clientSecret,
    PUBLIC_URL: publicUrl,
    HOST: '127.0.0.1',
    PORT: '0',
    ENCRYPTION_KEYS: `k1:${createHash('sha256').update(`chaos ${options.seed}`).digest('base64')}`,
    SMTP_URL: throughPort(simulator.smtpUrl, proxies.smtp.port),
    MAIL_FROM: 'Brightside <consents@example.com>',
    OPS_USER: OPS.user,
    OPS_PASSWORD: OPS.password,
  }
  const policy = policyOf(options)
  const config = await loadConfig({
    cwd: process.cwd(),
    needs: ['database', 'keys'],
    policy,
    env: { ...env, DATABASE_URL: postgres.url },
  })
  const vault = makeVault({ keys: config.keys })
  const { store, db, close: closeStore } = openStore({ url: config.database.url, vault, connections: 4 })
  const asApplication = openStore({ url: new Secret(appUrl), vault, connections: 2 })
  // This connection bypasses the faults and always reaches the primary.
  const toPrimary = await startFaultProxy({ targets: () => [redis.port()] })
  const direct = new Redis({
    host: '127.0.0.1',
    port: toPrimary.port,
    retryStrategy: () => 100,
    maxRetriesPerRequest: null,
    reconnectOnError: ({ message }) => (message.startsWith('READONLY') ? 2 : false),
  })
  direct.on('error', () => undefined)
  const seats: Seat[] = [
    { name: 'web-1', role: 'web' },
    { name: 'web-2', role: 'web' },
    { name: 'scheduler-1', role: 'scheduler' },
    { name: 'scheduler-2', role: 'scheduler' },
    ...Array.from({ length: workers }, (_, index): Seat => ({ name: `worker-${index + 1}`, role: 'worker' })),
  ]
  const queuePrefix = 'chaos'
  const fleet = makeFleet({
    seats,
    folder: join(folder, 'logs'),
    orderOf: (seat) => ({ seat: seat.name, roles: [seat.role], env, policy, clockFile, queuePrefix }),
  })

  /** Uses a connection of its own, which bypasses the proxies. */
  const sql = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> =>
    inSession<Row>(postgres.url, text, values)

  await recordWrites(sql)

  return {
    folder,
    clock,
    postgres,
    redis,
    direct,
    workers,
    simulator,
    proxies,
    fleet,
    store,
    db,
    dbAsApplication: asApplication.db,
    vault,
    config,
    sql,
    publicUrl,
    redirectUri,
    logFolder: join(folder, 'logs'),
    /** The run's own connection follows at once; the processes have to notice the failover. */
    failOverRedis: async (): Promise<() => Promise<number>> => {
      const refused = await redis.failOver()
      toPrimary.cut()
      return refused
    },
    close: async () => {
      await fleet.close()
      direct.disconnect()
      await Promise.allSettled([closeStore(), asApplication.close()])
      await Promise.all([...Object.values(proxies), toPrimary].map((proxy) => proxy.close()))
      await simulator.close()
      await redis.stop()
      await postgres.stop()
      clock.close()
    },
  }
}
