// One turn of one side: a fresh database, simulator and process, a warm-up, then the consents that count. Everything is
// checked afterwards, at the provider and in the side's own database.
import { availableParallelism } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import type { DatabaseServer } from './database.ts'
import { type BenchConsent, makeConsents } from './population.ts'
import { busyCpuMs, cpuMs, cpuMsWithChildren, peakResidentBytes } from './processes.ts'
import type { Side } from './sides.ts'
import { checkAlive, checkRenewed, countRenewed, redisCpuMs, type Stage, stopSide, withStage } from './stage.ts'

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

interface Turning extends Stage {
  readonly terms: Terms
  readonly server: DatabaseServer
}

const LOOKS_EVERY_MS = 50
/** Longer than the statement takes that makes consents due. */
const MAKING_DUE_MS = 200

/** Rejects with SideFailed when the side did not renew everything in time. */
export const takeTurn = async (side: Side, terms: Terms, server: DatabaseServer): Promise<Turn> => {
  const all = makeConsents(terms.warmUp + terms.consents)
  return withStage({ ...terms, server, side }, all, async (stage) => measure({ ...stage, terms, server }, all))
}

const measure = async (stage: Turning, all: readonly BenchConsent[]): Promise<Turn> => {
  const { side, terms, database, child } = stage
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
  await stopSide(child)
  await checkRenewed(stage, all)
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

const read = async ({ server, database, simulator, child, redis }: Turning) => {
  const atMs = performance.now()
  const cpu = {
    ownCpuMs: await cpuMsWithChildren(child.pid),
    postgresCpuMs: await server.cpuMs(),
    redisCpuMs: await redisCpuMs(redis),
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
const untilRenewed = async (stage: Turning, total: number): Promise<number> => {
  const { terms, users, child } = stage
  const beganAt = performance.now()
  child.tellDue()
  const secondsSince = (): number => (performance.now() - beganAt) / 1_000
  for (;;) {
    await checkAlive(stage)
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
