// For `doctor`: what a Redis server reports about itself, and what it accepts, as far as the queue depends on it. Reads
// only INFO, because managed services forbid CONFIG.
import { Cluster, type Redis } from 'ioredis'
import { prefixOf, queueNames } from './catalogue.ts'
import { addressOf, connectRedis, type RedisTarget } from './redis-client.ts'
import { hostList } from './redis-url.ts'
import { settlesWithin } from '../settles-within.ts'
import { failed, namesCause, type Trial, tryRedis } from './trial.ts'

export interface RedisInfo {
  /** For example `7.2.4`; for Valkey its own version. */
  readonly version: string
  readonly isValkey: boolean
  /** Whether the queue can rely on all commands it uses: 7.0.8 or later. */
  readonly isRecentEnough: boolean
  /**
   * Undefined when the server does not report it. Must be `noeviction`: another policy deletes jobs when memory is
   * full.
   */
  readonly evictionPolicy: string | undefined
  /** Whether the append-only file is on. Undefined when the server does not report it. */
  readonly persists: boolean | undefined
  readonly isReplica: boolean
}

const MIN_VERSION = [7, 0, 8] as const

const isAtLeast = (version: string, least: readonly number[]): boolean => {
  const parts = version.split('.').map(Number)
  for (const [index, wanted] of least.entries()) {
    const part = parts[index] ?? 0
    if (part !== wanted) return part > wanted
  }
  return true
}

/** Reads an INFO answer: lines of `name:value`. */
export const readInfo = (text: string): RedisInfo => {
  const fields = new Map(
    text
      .split(/\r?\n/)
      .flatMap((line) =>
        line.includes(':') ? [[line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const] : [],
      ),
  )
  const version = fields.get('redis_version') ?? '0'
  const aof = fields.get('aof_enabled')
  return {
    version: fields.get('valkey_version') ?? version,
    isValkey: fields.has('valkey_version'),
    isRecentEnough: isAtLeast(version, MIN_VERSION),
    evictionPolicy: fields.get('maxmemory_policy'),
    persists: aof === undefined ? undefined : aof === '1',
    isReplica: fields.get('role') === 'slave',
  }
}

export interface RedisServer {
  /** `host:port` of a primary. */
  readonly server: string
  /** Undefined when the user may not send INFO, which is in @dangerous. */
  readonly info: RedisInfo | undefined
}

export interface RedisExamination {
  /** The first thing that the queue needs and the server refuses, if any. */
  readonly trial: Trial
  /** For a cluster, every primary that answered. */
  readonly servers: readonly RedisServer[]
}

const infoOf = async (client: Redis): Promise<RedisInfo | undefined> => client.info().then(readInfo, () => undefined)

/** An operator is waiting for the result. */
const CONNECTS_WITHIN_MS = 15_000

/**
 * Connects as the program would and tries the server, within half a minute. Never rejects; nothing in the result
 * contains the login.
 */
export const examineRedis = async (target: RedisTarget, prefix = prefixOf()): Promise<RedisExamination> => {
  let first: unknown
  const keep = (error: unknown): void => {
    // Keeps the first error that tells the cause: later errors only say that the connection is closed.
    if (first === undefined || !namesCause(failed('redis', first))) first = error
  }
  const place = hostList(addressOf(target.url))
  const client = connectRedis(target, 'question', { onPartError: keep })
  client.on('error', keep)
  try {
    const connected = client.connect()
    connected.catch(keep)
    if (!(await settlesWithin(CONNECTS_WITHIN_MS, connected))) throw new Error('Command timed out')
    await connected
    const trial = await tryRedis(client, { prefix, queues: queueNames })
    const nodes = client instanceof Cluster ? client.nodes('master') : [client]
    const servers = await Promise.all(
      nodes.map(async (node) => ({
        server: client instanceof Cluster ? `${node.options.host}:${node.options.port}` : place,
        info: await infoOf(node),
      })),
    )
    return { trial, servers }
  } catch (error) {
    keep(error)
    return { trial: failed('redis', first), servers: [] }
  } finally {
    client.disconnect()
  }
}
