// What a side needs around it: a database, a Redis, its own process; and for a whole renewal the simulator and the
// users. Whatever becomes of the work, all of it is closed afterwards.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { keepFolder } from '../simulator/embedded/keep.ts'
import { type RedisServer, startRedisServer } from '../test/setup/redis.ts'
import { type DatabaseServer, type SideDatabase, startDatabaseServer } from './database.ts'
import type { BenchConsent } from './population.ts'
import { SideFailed, type SideProcess, startSideProcess } from './side-process.ts'
import type { Side } from './sides.ts'
import { type Order, orderForNobody } from './sides/order.ts'
import { type SimulatorProcess, startSimulatorProcess } from './simulator.ts'
import { makeUsers, type Users } from './users.ts'

/** Where the sides of a run work: their PostgreSQL server, the folder of their logs, the port that they listen on. */
export interface Place {
  readonly server: DatabaseServer
  readonly folder: string
  readonly port: number
}

export interface RunningSide {
  readonly database: SideDatabase
  /** Undefined for a side without it. */
  readonly redis: RedisServer | undefined
  readonly order: Order
  readonly child: SideProcess
}

export interface Stage extends RunningSide {
  readonly side: Side
  readonly simulator: SimulatorProcess
  readonly users: Users
}

const CLIENT = { clientId: 'bench', clientSecret: 'bench-secret-of-the-simulator' }
const DEATH_SHOWS_WITHIN_MS = 1_000

/** A server and a folder for one run. An interrupted run leaves nothing of either behind. */
export const withServer = async <Result>(
  work: (server: DatabaseServer, folder: string) => Promise<Result>,
): Promise<Result> => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-bench-'))
  const keeper = keepFolder(folder)
  let server: DatabaseServer | undefined
  try {
    server = await startDatabaseServer()
    return await work(server, folder)
  } finally {
    await server?.stop()
    await rm(folder, { recursive: true, force: true })
    keeper.release()
  }
}

interface Setting extends Place {
  readonly side: Pick<Side, 'name' | 'entry' | 'args' | 'usesRedis'>
  /** What the order says beyond the database, Redis and the side's own address. */
  readonly told?: Partial<Order>
  /** Before the process starts. */
  fill(database: SideDatabase, order: Order): Promise<void>
}

/** Rejects with SideFailed when the work does; its message then ends with the side's log. */
export const withSide = async <Result>(
  { server, folder, port, side, told, fill }: Setting,
  work: (running: RunningSide) => Promise<Result>,
): Promise<Result> => {
  const closing: (() => Promise<unknown>)[] = []
  try {
    const database = await server.create()
    closing.push(database.drop)
    // As deploy/compose.yaml runs it.
    const redis = side.usesRedis ? await startRedisServer({ settings: { appendfsync: 'everysec' } }) : undefined
    if (redis !== undefined) closing.push(redis.stop)
    const order: Order = {
      ...orderForNobody(database.url),
      ...addressesFor(port),
      redisUrl: redis?.url,
      port,
      ...told,
    }
    await fill(database, order)
    await database.query('ANALYZE')
    await database.checkpoint()
    const child = startSideProcess(side, order, join(folder, `${side.name}.log`))
    closing.push(child.stop)
    try {
      await child.ready
      return await work({ database, redis, order, child })
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error)
      throw new SideFailed(`${side.name}: ${what}\n${await child.log()}`, { cause: error })
    }
  } finally {
    for (const close of closing.toReversed()) await close()
  }
}

const addressesFor = (port: number): Pick<Order, 'publicUrl' | 'redirectUri'> => {
  const publicUrl = `http://127.0.0.1:${port}`
  return { publicUrl, redirectUri: `${publicUrl}/callback` }
}

/** With a simulator that knows these consents, and users who act on every mail. As withSide. */
export const withStage = async <Result>(
  { side, latencyMs, ...place }: Place & { readonly side: Side; readonly latencyMs: number },
  consents: readonly BenchConsent[],
  work: (stage: Stage) => Promise<Result>,
): Promise<Result> => {
  const users = makeUsers()
  let simulator: SimulatorProcess | undefined
  try {
    const { redirectUri } = addressesFor(place.port)
    const started = await startSimulatorProcess({ ...CLIENT, redirectUri, latencyMs }, users.act)
    simulator = started
    const told = {
      ...CLIENT,
      providerUrl: started.url,
      smtpUrl: started.smtpUrl,
      mailFrom: 'Bench <bench@example.com>',
    }
    const fill = async (database: SideDatabase, order: Order): Promise<void> => {
      await started.seed(consents)
      await side.fill(database, order, consents)
    }
    return await withSide({ ...place, side, told, fill }, async (running) =>
      work({ ...running, side, simulator: started, users }),
    )
  } finally {
    await simulator?.stop()
    users.stop()
  }
}

/** Throws when the process has ended, or a user was not served as expected. */
export const checkAlive = async ({ users, child }: Stage): Promise<void> => {
  const [problem] = users.problems
  // When the process dies, its users may be turned away before it is seen to have ended.
  if (problem !== undefined) await wait(DEATH_SHOWS_WITHIN_MS)
  if (child.ended() !== undefined) throw new Error(`the process ${child.ended()}`)
  if (problem !== undefined) throw new Error(`${users.problems.length} users failed, the first with: ${problem}`)
}

/** Ends the process, which must end well. */
export const stopSide = async (child: SideProcess): Promise<void> => {
  await child.stop()
  if (child.ended() !== 'ended with 0') throw new Error(`the process ${child.ended()}`)
}

export const countRenewed = async ({ database, side }: Stage): Promise<number> =>
  Number((await database.query<{ count: string }>(side.countRenewed))[0]?.count)

interface Stored {
  readonly credentials_id: string
  readonly expires_at: Date
  readonly token: string
}

/** Every consent runs longer than before, at the provider and by the side's own record, which has the valid token. */
export const checkRenewed = async (
  { side, database, simulator }: Stage,
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

/** User and system time of the server so far, in milliseconds; 0 for a side without Redis. */
export const redisCpuMs = async (redis: RedisServer | undefined): Promise<number> => {
  const info = (await redis?.ask(async (client) => client.info('cpu'))) ?? ''
  const seconds = (name: string): number => Number(new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1] ?? 0)
  return (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1_000
}
