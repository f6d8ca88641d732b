// One turn of one side: a fresh database, simulator and process, a warm-up, then the consents that count. Everything is
// checked afterwards, at the provider and in the side's own database.
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { DatabaseServer, SideDatabase } from './database.ts'
import { startRedisServer } from '../test/setup/redis.ts'
import { type BenchConsent, makeConsents } from './population.ts'
import { busyCpuMs, cpuMs, cpuMsWithChildren, peakResidentBytes } from './processes.ts'
import { type SideProcess, startSideProcess } from './side-process.ts'
import type { Side } from './sides.ts'
import type { Order } from './sides/order.ts'
import { type SimulatorProcess, startSimulatorProcess } from './simulator.ts'
import { makeUsers, type Users } from './users.ts'

export interface Terms {
  readonly consents: number
  /** Renewed before the clock starts. */
  readonly warmUp: number
  /** Between the warm-up and the clock. */
  readonly restMs: number
  readonly latencyMs: number
  readonly limitSeconds: number
  readonly port: number
  /** Where the logs of the sides go. */
  readonly folder: string
}

/** What one turn cost. CPU, commits and statements are for each renewal. */
export interface Figures {
  readonly renewalsPerSecond: number
  readonly ownCpuMs: number
  readonly postgresCpuMs: number
  readonly redisCpuMs: number
  readonly commits: number
  /** Of the commits, those that wrote something. */
  readonly writes: number
  /** Without BEGIN, COMMIT and the like; those of the queue's own tables apart. */
  readonly statements: number
  readonly queueStatements: number
  /** Of what is not the side: simulator and users. */
  readonly worldCpuMs: number
  /** How much of the machine's CPU time went to what has nothing to do with the bench. */
  readonly elsewherePercent: number
  readonly peakMegabytes: number
}

/** A statement of the side, with its calls for each renewal, and the server's time for them in milliseconds. */
export interface StatementShare {
  readonly text: string
  readonly calls: number
  readonly ms: number
}

export interface Turn {
  readonly figures: Figures
  /** The most called first. */
  readonly statements: readonly StatementShare[]
}

/** The side did not do its work. The message ends with the last lines of its log. */
export class SideFailed extends Error {
  override readonly name = 'SideFailed'
}

interface Stage {
  readonly side: Side
  readonly terms: Terms
  readonly server: DatabaseServer
  readonly database: SideDatabase
  readonly simulator: SimulatorProcess
  readonly users: Users
  readonly child: SideProcess
  /** Of Redis; 0 for a side without it. */
  redisCpuMs(): Promise<number>
}

const CLIENT = { clientId: 'bench', clientSecret: 'bench-secret-of-the-simulator' }
const LOOKS_EVERY_MS = 50
/** Longer than the statement takes that makes consents due. */
const MAKING_DUE_MS = 200
const DEATH_SHOWS_WITHIN_MS = 1_000

/** Rejects with SideFailed when the side did not renew everything in time. */
export const takeTurn = async (side: Side, terms: Terms, server: DatabaseServer): Promise<Turn> => {
  const closing: (() => Promise<unknown>)[] = []
  const publicUrl = `http://127.0.0.1:${terms.port}`
  const redirectUri = `${publicUrl}/callback`
  try {
    const users = makeUsers()
    closing.push(async () => users.stop())
    const simulator = await startSimulatorProcess({ ...CLIENT, redirectUri, latencyMs: terms.latencyMs }, users.act)
    closing.push(simulator.stop)
    const database = await server.create()
    closing.push(database.drop)
    // As deploy/compose.yaml runs it.
    const redis = side.usesRedis ? await startRedisServer({ settings: { appendfsync: 'everysec' } }) : undefined
    if (redis !== undefined) closing.push(redis.stop)
    const order: Order = {
      ...CLIENT,
      databaseUrl: database.url,
      redisUrl: redis?.url,
      providerUrl: simulator.url,
      smtpUrl: simulator.smtpUrl,
      mailFrom: 'Bench <bench@example.com>',
      port: terms.port,
      publicUrl,
      redirectUri,
      encryptionKeys: `bench:${randomBytes(32).toString('base64')}`,
    }
    const all = makeConsents(terms.warmUp + terms.consents)
    await simulator.seed(all)
    await side.fill(database, order, all)
    await database.query('ANALYZE')
    await database.checkpoint()
    const child = startSideProcess(side, order, join(terms.folder, `${side.name}.log`))
    closing.push(child.stop)
    try {
      await child.ready
      const redisCpuMs = async (): Promise<number> => (redis === undefined ? 0 : redis.ask(cpuOfRedis))
      return await measure({ side, terms, server, database, simulator, users, child, redisCpuMs }, all)
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      throw new SideFailed(`${side.name}: ${what}\n${await child.log()}`, { cause: error })
    }
  } finally {
    for (const close of closing.toReversed()) await close()
  }
}

