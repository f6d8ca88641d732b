// Tries what the queue needs of its backend: a write under our prefix, a script, the right to every command the queue
// sends, and access to the queue's own keys. A server that answers PING may refuse all of these.
import type { Client } from '../postgres/client.ts'
import type { Pool } from '../postgres/pool.ts'
import { troubleOf } from '../postgres/trouble.ts'
import { foreignError, wordOf } from './foreign-error.ts'
import type { RedisClient } from './redis-client.ts'
import { wordsFor } from './words.ts'

export type Trial =
  | { readonly ok: true }
  | {
      readonly ok: false
      /** For example `READONLY`, `ECONNREFUSED` or an SQLSTATE. */
      readonly word: string
      /** What the word means, without an address. */
      readonly detail: string
      readonly advice: string
      readonly server: string | undefined
    }

export const failed = (kind: 'redis' | 'postgres', error: unknown, more?: string): Trial => {
  const word = wordOf(error)
  const { means, advice } = wordsFor(kind, word, kind === 'postgres' ? troubleOf(error)?.words : undefined)
  return {
    ok: false,
    word,
    detail: more === undefined ? means : `${means}: ${more}`,
    advice,
    server: foreignError(error).server,
  }
}

/** Whether the word names a cause, rather than only the class of a driver's error. */
export const namesCause = (trial: Trial): boolean => !trial.ok && /^[A-Z0-9_]+$/.test(trial.word)

/** How long the key written by a try lasts, unless the next try writes it again. */
const TRIAL_KEY_TTL_MS = 60_000

/**
 * The commands that BullMQ sends or that its scripts call (a test reads the scripts), apart from EVALSHA and EVAL
 * themselves. The Redis user needs a right to each command.
 */
export const commandsNeeded = [
  'bzpopmin',
  'del',
  'exec',
  'exists',
  'get',
  'hdel',
  'hexists',
  'hget',
  'hgetall',
  'hincrby',
  'hlen',
  'hmget',
  'hmset',
  'hset',
  'incr',
  'incrby',
  'lindex',
  'llen',
  'lpop',
  'lpos',
  'lpush',
  'lrange',
  'lrem',
  'lset',
  'ltrim',
  'multi',
  'persist',
  'pexpire',
  'pexpireat',
  'pttl',
  'rename',
  'rpop',
  'rpoplpush',
  'rpush',
  'sadd',
  'scard',
  'set',
  'sismember',
  'smembers',
  'srem',
  'time',
  'type',
  'unlink',
  'xadd',
  'xdel',
  'xlen',
  'xrange',
  'xread',
  'xtrim',
  'zadd',
  'zcard',
  'zcount',
  'zlexcount',
  'zpopmin',
  'zrange',
  'zrangebylex',
  'zrangebyscore',
  'zrem',
  'zremrangebyrank',
  'zremrangebyscore',
  'zrevrange',
  'zrevrangebyscore',
  'zscore',
] as const

/**
 * KEYS: our own key, then the queues' keys. PERSIST is a write, but changes nothing on the queues' keys, which have no
 * expiry. Returns the commands to which the user has no right; a server that cannot check this (older than Redis 7, or
 * a relative of Redis) returns none.
 */
const SCRIPT = `
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  for index = 2, #KEYS do redis.call('PERSIST', KEYS[index]) end
  local missing = {}
  if redis.acl_check_cmd then
    for index = 3, #ARGV do
      -- With arguments, as some commands look for their keys there; both are keys, as some have two.
      local known, allowed = pcall(redis.acl_check_cmd, ARGV[index], KEYS[1], KEYS[1])
      if known and not allowed then missing[#missing + 1] = ARGV[index] end
    end
  end
  return missing`

interface WithScript {
  /**
   * Sent in the same way as BullMQ's scripts: by EVALSHA, and by EVAL where the server does not know the script yet.
   */
  reconsentTry?: (keys: number, ...rest: (string | number)[]) => Promise<string[]>
}

const runScript = async (
  client: RedisClient,
  keys: readonly string[],
  values: readonly (string | number)[],
): Promise<string[]> => {
  const scripted = client as WithScript
  if (scripted.reconsentTry === undefined) client.defineCommand('reconsentTry', { lua: SCRIPT })
  return (await scripted.reconsentTry?.(keys.length, ...keys, ...values)) ?? []
}

/** The command that Redis names in its answer: NOPERM … run the 'evalsha' command. */
const refusedCommand = (error: unknown): string | undefined =>
  error instanceof Error
    ? (/ the '([a-z|]{1,30})' command/.exec(error.message)?.[1] ??
      (/keys? /.test(error.message) ? 'the keys of the queue' : undefined))
    : undefined

/**
 * How many primaries share a cluster's slots, as one of its nodes reports; undefined when the server is not in a
 * cluster, or does not tell.
 */
const clusterSize = async (client: RedisClient): Promise<number | undefined> => {
  const info = await client.cluster('INFO').catch(() => undefined)
  const size = typeof info === 'string' ? /^cluster_size:(\d+)/m.exec(info)?.[1] : undefined
  return size === undefined ? undefined : Number(size)
}

/** `queues`: BullMQ's names of the queues under `prefix`, which includes the braces. Never rejects. */
export const tryRedis = async (
  client: RedisClient,
  { prefix, queues }: { prefix: string; queues: readonly string[] },
): Promise<Trial> => {
  try {
    const key = `${prefix}:tried`
    const now = String(Date.now())
    await client.set(key, now, 'PX', TRIAL_KEY_TTL_MS)
    const own = queues.flatMap((queue) =>
      ['meta', 'wait', 'active', 'marker', 'events'].map((type) => `${prefix}:${queue}:${type}`),
    )
    const missing = await runScript(client, [key, ...own], [now, TRIAL_KEY_TTL_MS, ...commandsNeeded])
    if (missing.length > 0) {
      const { means, advice } = wordsFor('redis', 'NOPERM')
      return { ok: false, word: 'NOPERM', detail: `${means}: ${missing.join(', ')}`, advice, server: undefined }
    }
    // A single node of a cluster passes all of the checks above while it has our slot, but fails once the slot moves.
    const size = client.isCluster ? undefined : await clusterSize(client)
    if (size !== undefined && size > 1) {
      const { means, advice } = wordsFor('redis', 'MOVED')
      return {
        ok: false,
        word: 'MOVED',
        detail: `${means}: ${size} primaries share the keys`,
        advice,
        server: undefined,
      }
    }
    return { ok: true }
  } catch (error) {
    const word = wordOf(error)
    if (client.isCluster && ['MOVED', 'ASK', 'TRYAGAIN'].includes(word)) {
      const { means, advice } = wordsFor('redis', 'REDIRECTED')
      return { ok: false, word, detail: means, advice, server: undefined }
    }
    return failed('redis', error, word === 'NOPERM' ? refusedCommand(error) : undefined)
  }
}

/** The same check for BullMQ's tables: writes one row of our own, the same row each time. Never rejects. */
export const tryPostgres = async (pool: Pool | Client, schema: string): Promise<Trial> => {
  try {
    await pool.query(
      `INSERT INTO "${schema}".meta (queue, field, value) VALUES ('reconsent-tried', 'at', $1) ON CONFLICT ` +
        '(queue, field) DO UPDATE SET value = excluded.value',
      [new Date().toISOString()],
    )
    await pool.query(`SELECT pg_notify('reconsent_tried', '')`)
    return { ok: true }
  } catch (error) {
    return failed('postgres', error)
  }
}
