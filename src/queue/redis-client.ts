// The only place that connects to Redis, whether REDIS_URL names one server, a cluster or sentinels. Decides when a
// connection is replaced by a new one; knows nothing of queues.
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
   * The URL that the variable or its file holds now, because a password may have been rotated. Undefined while neither
   * holds a usable URL.
   */
  readonly reread?: (() => Secret | undefined) | undefined
}

/**
 * A producer must fail at once while Redis is unavailable; a worker must wait; a `question` is a single check for an
 * operator.
 */
export type ClientRole = 'producer' | 'worker' | 'question'

export interface ClientEvents {
  /** Called when the client replaces its connection because of this answer. */
  readonly onStale?: (error: Error) => void
  /**
   * Called for an error of one cluster node or one sentinel. An error of the whole connection is the client's own
   * 'error' event.
   */
  readonly onPartError?: (error: Error) => void
}

const CONNECT_MS = 2_000
const COMMAND_MS = 5_000
const RETRY_AT_MOST_MS = 2_000
/**
 * After this long without data the client gives up a worker's connection, so a server that vanished silently is noticed
 * only then. Must be longer than any command blocks (BullMQ: 10 s).
 */
const SILENCE_MS = 15_000

/** The parsed address. Throws if the URL is invalid, which the configuration should have found before. */
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

type RoleOptions = Pick<
  RedisOptions,
  'enableOfflineQueue' | 'maxRetriesPerRequest' | 'commandTimeout' | 'socketTimeout' | 'lazyConnect'
>

const optionsOf: Readonly<Record<ClientRole, RoleOptions>> = {
  producer: {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: COMMAND_MS,
    socketTimeout: COMMAND_MS,
  },
  worker: { maxRetriesPerRequest: null, socketTimeout: SILENCE_MS },
  question: { maxRetriesPerRequest: 0, commandTimeout: COMMAND_MS, lazyConnect: true },
}

/**
 * The ready check is off because it sends INFO, which is in @dangerous. A server that is still loading its data answers
 * the first command with LOADING.
 */
const always = { connectTimeout: CONNECT_MS, enableReadyCheck: false }

interface Strategy {
  /** Milliseconds until the next connection attempt. */
  readonly pause: (times: number) => number
  readonly reconnectOnError: (error: Error) => 1 | 2 | false
}

/**
 * A primary that was demoted keeps its connections and answers READONLY for ever; the same holds for the other answers
 * of `isStale`, so the client reconnects. A worker's command is then sent again over the new connection. That is safe
 * because a command that got such an answer did nothing; so a finished job is reported rather than run again. A
 * producer's caller gets the error at once, and the next sweep enqueues again.
 */
