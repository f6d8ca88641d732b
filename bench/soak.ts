// Measures whether Reconsent stays as it is when it runs for long: `npm run bench:soak`. One process with all roles, a
// provider and users as in `npm run bench`; consents become due at a constant rate. Each minute a line, in the end
// whether memory or latency keeps growing. Every consent must have been renewed.
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../test/setup/free-port.ts'
import { readWords, UsageError, wholeNumber } from './options.ts'
import { type BenchConsent, makeConsents } from './population.ts'
import { residentBytes } from './processes.ts'
import { runProgram } from './program.ts'
import { SideFailed } from './side-process.ts'
import { judgeLevel, type Level, type Seen } from './soak-verdict.ts'
import { sides } from './sides.ts'
import { checkAlive, checkRenewed, countRenewed, type Stage, stopSide, withServer, withStage } from './stage.ts'
import { quantileOf } from './statistics.ts'

const USAGE = `npm run bench:soak -- [options]
  --rate N        consents that become due each second (10)
  --minutes M     for so long (30); growth is not judged in less than 10 minutes`

/** As often as a usual Prometheus scrapes. */
const SAMPLE_SECONDS = 15
const LINE_SECONDS = 60
/** In less, a process has not yet reached its level. */
const JUDGED_FROM_SECONDS = 600
/** Longer than the statement takes that makes consents due. */
const MAKING_DUE_MS = 300
const LAST_ONES_WITHIN_SECONDS = 120
const LOOKS_EVERY_MS = 200
const MB = 1_000_000

const TABLES = [
  'consents',
  'token_fingerprints',
  'renewals',
  'authorisations',
  'notifications',
  'events',
  'event_positions',
  'unsequenced_events',
] as const

/** Everything that is seen, by the second of the run. */
interface Seeing {
  readonly residentMb: Seen[]
  readonly heapMb: Seen[]
  readonly redisMb: Seen[]
  /** By the second in which the consent became due; in milliseconds. */
  readonly latencies: Seen[]
}

interface Soak {
  readonly stage: Stage
  readonly record: Seeing
  /** When each consent became due, by its credentials_id; a renewed one is no longer in it. */
  readonly due: Map<string, { readonly second: number; readonly atMs: number }>
}

/** Makes the consents due at this instant, a full second, as the sweep looks each second. */
const makeDue = async ({ stage, due }: Soak, consents: readonly BenchConsent[], second: number, atMs: number) => {
  await wait(Math.max(0, atMs - MAKING_DUE_MS - Date.now()))
  const ids = consents.map(({ credentialsId }) => credentialsId)
  for (const id of ids) due.set(id, { second, atMs })
  await stage.database.query(stage.side.makeDue, [ids, new Date(atMs)])
}

/** Takes note of the renewals since the last time. Returns their latencies. */
const readRenewed = async ({ stage, record, due }: Soak): Promise<readonly number[]> => {
  const rows = await stage.database.query<{ credentials_id: string; closed_at: Date }>(
    `SELECT credentials_id, closed_at FROM renewals JOIN consents ON consents.id = consent_id
     WHERE renewals.status = 'renewed' AND credentials_id = ANY($1)`,
    [[...due.keys()]],
  )
  return rows.flatMap(({ credentials_id: id, closed_at: closedAt }) => {
    const made = due.get(id)
    if (made === undefined) return []
    due.delete(id)
    const value = closedAt.getTime() - made.atMs
    record.latencies.push({ second: made.second, value })
    return [value]
  })
}

const numberIn = (text: string, name: string): number => Number(new RegExp(`^${name}[: ](\\S+)`, 'm').exec(text)?.[1])

const sample = async ({ stage, record }: Soak, second: number): Promise<void> => {
  const { child, order, redis } = stage
  const [metrics, memory] = await Promise.all([
    fetch(`${order.publicUrl}/metrics`).then(async (answer) => answer.text()),
    redis?.ask(async (client) => client.info('memory')),
  ])
  record.residentMb.push({ second, value: (await residentBytes(child.pid)) / MB })
  record.heapMb.push({ second, value: numberIn(metrics, 'nodejs_heap_size_used_bytes') / MB })
  record.redisMb.push({ second, value: numberIn(memory ?? '', 'used_memory') / MB })
}

/** The sizes of the tables, and how many connections there are besides the bench's own. */
const readSizes = async ({ database, redis }: Stage): Promise<string> => {
  const tables = await database.query<{ name: string; table: string; indexes: string; dead: string }>(
    `SELECT relname AS name, pg_table_size(relid) AS table, pg_indexes_size(relid) AS indexes, n_dead_tup AS dead
     FROM pg_stat_user_tables WHERE relname = ANY($1) ORDER BY array_position($1, relname::text)`,
    [TABLES],
  )
  const [connections] = await database.query<{ count: string }>(
    'SELECT count(*) - 1 AS count FROM pg_stat_activity WHERE datname = current_database()',
  )
  const clients = await redis?.ask(async (client) => client.info('clients'))
  const ofRedis = numberIn(clients ?? '', 'connected_clients') - 1
  const shown = tables.map(
    ({ name, table, indexes, dead }) =>
      `${name} ${(Number(table) / MB).toFixed(1)}+${(Number(indexes) / MB).toFixed(1)} (${dead})`,
  )
  return `connections ${connections?.count}+${ofRedis}; tables+indexes in MB (dead rows): ${shown.join(', ')}`
}

