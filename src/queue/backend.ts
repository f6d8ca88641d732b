// One BullMQ backend, Redis or PostgreSQL: makes the queues (producers) and workers, and closes the queues. The rest of
// the program need not know which of the two it is.
import { createPostgresBackend, Queue, RedisConnection, Worker } from 'bullmq'
import type { BackendFactory, Processor, QueueOptions, RedisQueueBackend, WorkerOptions } from 'bullmq'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log.ts'
import type { Client } from '../postgres/client.ts'
import type { Pool } from '../postgres/pool.ts'
import { jobOptions, prefixOf, queueNames } from './catalogue.ts'
import type { QueuePlans } from './catalogue.ts'
import { logErrorsOf, makeErrorLog, postgresPool, serverOf } from './connection.ts'
import type { BackendTarget, ErrorLog } from './connection.ts'
import { settlesWithin } from '../settles-within.ts'
import { checkQueueSessions, prepareQueueSchema, QUEUE_SCHEMA } from './postgres-schema.ts'
import type { QueueName } from './port.ts'
import { connectRedis, type RedisClient } from './redis-client.ts'
import { failed, namesCause, type Trial, tryPostgres, tryRedis } from './trial.ts'

export interface Backend {
  readonly kind: BackendTarget['kind']
  readonly plans: QueuePlans
  readonly log: Log
  /** Logs an error of the backend's driver: its class, first word and server, and no more. */
  readonly logError: ErrorLog
  /**
   * The producer's end of a queue, one per backend, used to enqueue, to count and by the board. Its calls fail at once
   * while the backend is unavailable.
   */
  queue(name: QueueName): Queue
  /** A new worker, not yet running. The caller closes it. */
  worker(name: QueueName, processor: Processor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): Worker
  /**
   * Tries whether the backend does what the queue needs, on the producers' own connection. Takes seconds at most, and
   * never rejects.
   */
  tryOut(): Promise<Trial>
  /** Closes the queues, not the workers. */
  close(): Promise<void>
}

export interface BackendOptions {
  /** Namespace of our keys on a Redis that others use too, given without braces: the program adds them. */
  readonly prefix?: string
  readonly log: Log
  /**
   * Attempts, back-off and concurrency: `plansFor` of the policy's timing. There is no default, so that all callers use
   * the same numbers.
   */
  readonly plans: QueuePlans
}

/**
 * BullMQ removes its own listener from the blocking connection when it closes that connection. A connection to an
 * unreachable server ends only later, with an error: without a listener ioredis would print that error with the
 * server's address, bypassing the log.
 */
const silenceAfterClose = (worker: Worker): void => {
  const { blockingClient } = worker.getBackend() as unknown as RedisQueueBackend
  blockingClient?.then(
    (connected) => connected.on('error', () => undefined),
    () => undefined,
  )
}

/** The method by which BullMQ takes the next job, the same on Redis and PostgreSQL. */
interface JobSource {
  moveToActive(...given: readonly unknown[]): Promise<unknown>
}

const AFTER_REFUSAL_MS = 1_000

/**
 * When the backend refuses to give the next job (OOM, NOPERM, MISCONF, a full disk), BullMQ would try again at once:
 * some thousand requests a second to a server that is already in trouble. This adds a pause.
 */
const pauseAfterRefusal = (worker: Worker): void => {
  const source = worker.getBackend() as unknown as JobSource
  const take = source.moveToActive.bind(source)
  source.moveToActive = async (...given) => {
    try {
      return await take(...given)
    } catch (error) {
      if (worker.closing === undefined) await delay(AFTER_REFUSAL_MS)
      throw error
    }
  }
}

/** The parts of BullMQ's PostgreSQL connection that we need to keep an error listener on it. */
interface PostgresConnection {
  readonly pool: Pool
  /** The connection that waits for NOTIFY. */
  readonly listenClient?: Client
  close(): Promise<void>
}

/**
 * BullMQ removes all listeners from the connection that waits for NOTIFY before it ends that connection. If the server
 * closed it at that moment, the unhandled 'error' would end the process. The pool was made by us, so BullMQ does not
 * end it: we do.
 */
