// Measures the import of a large CSV file, encryption included: `npm run bench:import [-- --rows 1000000]`. Loads the
// file into an empty, durable database, and then the same file again, as a nightly export that has not changed. Each
// load is the real path of the command, in a process of its own: rows per second, the CPU of this process and of
// PostgreSQL for each row, and resident memory at each quarter of the file. `--hold` leaves the server running.
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { startEmbeddedPostgres } from '../simulator/embedded/postgres.ts'
import { systemClock } from '../src/clock.ts'
import { loadConfig } from '../src/config.ts'
import { makeVault } from '../src/crypto/vault.ts'
import { importConsents } from '../src/import/import-consents.ts'
import { readRows } from '../src/import/read-rows.ts'
import { imports } from '../src/store/import.ts'
import { migrate } from '../src/store/migrate.ts'
import { openStore } from '../src/store/open-store.ts'
import { cpuMsWithChildren, parentOf } from './processes.ts'

interface Load {
  readonly rows: number
  readonly created: number
  readonly unchanged: number
  readonly seconds: number
  /** Of the importing process, in milliseconds. */
  readonly ownCpuMs: number
  /** In MB, at 25, 50, 75 and 100 % of the file, and the highest of all. */
  readonly residentMb: readonly number[]
  readonly peakMb: number
}

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    hold: { type: 'boolean', default: false },
    /** For the processes that this one starts: the file that they import. */
    load: { type: 'string' },
  },
})
if (!/^[1-9]\d{0,7}$/.test(values.rows)) {
  console.error('--rows must be a whole number from 1 on')
  process.exit(2)
}
const rows = Number(values.rows)

/** Runs in the process of one load. */
const load = async (file: string): Promise<Load> => {
  const config = await loadConfig({ cwd: process.cwd(), needs: ['database', 'keys'], env: process.env })
  const { db, close } = openStore({
    url: config.database.url,
    vault: makeVault({ keys: config.keys }),
    connections: 4,
  })
  const residentMb: number[] = []
  const resident = (): number => Math.round(process.memoryUsage.rss() / 1_000_000)
  const started = performance.now()
  const counts = await importConsents({
    store: imports(db, config.policy),
    clock: systemClock,
    httpsOnly: config.httpsOnly,
    onBad: ({ line, what }) => console.error(`line ${line}: ${what}`),
    onWarning: ({ line, what }) => console.error(`line ${line}: ${what}`),
    onProgress: (soFar) => {
      if (soFar.rows >= ((residentMb.length + 1) * rows) / 4) residentMb.push(resident())
    },
  })(readRows(createReadStream(file), 'csv'))
  const seconds = (performance.now() - started) / 1000
  await close()
  const { user, system } = process.cpuUsage()
  return {
    ...counts,
    seconds,
    ownCpuMs: (user + system) / 1000,
    residentMb,
    peakMb: Math.round(process.resourceUsage().maxRSS / 1000),
  }
}

const banks = [
  ['uk-ob-monzo', 'Monzo', 'GB', 'Europe/London', 'en'],
  ['uk-ob-lloyds', 'Lloyds', 'GB', 'Europe/London', 'en-GB'],
  ['uk-ob-barclays', 'Barclays', 'GB', '', ''],
  ['ie-ob-aib', 'AIB', 'IE', 'Europe/Dublin', 'en'],
  ['fr-stet-bnp', 'BNP Paribas', 'FR', 'Europe/Paris', 'fr'],
] as const
const HEADER =
  'credentials_id,user_id,refresh_token,provider_id,provider_name,country,redirect_uri,expires_at,email,name,locale,' +
  'time_zone,scopes'

/** Expiries are spread over 90 days from now on, as in a company whose users come every day. */
const writeFile = async (path: string): Promise<void> => {
  const now = Date.now()
  const line = (index: number): string => {
    const [provider, providerName, country, zone, locale] = banks[index % banks.length] ?? banks[0]
    const id = randomBytes(16).toString('base64url')
    const token = randomBytes(32).toString('hex').toUpperCase()
    const expiresAt = new Date(now + Math.floor(((index * 7919) % rows) * (90 / rows) * 86_400) * 1000).toISOString()
    const mail = `user.${index}@example.com`
    return `cred-${id},user-${index},${token},${provider},${providerName},${country},https://app.example.com/callback,${
      expiresAt
    },${mail},User ${index},${locale},${zone},info accounts balance transactions offline_access\n`
  }
  const lines = function* (): Generator<string> {
    yield `${HEADER}\n`
    for (let first = 0; first < rows; first += 1000)
      yield Array.from({ length: Math.min(1000, rows - first) }, (_, offset) => line(first + offset)).join('')
  }
  await pipeline(lines, createWriteStream(path))
}

/** The CPU seconds of a PostgreSQL server so far, of all its processes; Linux only, else undefined. */
const cpuOfServer = async (server: pg.Client): Promise<number | undefined> => {
  const { rows: found } = await server.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const postmaster = await parentOf(found[0]?.pid ?? 0).catch(() => undefined)
  return postmaster === undefined ? undefined : (await cpuMsWithChildren(postmaster)) / 1_000
}

const measure = async (): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-import-'))
  const postgres = await startEmbeddedPostgres({ durable: true })
  const server = new pg.Client({ connectionString: postgres.url })
  try {
    await migrate(postgres.url)
    const file = join(folder, 'consents.csv')
    await writeFile(file)
    const megabytes = Math.round((await stat(file)).size / 1_000_000)
    console.log(`${rows.toLocaleString('en')} rows, ${megabytes} MB of CSV; PostgreSQL durable, with its own defaults`)
    await server.connect()
    const env = {
      PATH: process.env['PATH'],
      // For profiles: NODE_OPTIONS='--cpu-prof --cpu-prof-dir=…'.
      NODE_OPTIONS: process.env['NODE_OPTIONS'] ?? '',
      NODE_ENV: 'test',
      DATABASE_URL: postgres.url,
      ENCRYPTION_KEYS: `bench:${randomBytes(32).toString('base64')}`,
    }
    for (const what of ['first load', 'the same file again'] as const) {
      const before = await cpuOfServer(server)
      const child = fork(import.meta.filename, ['--rows', String(rows), '--load', file], { env })
      const [loaded] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [Load | number | null]
      if (loaded === null || typeof loaded === 'number') throw new Error(`the import ended with ${loaded}`)
      const after = await cpuOfServer(server)
      const each = (milliseconds: number): string => `${Math.round((milliseconds * 1000) / rows)} µs`
      const ofServer = before === undefined || after === undefined ? 'unknown' : each((after - before) * 1000)
      console.log(
        `${what.padEnd(20)} ${Math.round(rows / loaded.seconds)
          .toLocaleString('en')
          .padStart(7)} rows/s   ` +
          `created ${loaded.created}, unchanged ${loaded.unchanged}; CPU a row: own ${each(loaded.ownCpuMs)}, ` +
          `PostgreSQL ${ofServer}; resident MB at 25, 50, 75, 100 %: ${loaded.residentMb.join(', ')}, ` +
          `peak ${loaded.peakMb}`,
      )
    }
    if (values.hold) {
      console.log(`holding: DATABASE_URL=${postgres.url} ENCRYPTION_KEYS=${env.ENCRYPTION_KEYS}; end with Ctrl-C`)
      await once(process, 'SIGINT')
    }
  } finally {
    await server.end()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

if (values.load === undefined) await measure()
else process.send?.(await load(values.load), () => process.disconnect())