const showLine = async (soak: Soak, second: number): Promise<void> => {
  const latencies = await readRenewed(soak)
  const { record, stage } = soak
  const ms = (share: number): string => `${quantileOf(latencies, share).toFixed(0)} ms`
  const latest = (seen: readonly Seen[]): string => `${seen.at(-1)?.value.toFixed(0)} MB`
  console.log(
    `${(second / 60).toFixed(1)} min: ${latencies.length} renewed, due to renewed p50 ${ms(0.5)}, p99 ${ms(0.99)}; ` +
      `resident ${latest(record.residentMb)}, heap ${latest(record.heapMb)}, Redis ${latest(record.redisMb)}; ` +
      (await readSizes(stage)),
  )
}

/** Waits until everybody has come back and everything is stored. */
const untilRenewed = async ({ stage }: Soak, total: number): Promise<void> => {
  for (const until = Date.now() + LAST_ONES_WITHIN_SECONDS * 1_000; ;) {
    await checkAlive(stage)
    if (stage.users.arrived() >= total && (await countRenewed(stage)) >= total) return
    if (Date.now() > until) {
      const renewed = await countRenewed(stage)
      throw new Error(`${stage.users.arrived()} of ${total} users have come back, ${renewed} consents are renewed`)
    }
    await wait(LOOKS_EVERY_MS)
  }
}

const run = async (stage: Stage, all: readonly BenchConsent[], rate: number): Promise<Seeing> => {
  const record: Seeing = { residentMb: [], heapMb: [], redisMb: [], latencies: [] }
  const soak: Soak = { stage, record, due: new Map() }
  const seconds = all.length / rate
  const beginsAt = Math.ceil(Date.now() / 1_000 + 1) * 1_000
  for (let second = 0; second < seconds; second += 1) {
    await makeDue(soak, all.slice(second * rate, (second + 1) * rate), second, beginsAt + second * 1_000)
    if (second % SAMPLE_SECONDS === 0) await sample(soak, second)
    if (second > 0 && second % LINE_SECONDS === 0) await showLine(soak, second)
    await checkAlive(stage)
  }
  await untilRenewed(soak, all.length)
  await sample(soak, seconds)
  await showLine(soak, seconds)
  await stopSide(stage.child)
  await checkRenewed(stage, all)
  return record
}

const levels = (record: Seeing): readonly Level[] => [
  { name: 'resident', unit: 'MB', seen: record.residentMb, share: 0.5, limit: 1.15 },
  { name: 'heap', unit: 'MB', seen: record.heapMb, share: 0.5, limit: undefined },
  { name: 'Redis', unit: 'MB', seen: record.redisMb, share: 0.5, limit: undefined },
  { name: 'due to renewed, p50', unit: 'ms', seen: record.latencies, share: 0.5, limit: 1.25 },
  { name: 'due to renewed, p99', unit: 'ms', seen: record.latencies, share: 0.99, limit: 1.5 },
]

const measure = async (rate: number, seconds: number): Promise<void> => {
  const side = sides.find(({ name }) => name === 'redis')
  if (side === undefined) throw new Error('there is no side redis')
  const all = makeConsents(rate * seconds)
  const record = await withServer(async (server, folder) => {
    const place = { server, folder, port: await freePort(), side, latencyMs: 0 }
    return withStage(place, all, async (stage) => run(stage, all, rate))
  })
  console.log(
    `all ${all.length} consents are renewed, as the provider has them; after the warm-up, first and last third:`,
  )
  const isJudged = seconds >= JUDGED_FROM_SECONDS
  const judged = levels(record).map((level) => judgeLevel(isJudged ? level : { ...level, limit: undefined }, seconds))
  for (const { line } of judged) console.log(line)
  if (judged.some(({ grows }) => grows)) throw new SideFailed('something keeps growing')
}

await runProgram(USAGE, async () => {
  const { values } = readWords({
    options: { rate: { type: 'string', default: '10' }, minutes: { type: 'string', default: '30' } },
  })
  const seconds = /^\d{1,4}(\.\d+)?$/.test(values.minutes) ? Math.round(Number(values.minutes) * 60) : 0
  if (seconds < 1) throw new UsageError('--minutes must be a number above 0')
  await measure(wholeNumber('rate', values.rate, 1), seconds)
})