const endPoolOnClose = (owner: Queue | Worker): void => {
  const { connection } = owner.getBackend() as unknown as { connection: PostgresConnection }
  const close = connection.close.bind(connection)
  let ended: Promise<void> | undefined
  connection.close = async () => {
    const closing = close()
    connection.listenClient?.on('error', () => undefined)
    await closing
    await (ended ??= connection.pool.end())
  }
}

/**
 * BullMQ notes four events for each job, which cannot be switched off, and keeps 10,000 of each queue. Nobody reads
 * them, the board neither: a few are enough.
 */
const EVENTS_KEPT = 100
/** Longer than a producer's command may take. */
const TRY_WITHIN_MS = 8_000
/** A server's answer may make the client replace its connection by a better one, so the next try can succeed. */
const TRIES = 3
const BETWEEN_TRIES_MS = 300
/** How long a try waits for the connection: at the start, or while the client replaces it. */
const CONNECTS_WITHIN_MS = 2_500
const POOLED_PER_QUEUE = 2
/** BullMQ uses one of these connections to listen. */
const POOLED_PER_WORKER = 4

interface Driver {
  makeQueue(name: QueueName, options: QueueOptions): Queue
  makeWorker(name: QueueName, processor: Processor, options: WorkerOptions): Worker
  tryOut(): Promise<Trial>
  /** The last error since the backend last worked: it explains why a try takes too long. */
  lastError(): unknown
  close(): Promise<void>
}

type Unconnected<Options> = Omit<Options, 'connection'>

// BullMQ must not send INFO here (`skipVersionCheck`), because a user without @dangerous may not. BullMQ then assumes
// this minimum version. Its default is a version whose blocking commands count whole seconds, so a retry due in 200 ms
// would wait for a full second.
RedisConnection.minimumVersion = '7.0.8'

/**
 * All queues share one connection. Each worker has its own, and BullMQ copies that connection, options included, for
 * its blocking commands.
 */
const redisDriver = (target: Extract<BackendTarget, { kind: 'redis' }>, prefix: string, logError: ErrorLog): Driver => {
  const clients = new Set<RedisClient>()
  let lastError: unknown
  const keep = (error: unknown): void => {
    // "Connection is closed" only follows an earlier error, and does not say why.
    if (lastError === undefined || namesCause(failed('redis', error))) lastError = error
  }
  const whyNot = (): Trial => failed('redis', lastError ?? new Error('Command timed out'))
  const connect = (end: 'producer' | 'worker', fields: Readonly<Record<string, unknown>>): RedisClient => {
    const client = connectRedis(target, end, {
      onStale: (error) =>
        logError(
          { ...fields, end },
          error,
          'Redis answers as one that is not the primary, or knows no login of ours: connecting anew',
        ),
      onPartError: (error) => {
        keep(error)
        logError({ ...fields, end }, error)
      },
    })
    clients.add(client)
    return client
  }
  const producer = connect('producer', {})
  producer.on('error', keep)
  const isReady = (): boolean => producer.status === 'ready'
  const readyWithin = async (ms: number): Promise<boolean> =>
    isReady() || ((await settlesWithin(ms, once(producer, 'ready'))) && isReady())
  return {
    makeQueue: (name, options) => new Queue(name, { ...options, connection: producer, skipVersionCheck: true }),
    makeWorker: (name, processor, options) => {
      const client = connect('worker', { queue: name })
      const worker = new Worker(name, processor, { ...options, connection: client, skipVersionCheck: true })
      silenceAfterClose(worker)
      worker.once('closed', () => {
        clients.delete(client)
        client.disconnect()
      })
      return worker
    },
    tryOut: async () => {
      let telling: Trial | undefined
      for (let time = 0; time < TRIES; time += 1) {
        if (time > 0) await delay(BETWEEN_TRIES_MS)
        // Without a connection every command would fail; the useful answer is why there is no connection.
        if (!(await readyWithin(CONNECTS_WITHIN_MS))) return whyNot()
        const trial = await tryRedis(producer, { prefix, queues: queueNames })
        if (trial.ok) {
          lastError = undefined
          return trial
        }
        if (telling === undefined && namesCause(trial)) telling = trial
      }
      return telling ?? whyNot()
    },
    lastError: () => lastError,
    close: async () => {
      // An orderly close sends QUIT, which would not return while Redis is unavailable.
      if (isReady()) await settlesWithin(1_000, producer.quit())
      for (const client of clients) client.disconnect()
    },
  }
}