const measure = async (stage: Stage, all: readonly BenchConsent[]): Promise<Turn> => {
  const { side, terms, database, simulator, child } = stage
  const [warmUp, counted] = [all.slice(0, terms.warmUp), all.slice(terms.warmUp)]
  await makeDue(stage, warmUp)
  await untilRenewed(stage, warmUp.length)
  await wait(terms.restMs)
  await database.resetStatements()
  await makeDue(stage, counted)
  const before = await read(stage)
  const seconds = await untilRenewed(stage, all.length)
  const after = await read(stage)
  const statements = await database.statements(side.queueStatements)
  const peak = await peakResidentBytes(child.pid)
  await child.stop()
  if (child.ended() !== 'ended with 0') throw new Error(`the process ${child.ended()}`)
  await checkRenewed(side, database, simulator, all)
  // Only now, because a connection reports its last counts when it is closed.
  const { commits } = await database.work()
  const each = (from: number, to: number): number => (to - from) / counted.length
  const callsOf = (ofQueue: boolean): number =>
    statements.reduce((sum, { calls, isOfQueue }) => sum + (isOfQueue === ofQueue ? calls : 0), 0)
  const machineMs = (after.atMs - before.atMs) * availableParallelism()
  const figures: Figures = {
    renewalsPerSecond: counted.length / seconds,
    ownCpuMs: each(before.ownCpuMs, after.ownCpuMs),
    postgresCpuMs: each(before.postgresCpuMs, after.postgresCpuMs),
    redisCpuMs: each(before.redisCpuMs, after.redisCpuMs),
    worldCpuMs: each(before.worldCpuMs, after.worldCpuMs),
    commits: each(before.commits, commits),
    writes: each(before.writes, after.writes),
    statements: each(0, callsOf(false)),
    queueStatements: each(0, callsOf(true)),
    elsewherePercent: (100 * (after.elsewhereMs - before.elsewhereMs)) / machineMs,
    peakMegabytes: peak / 1024 / 1024,
  }
  return {
    figures,
    statements: statements.map(({ text, calls, ms }) => ({ text, calls: each(0, calls), ms: each(0, ms) })),
  }
}

const read = async ({ server, database, simulator, child, redisCpuMs }: Stage) => {
  const atMs = performance.now()
  const cpu = {
    ownCpuMs: await cpuMsWithChildren(child.pid),
    postgresCpuMs: await server.cpuMs(),
    redisCpuMs: await redisCpuMs(),
    worldCpuMs: (await cpuMs(simulator.pid)) + (await cpuMs(process.pid)),
  }
  const ofBench = Object.values(cpu).reduce((sum, ms) => sum + ms, 0)
  return { atMs, ...cpu, elsewhereMs: (await busyCpuMs()) - ofBench, ...(await database.work()) }
}

/** Makes the consents due at the next full second, and resolves then. */
const makeDue = async ({ side, database }: Stage, consents: readonly BenchConsent[]): Promise<void> => {
  const dueAt = Math.ceil((Date.now() + MAKING_DUE_MS) / 1_000) * 1_000
  await database.query(side.makeDue, [consents.map(({ credentialsId }) => credentialsId), new Date(dueAt)])
  await wait(dueAt - Date.now())
}

/** Waits until `total` renewals are stored and all users have come back. Returns how many seconds it took. */
const untilRenewed = async (stage: Stage, total: number): Promise<number> => {
  const { terms, users, child } = stage
  const beganAt = performance.now()
  child.tellDue()
  const secondsSince = (): number => (performance.now() - beganAt) / 1_000
  for (;;) {
    const [problem] = users.problems
    // When the process dies, its users may be turned away before it is seen to have ended.
    if (problem !== undefined) await wait(DEATH_SHOWS_WITHIN_MS)
    if (child.ended() !== undefined) throw new Error(`the process ${child.ended()}`)
    if (problem !== undefined) throw new Error(`${users.problems.length} users failed, the first with: ${problem}`)
    // Only when all users have come back, so that the bench's own questions cost the server nothing before.
    if (users.arrived() >= total && (await countRenewed(stage)) >= total) return secondsSince()
    if (secondsSince() > terms.limitSeconds) {
      const [came, renewed] = [users.arrived(), await countRenewed(stage)]
      throw new Error(
        `after ${terms.limitSeconds} s, ${came} of ${total} users have come back, ${renewed} consents are renewed`,
      )
    }
    await wait(LOOKS_EVERY_MS)
  }
}

const countRenewed = async ({ database, side }: Stage): Promise<number> =>
  Number((await database.query<{ count: string }>(side.countRenewed))[0]?.count)

interface Stored {
  readonly credentials_id: string
  readonly expires_at: Date
  readonly token: string
}

/** Every consent runs longer than before, at the provider and by the side's own record, which has the valid token. */
const checkRenewed = async (
  side: Side,
  database: SideDatabase,
  simulator: SimulatorProcess,
  all: readonly BenchConsent[],
): Promise<void> => {
  const rows = await database.query<Stored>(side.readConsents)
  const stored = new Map(rows.map((row) => [row.credentials_id, row]))
  const connections = await simulator.connections()
  const isRenewed = ({ credentialsId, expiresAt: before }: BenchConsent): boolean => {
    const [theirs, ours] = [connections.get(credentialsId), stored.get(credentialsId)]
    if (theirs === undefined || ours === undefined) return false
    return (
      theirs.expiresAt > before.plus({ days: 60 }) &&
      theirs.expiresAt.toMillis() === ours.expires_at.getTime() &&
      side.shownToken(theirs.refreshToken) === ours.token
    )
  }
  const wrong = all.filter((consent) => !isRenewed(consent)).length
  if (wrong > 0) throw new Error(`${wrong} consents are not renewed, or not as the provider has them`)
}

const cpuOfRedis = async (client: { info(section: string): Promise<string> }): Promise<number> => {
  const info = await client.info('cpu')
  const seconds = (name: string): number => Number(new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1])
  return (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1_000
}
