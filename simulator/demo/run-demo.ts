// Starts the demo, a simulated company on this machine: embedded PostgreSQL, the simulator (TrueLayer, a bank, an
// inbox) and every role of Reconsent in one process, with about thirty consents in every phase. Reconsent and the
// simulator share one clock, so that the demo can move the time.
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { Writable } from 'node:stream'
import { configFromProcess, isSetInProcess } from '../../src/config.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import { makeLog } from '../../src/log.ts'
import { type Reconsent, roles, startReconsent } from '../../src/main.ts'
import { migrate } from '../../src/store/migrate.ts'
import { openStore } from '../../src/store/open-store.ts'
import { startEmbeddedPostgres } from '../embedded/postgres.ts'
import { movableClock } from '../src/clock.ts'
import { type Simulator, startSimulator } from '../src/start-simulator.ts'
import { castAt, type Role } from './cast.ts'
import { importCast } from './import-cast.ts'

export interface Demo {
  readonly reconsent: Reconsent
  readonly simulator: Simulator
  readonly opened: ReturnType<typeof openStore>
  readonly cast: readonly Role[]
  readonly addresses: {
    readonly publicUrl: string
    readonly inbox: string
    readonly board: string
    readonly operator: string
  }
  stop(): Promise<void>
}

const CLIENT = { clientId: 'demo-client', clientSecret: 'demo-client-secret' }
const OPERATOR = { user: 'demo', password: 'demo-password' }

/** Quiet hours and spreading are off, so that nobody who watches must wait for the morning. */
const policy = {
  company: { name: 'Brightside Budgeting' },
  sweep: { cron: '*/2 * * * * *' },
  quietHours: false,
  spread: false,
  timing: { codeTimer: '1s', stopWithin: '2s', unreadyFor: '0ms' },
} as const

/** Starts everything; if one part fails to start, the parts already started are stopped again. */
export const startDemo = async (): Promise<Demo> => {
  const stops: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const one of stops.splice(0).toReversed()) await one().catch(() => undefined)
  }
  try {
    const ownDatabase = isSetInProcess('DATABASE_URL') ? undefined : await startEmbeddedPostgres()
    if (ownDatabase !== undefined) stops.push(async () => ownDatabase.stop())
    const port = await choosePort()
    const publicUrl = `http://127.0.0.1:${port}`
    const clock = movableClock()
    const simulator = await startSimulator({ ...CLIENT, redirectUris: [`${publicUrl}/callback`], clock })
    stops.push(async () => simulator.close())
    const config = await configFromProcess({
      needs: ['database', 'queue', 'provider', 'keys', 'web', 'channels'],
      policy,
      override: {
        ...(ownDatabase === undefined ? {} : { DATABASE_URL: ownDatabase.url, MIGRATE_DATABASE_URL: undefined }),
        NODE_ENV: 'development',
        QUEUE: 'postgres',
        REDIS_URL: undefined,
        TRUELAYER_AUTH_URL: simulator.url,
        TRUELAYER_API_URL: simulator.url,
        TRUELAYER_CLIENT_ID: CLIENT.clientId,
        TRUELAYER_CLIENT_SECRET: CLIENT.clientSecret,
        PUBLIC_URL: publicUrl,
        HOST: '127.0.0.1',
        PORT: String(port),
        ENCRYPTION_KEYS: `demo:${randomBytes(32).toString('base64')}`,
        SMTP_URL: simulator.smtpUrl,
        MAIL_FROM: 'Brightside Budgeting <consents@example.com>',
        OPS_USER: OPERATOR.user,
        OPS_PASSWORD: OPERATOR.password,
        API_KEYS_SHA256: undefined,
        LOG_LEVEL: 'error',
        RECONSENT_CONFIG: undefined,
      },
    })
    await migrate(config.database.migrateUrl)
    // Ctrl-C may also reach a PostgreSQL in the same terminal, perhaps before this process. Errors logged during a stop
    // or just before it are therefore dropped.
    const stderr = new Writable({
      write: (line: Buffer, _encoding, written) => {
        setTimeout(() => stops.length > 0 && process.stderr.write(line), 500).unref()
        written()
      },
    })
    const log = makeLog({ level: config.logLevel, to: stderr, pretty: process.stderr.isTTY })
    const opened = openStore({ url: config.database.url, vault: makeVault({ keys: config.keys }), connections: 3 })
    stops.push(async () => opened.close())
    const known = await opened.db.prisma.consent.count()
    if (known > 0) throw new Error(`the demo wants an empty database: the one of DATABASE_URL holds ${known} consents`)
    const cast = castAt(clock.now())
    await importCast({ cast, simulator, opened, config, clock })
    const reconsent = await startReconsent({ config, roles, log, clock })
    stops.push(async () => reconsent.stop())
    const addresses = {
      publicUrl,
      inbox: `${simulator.url}/inbox`,
      board: `${publicUrl}/ops/queues`,
      operator: `${OPERATOR.user} / ${OPERATOR.password}`,
    }
    return { reconsent, simulator, opened, cast, addresses, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Port 3000, the usual one, or a free port if that is taken. */
const choosePort = async (): Promise<number> =>
  (await listenOnce(3000)) ?? (await listenOnce(0)) ?? Promise.reject(new Error('no free port'))

const listenOnce = async (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(undefined))
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(address !== null && typeof address === 'object' ? address.port : undefined))
    })
  })