const postgresDriver = (target: Extract<BackendTarget, { kind: 'postgres' }>): Driver => {
  const factory = createPostgresBackend as unknown as BackendFactory
  // BullMQ types this option for Redis only, but each factory takes its own kind of connection.
  const asConnection = (pool: Pool) => pool as unknown as WorkerOptions['connection']
  let tried: Pool | undefined
  return {
    makeQueue: (name, options) => {
      const pool = postgresPool(target.url, POOLED_PER_QUEUE)
      tried ??= pool
      const queue = new Queue(name, { ...options, connection: asConnection(pool) }, factory) as unknown as Queue
      endPoolOnClose(queue)
      return queue
    },
    makeWorker: (name, processor, options) => {
      const pool = postgresPool(target.url, POOLED_PER_WORKER)
      const worker = new Worker(
        name,
        processor,
        { ...options, connection: asConnection(pool) },
        factory,
      ) as unknown as Worker
      endPoolOnClose(worker)
      return worker
    },
    tryOut: async () =>
      tried === undefined ? failed('postgres', new Error('no queue was made yet')) : tryPostgres(tried, QUEUE_SCHEMA),
    lastError: () => undefined,
    close: async () => undefined,
  }
}

/**
 * Opens a backend. Redis may be unavailable at that time: queues and workers connect when it comes back. PostgreSQL
 * must be available, because BullMQ's tables (schema `bullmq`) are checked first and, if missing or old, migrated;
 * rejects with a clear Error when that fails.
 */
export const openBackend = async (target: BackendTarget, options: BackendOptions): Promise<Backend> => {
  const { log, plans } = options
  const prefix = prefixOf(options.prefix)
  if (target.kind === 'postgres') {
    await prepareQueueSchema(target.url)
    await checkQueueSessions(target.url)
  }
  const logError = makeErrorLog(log, serverOf(target))
  const driver = target.kind === 'postgres' ? postgresDriver(target) : redisDriver(target, prefix, logError)

  const makeQueue = (name: QueueName): Queue => {
    const queue = driver.makeQueue(name, {
      prefix,
      defaultJobOptions: jobOptions(plans[name]),
      streams: { events: { maxLen: EVENTS_KEPT } },
    } satisfies Unconnected<QueueOptions> as QueueOptions)
    logErrorsOf(queue, logError, { queue: name, end: 'producer' })
    return queue
  }
  const queues = new Map<QueueName, Queue>(queueNames.map((name) => [name, makeQueue(name)]))

  return {
    kind: target.kind,
    plans,
    log,
    logError,
    queue: (name) => queues.get(name) as Queue,
    worker: (name, processor, workerOptions) => {
      const worker = driver.makeWorker(name, processor, {
        ...workerOptions,
        prefix,
      } satisfies Unconnected<WorkerOptions> as WorkerOptions)
      logErrorsOf(worker, logError, { queue: name, end: 'worker' })
      pauseAfterRefusal(worker)
      return worker
    },
    tryOut: async () => {
      const inTime = async (): Promise<Trial> => {
        await delay(TRY_WITHIN_MS, undefined, { ref: false })
        return failed(target.kind, driver.lastError() ?? new Error('Command timed out'))
      }
      return Promise.race([driver.tryOut(), inTime()])
    },
    close: async () => {
      await Promise.all(
        [...queues.values()].map(async (queue) => {
          if (!(await settlesWithin(1_000, queue.close()))) await settlesWithin(1_000, queue.disconnect())
        }),
      )
      await driver.close()
    },
  }
}