const strategyOf = (role: ClientRole, onStale: ClientEvents['onStale']): Strategy => {
  let givenUp = 0
  let last = 0
  return {
    // Each connection attempt succeeds, so ioredis restarts its count at one each time. If every server refused our
    // commands, the client would reconnect five times a second without this count of our own.
    pause: (times) => Math.min(200 * Math.max(times, Date.now() - last < 10_000 ? givenUp : 0), RETRY_AT_MOST_MS),
    reconnectOnError: (error) => {
      if (!isStale(error)) return false
      givenUp = Date.now() - last < 10_000 ? givenUp + 1 : 1
      last = Date.now()
      onStale?.(error)
      return role === 'worker' ? 2 : 1
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
  role: ClientRole,
  events: ClientEvents,
): Redis => {
  const { pause, reconnectOnError } = strategyOf(role, events.onStale)
  const tls = address.tls ? tlsOf(address.trust) : undefined
  // ioredis calls this function on the options that it connects with: those of this client, or of the copy that BullMQ
  // makes for blocking commands.
  function retryStrategy(this: RedisOptions, times: number): number {
    Object.assign(this, loginNow(target, address))
    return pause(times)
  }
  const client = new Redis({
    ...always,
    ...optionsOf[role],
    ...address.login,
    family: address.family,
    db: address.db,
    reconnectOnError,
    retryStrategy: role === 'question' ? () => null : retryStrategy,
    ...(tls === undefined ? {} : { tls }),
    ...(address.topology === 'single' ? address.at : sentinelOptions(target, address, role)),
  })
  client.on('sentinelError', (error: Error) => events.onPartError?.(error))
  if (address.topology === 'sentinel') reportSentinelTlsErrors(client, events)
  return client
}

interface WithConnector {
  readonly connector: { connectToSentinel: (...given: readonly unknown[]) => Redis }
}

/**
 * When a sentinel's certificate is not trusted, ioredis reports only that the connection was closed. The reason is an
 * event of the sentinel's own connection, so the client listens there.
 */
const reportSentinelTlsErrors = (client: Redis, { onPartError }: ClientEvents): void => {
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

const sentinelOptions = (target: RedisTarget, address: SentinelAddress, role: ClientRole): SentinelOptions => {
  // Refreshes the login like `retryStrategy` above: until a sentinel accepts the login, ioredis calls only this
  // function.
  function sentinelRetryStrategy(this: RedisOptions, times: number): number {
    Object.assign(this, loginNow(target, address))
    return Math.min(100 * times, 1_000)
  }
  return {
    sentinels: [...address.sentinels],
    name: address.primary,
    enableTLSForSentinelMode: address.tls,
    sentinelCommandTimeout: CONNECT_MS,
    sentinelRetryStrategy: role === 'question' ? () => null : sentinelRetryStrategy,
    ...sentinelLoginOf(address),
    ...(address.sentinelTls ? { sentinelTLS: tlsOf(address.trust) } : {}),
  }
}

const connectCluster = (
  target: RedisTarget,
  address: Extract<RedisAddress, { topology: 'cluster' }>,
  role: ClientRole,
  events: ClientEvents,
): Cluster => {
  const { pause, reconnectOnError } = strategyOf(role, events.onStale)
  const { enableOfflineQueue, lazyConnect, ...ofNode } = optionsOf[role]
  // ioredis logs in to a node when a command first goes there, with the options of its pool. There is no public way to
  // change those options.
  const refreshLogin = (cluster: Cluster): void => {
    const { connectionPool } = cluster as unknown as { connectionPool: { redisOptions: RedisOptions } }
    connectionPool.redisOptions = { ...connectionPool.redisOptions, ...loginNow(target, address) }
  }
  // ioredis calls this function on the cluster client that reconnects: this client or its copy.
  function clusterRetryStrategy(this: Cluster, times: number): number | null {
    refreshLogin(this)
    return role === 'question' ? null : pause(times)
  }
  const client: Cluster = new Cluster([...address.nodes], {
    enableOfflineQueue: enableOfflineQueue ?? true,
    lazyConnect: lazyConnect ?? false,
    // A cluster that is down answers the first command with CLUSTERDOWN. With the ready check on, a failing check would
    // report nothing, and connect() would never settle.
    enableReadyCheck: false,
    // Host names are not resolved here: certificates are issued for names, and each new connection then looks the name
    // up again.
    dnsLookup: (name, found) => found(null, name),
    slotsRefreshTimeout: COMMAND_MS,
    // While a slot moves, the cluster refuses a script whose keys are on both nodes until the move ends, which takes
    // some seconds.
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
  const follow = (cluster: Cluster): Cluster => {
    cluster.on('node error', (error: Error) => {
      if (isStale(error)) refreshLogin(cluster)
      events.onPartError?.(error)
    })
    // ioredis reads the slots from a node over a copy of that node's connection, and does not report the copy's errors.
    cluster.on('+node', (node: Redis) => {
      const copyOf = node.duplicate.bind(node)
      node.duplicate = (...given) => copyOf(...given).on('error', (error: Error) => events.onPartError?.(error))
    })
    return cluster
  }
  // The copy that BullMQ makes for blocking commands.
  const duplicate = client.duplicate.bind(client)
  client.duplicate = (...given) => follow(duplicate(...given))
  return follow(client)
}

/**
 * Connects in the background; only a `question` does not connect until its caller says so. The caller listens to
 * 'error' and disconnects.
 */
export const connectRedis = (target: RedisTarget, role: ClientRole, events: ClientEvents = {}): RedisClient => {
  const address = addressOf(target.url)
  const client =
    address.topology === 'cluster'
      ? connectCluster(target, address, role, events)
      : connectOne(target, address, role, events)
  // A connection may end after its users have removed their listeners. Without this listener ioredis would print the
  // error, address and all.
  client.on('error', () => undefined)
  return client
}
