// For `doctor`: what a Redis says of itself, as far as the queue depends on it. Reads INFO alone: managed services forbid CONFIG.
import { Redis } from 'ioredis'
import type { Secret } from '../secret.ts'
import { nameOf } from './failure.ts'

export interface RedisInfo {
  /** `7.2.4`; of Valkey the Redis version it is compatible with. */
  readonly version: string
  readonly isValkey: boolean
  /** Whether the queue can rely on all commands it uses: 7.0.8 or later. */
  readonly isRecentEnough: boolean
  /** Undefined when the server does not tell. Must be `noeviction`: another policy deletes jobs when memory is full. */
  readonly evictionPolicy: string | undefined
  /** Append-only file. Undefined when the server does not tell. */
  readonly persists: boolean | undefined
  readonly isReplica: boolean
}

const LEAST = [7, 0, 8] as const
const TIMEOUT_MS = 5_000

const isAtLeast = (version: string, least: readonly number[]): boolean => {
  const parts = version.split('.').map(Number)
  for (const [index, wanted] of least.entries()) {
    const part = parts[index] ?? 0
    if (part !== wanted) return part > wanted
  }
  return true
}

/** The parts of an INFO answer: `name:value` lines. */
export const readInfo = (text: string): RedisInfo => {
  const fields = new Map(text.split(/\r?\n/).flatMap((line) => (line.includes(':') ? [[line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const] : [])))
  const version = fields.get('redis_version') ?? '0'
  const aof = fields.get('aof_enabled')
  return {
    version: fields.get('valkey_version') ?? version,
    isValkey: fields.has('valkey_version'),
    isRecentEnough: isAtLeast(version, LEAST),
    evictionPolicy: fields.get('maxmemory_policy'),
    persists: aof === undefined ? undefined : aof === '1',
    isReplica: fields.get('role') === 'slave',
  }
}

/** Asks the server; rejects with an Error that names what is wrong by code only. */
export const askRedis = async (url: Secret): Promise<RedisInfo> => {
  let failure: unknown
  const client = new Redis(url.reveal(), {
    lazyConnect: true, connectTimeout: TIMEOUT_MS, commandTimeout: TIMEOUT_MS, maxRetriesPerRequest: 0, retryStrategy: () => null, enableOfflineQueue: false,
  })
  client.on('error', (error: unknown) => {
    failure = error
  })
  const ask = async (): Promise<RedisInfo> => {
    await client.connect()
    return readInfo(await client.info())
  }
  // The first failure is the telling one: what follows only says that the connection is closed.
  const answer = await ask().catch((error: unknown) => {
    failure ??= error
    return undefined
  })
  client.disconnect()
  if (answer !== undefined) return answer
  const { name, code } = nameOf(failure)
  throw new Error(`Redis could not be asked (${code ?? name})`)
}
