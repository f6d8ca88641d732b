// The one place that connects to Redis, whatever stands behind REDIS_URL: one server, a cluster or sentinels. Decides
// when a connection is given up for a new one; knows nothing of queues.
import { readFileSync } from 'node:fs'
import { Cluster, Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import type { Secret } from '../secret.ts'
import { isStale } from './foreign-error.ts'
import { parseRedisUrl, type RedisAddress, type Trust } from './redis-url.ts'

export type RedisClient = Redis | Cluster

export interface RedisTarget {
  readonly url: Secret
  /**
   * What the variable or its file says now: a password may have been rotated. Undefined while it says nothing usable.
   */
  readonly reread?: (() => Secret | undefined) | undefined
}

/** A producer must fail at once while Redis is away, a worker must wait; a question is asked once, by a person. */
export type End = 'producer' | 'worker' | 'question'

export interface ClientEvents {
  /** The connection is given up because of this answer. */
  readonly onStale?: (error: Error) => void
  /** Of one node of a cluster or one sentinel; what ends the whole connection comes as the client's own 'error'. */
  readonly onPartError?: (error: Error) => void
}

const CONNECT_MS = 2_000
const COMMAND_MS = 5_000
const RETRY_AT_MOST_MS = 2_000
/**
 * Longer than any command blocks (BullMQ: 10 s). A server that has vanished without a word, behind it, costs this much.
 */
const SILENCE_MS = 15_000

/** Throws on an address that the configuration has not checked. */
export const addressOf = (url: Secret): RedisAddress => {
  const parsed = parseRedisUrl(url.reveal())
  if ('address' in parsed) return parsed.address
  throw new Error(`REDIS_URL ${parsed.problem}`)
}

const read = (name: string, path: string | undefined): Buffer | undefined => {
  if (path === undefined) return undefined
  try {
    return readFileSync(path)
  } catch (error) {
    throw new Error(
      `REDIS_URL names a file in ${name} that cannot be read ` +
        `(${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`,
    )
  }
}

const tlsOf = ({ ca, cert, key, servername }: Trust) => {
  const files = { ca: read('ca', ca), cert: read('cert', cert), key: read('key', key), servername }
  return Object.fromEntries(Object.entries(files).filter(([, value]) => value !== undefined))
}

type EndOptions = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout' | 'socketTimeout' | 'lazyConnect'
>

const ofEnd: Readonly<Record<End, EndOptions>> = {
  producer: {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: COMMAND_MS,
    socketTimeout: COMMAND_MS,
  },
  worker: { maxRetriesPerRequest: null, socketTimeout: SILENCE_MS },
  question: { maxRetriesPerRequest: 0, commandTimeout: COMMAND_MS, lazyConnect: true },
}

/** Not `ready` by INFO, which is in @dangerous: a server that loads its data says so to the first command. */
const always = { connectTimeout: CONNECT_MS, enableReadyCheck: false }

interface Strategy {
  /** Milliseconds to the next try. */
  readonly pause: (times: number) => number
  readonly reconnectOnError: (error: Error) => 1 | 2 | false
}

/**
 * A primary that was demoted keeps its connections and answers READONLY for ever; so it is with the other answers of
 * `isStale`. A worker's command is sent again over the new connection, because none of these answers leaves anything
 * done: a finished job is reported, not run again. A producer's caller has the answer at once, and its next sweep.
 */
const strategyOf = (end: End, onStale: ClientEvents['onStale']): Strategy => {
  let givenUp = 0
  let last = 0
  return {
    // Connecting works, so ioredis counts from one each time: where every server refuses, it would go on five times a
    // second.
    pause: (times) => Math.min(200 * Math.max(times, Date.now() - last < 10_000 ? givenUp : 0), RETRY_AT_MOST_MS),
    reconnectOnError: (error) => {
      if (!isStale(error)) return false
      givenUp = Date.now() - last < 10_000 ? givenUp + 1 : 1
      last = Date.now()
      onStale?.(error)
      return end === 'worker' ? 2 : 1
    },
  }
}

type SentinelAddress = Extract<RedisAddress, { topology: 'sentinel' }>
type LoginOptions = Pick<
  RedisOptions,
  'username' | 'password' | 'sentinelUsername' | 'sentinelPassword' | 'host' | 'port'
>

const loginNow = (target: RedisTarget, { topology, login }: RedisAddress): LoginOptions => {
  const text = target.reread?.()?.reveal()
  const parsed = text === undefined ? undefined : parseRedisUrl(text)
  if (parsed === undefined || !('address' in parsed) || parsed.address.topology !== topology) return login
  const now = parsed.address
  const more = now.topology === 'single' ? now.at : now.topology === 'sentinel' ? sentinelLoginOf(now) : {}
  return { username: '', password: '', ...now.login, ...more }
}

const sentinelLoginOf = ({ sentinelLogin: { username, password } }: SentinelAddress): LoginOptions => ({
  ...(username === undefined ? {} : { sentinelUsername: username }),
  ...(password === undefined ? {} : { sentinelPassword: password }),
})

const connectOne = (
  target: RedisTarget,
  address: Exclude<RedisAddress, { topology: 'cluster' }>,
  end: End,
  events: ClientEvents,
): Redis => {
  const { pause, reconnectOnError } = strategyOf(end, events.onStale)
  const tls = address.tls ? tlsOf(address.trust) : undefined
  // ioredis calls it on the options that it connects with: those of this client, or of its copy that BullMQ makes for
  // blocking.
  function retryStrategy(this: RedisOptions, times: number): number {
    Object.assign(this, loginNow(target, address))
    return pause(times)
  }
  const client = new Redis({
    ...always,
    ...ofEnd[end],
    ...address.login,
    family: address.family,
    db: address.db,
    reconnectOnError,
    retryStrategy: end === 'question' ? () => null : retryStrategy,
    ...(tls === undefined ? {} : { tls }),
    ...(address.topology === 'single' ? address.at : sentinelOptions(target, address, end)),
  })
  client.on('sentinelError', (error: Error) => events.onPartError?.(error))
  if (address.topology === 'sentinel') tellTrouble(client, events)
  return client
}

interface WithConnector {
  readonly connector: { connectToSentinel: (...given: readonly unknown[]) => Redis }
}

/** Where a sentinel is not trusted, its connection keeps that to itself: what ioredis tells is that it was closed. */
const tellTrouble = (client: Redis, { onPartError }: ClientEvents): void => {
  const { connector } = client as unknown as WithConnector
  const connect = connector.connectToSentinel.bind(connector)
  connector.connectToSentinel = (...given) =>
    connect(...given).on('error', (error: NodeJS.ErrnoException) => {
      if (/CERT|SSL|SIGNATURE|EPROTO/.test(error.code ?? '')) onPartError?.(error)
    })
}

type SentinelOptions = Pick<
  RedisOptions,
  | 'sentinels'
  | 'name'
  | 'enableTLSForSentinelMode'
  | 'sentinelCommandTimeout'
  | 'sentinelRetryStrategy'
  | 'sentinelUsername'
  | 'sentinelPassword'
  | 'sentinelTLS'
>

const sentinelOptions = (target: RedisTarget, address: SentinelAddress, end: End): SentinelOptions => {
  // As the strategy above: while no sentinel lets us in, ioredis asks this one alone.
  function sentinelRetryStrategy(this: RedisOptions, times: number): number {
    Object.assign(this, loginNow(target, address))
    return Math.min(100 * times, 1_000)
  }
  return {
    sentinels: [...address.sentinels],
    name: address.primary,
    enableTLSForSentinelMode: address.tls,
    sentinelCommandTimeout: CONNECT_MS,
    sentinelRetryStrategy: end === 'question' ? () => null : sentinelRetryStrategy,
    ...sentinelLoginOf(address),
    ...(address.sentinelTls ? { sentinelTLS: tlsOf(address.trust) } : {}),
  }
}

const connectCluster = (
  target: RedisTarget,
  address: Extract<RedisAddress, { topology: 'cluster' }>,
  end: End,
  events: ClientEvents,
): Cluster => {
  const { pause, reconnectOnError } = strategyOf(end, events.onStale)
  const { enableOfflineQueue, lazyConnect, ...ofNode } = ofEnd[end]
  // Each node is logged in to when a command first goes there. The pool hands these options on, and has no other door.
  const refreshLogin = (cluster: Cluster): void => {
    const { connectionPool } = cluster as unknown as { connectionPool: { redisOptions: RedisOptions } }
    connectionPool.redisOptions = { ...connectionPool.redisOptions, ...loginNow(target, address) }
  }
  // ioredis calls it on the cluster that it is for: this one, or the copy.
  function clusterRetryStrategy(this: Cluster, times: number): number | null {
    refreshLogin(this)
    return end === 'question' ? null : pause(times)
  }
  const client: Cluster = new Cluster([...address.nodes], {
    enableOfflineQueue: enableOfflineQueue ?? true,
    lazyConnect: lazyConnect ?? false,
    // One that is down says CLUSTERDOWN to the first command. A check that fails says nothing, and connect() never
    // ends.
    enableReadyCheck: false,
    // A name stays a name: certificates are for names, and each new connection asks DNS again.
    dnsLookup: (name, found) => found(null, name),
    slotsRefreshTimeout: COMMAND_MS,
    // While a slot moves, a script whose keys are partly here and partly there is refused until it has moved: some
    // seconds.
    maxRedirections: 32,
    retryDelayOnTryAgain: 200,
    clusterRetryStrategy,
    redisOptions: {
      ...always,
      ...ofNode,
      ...address.login,
      family: address.family,
      reconnectOnError,
      ...(address.tls ? { tls: tlsOf(address.trust) } : {}),
    },
  })
  const follow = (one: Cluster): Cluster => {
    one.on('node error', (error: Error) => {
      if (isStale(error)) refreshLogin(one)
      events.onPartError?.(error)
    })
    // A node is asked for the slots over a copy of its connection, which keeps to itself why it fails.
    one.on('+node', (node: Redis) => {
      const copyOf = node.duplicate.bind(node)
      node.duplicate = (...given) => copyOf(...given).on('error', (error: Error) => events.onPartError?.(error))
    })
    return one
  }
  // BullMQ's copy, to block on.
  const duplicate = client.duplicate.bind(client)
  client.duplicate = (...given) => follow(duplicate(...given))
  return follow(client)
}

/**
 * Connects, in the background but for a `question`, which waits to be told. The caller listens to 'error' and
 * disconnects.
 */
export const connectRedis = (target: RedisTarget, end: End, events: ClientEvents = {}): RedisClient => {
  const address = addressOf(target.url)
  const client =
    address.topology === 'cluster'
      ? connectCluster(target, address, end, events)
      : connectOne(target, address, end, events)
  // One that ends after everybody has let go of it would be printed, address and all.
  client.on('error', () => undefined)
  return client
}
