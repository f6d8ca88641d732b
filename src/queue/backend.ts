// One BullMQ backend, Redis or PostgreSQL: makes its queues (producers) and workers, and closes the queues. The rest of
// the program does not notice which of the two it is.
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
import { settlesWithin } from './deadline.ts'
import { checkQueueSessions, prepareQueueSchema, QUEUE_SCHEMA } from './postgres-schema.ts'
import type { QueueName } from './port.ts'
import { connectRedis, type RedisClient } from './redis-client.ts'
import { failed, isTelling, type Trial, tryPostgres, tryRedis } from './trial.ts'

export interface Backend {
  readonly kind: BackendTarget['kind']
  readonly plans: QueuePlans
  readonly log: Log
  /** Logs what the backend's driver has thrown: class, first word, server, and no more. */
  readonly logError: ErrorLog
  /**
   * The producer's end of a queue, one per backend: adding, counting, the board. Fails at once while the backend is
   * away.
   */
  queue(name: QueueName): Queue
  /** A new worker, not yet running. The caller closes it. */
  worker(name: QueueName, processor: Processor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): Worker
  /**
   * Whether it does what the queue needs of it, tried on the producers' own connection; within seconds, and never
   * rejects.
   */
  tryOut(): Promise<Trial>
  /** Closes the queues, not the workers. */
  close(): Promise<void>
}

export interface BackendOptions {
  /** Namespace of our keys on a Redis that others use too; without braces, they are added. */
  readonly prefix?: string
  readonly log: Log
  /**
   * Attempts, backoff, concurrency: `plansFor` of the policy's timing. No default, so that no opener can contradict
   * another.
   */
  readonly plans: QueuePlans
}

/**
 * BullMQ takes its own listener off the blocking connection that it closes, although one that is out of reach ends
 * later, with an error: without a listener ioredis prints that, address and all, beside the log.
 */
const silenceAfterClose = (worker: Worker): void => {
  const { blockingClient } = worker.getBackend() as unknown as RedisQueueBackend
  blockingClient?.then(
    (connected) => connected.on('error', () => undefined),
    () => undefined,
  )
}

/** What BullMQ takes the next job by; the same on Redis and PostgreSQL. */
interface TakingEnd {
  moveToActive(...given: readonly unknown[]): Promise<unknown>
}

const AFTER_REFUSAL_MS = 1_000

/**
 * Refused the next job (OOM, NOPERM, MISCONF, a full disk), BullMQ asks for it again at once: some thousand times a
 * second, of a server that is in trouble already.
 */
const waitsAfterRefusal = (worker: Worker): void => {
  const end = worker.getBackend() as unknown as TakingEnd
  const take = end.moveToActive.bind(end)
  end.moveToActive = async (...given) => {
    try {
      return await take(...given)
    } catch (error) {
      if (worker.closing === undefined) await delay(AFTER_REFUSAL_MS)
      throw error
    }
  }
}

/** BullMQ's end of PostgreSQL: what we need of it to keep listening. */
interface PostgresEnd {
  readonly pool: Pool
  /** The connection that waits for NOTIFY. */
  readonly listenClient?: Client
  close(): Promise<void>
}

/**
 * From the connection that waits for NOTIFY, BullMQ takes all listeners off before it ends it: a server that ends it
 * just then would be an unhandled 'error', which ends the process. The pool is ours, so that BullMQ does not end it.
 */
const endsItsPool = (owner: Queue | Worker): void => {
  const { connection } = owner.getBackend() as unknown as { connection: PostgresEnd }
  const close = connection.close.bind(connection)
  let ended: Promise<void> | undefined
  connection.close = async () => {
    const closing = close()
    connection.listenClient?.on('error', () => undefined)
    await closing
    await (ended ??= connection.pool.end())
  }
}

/** Longer than a producer's command may take. */
const TRY_WITHIN_MS = 8_000
/** An answer may be what makes the connection be given up for a better one. */
const TRIES = 3
const BETWEEN_TRIES_MS = 300
/** At the start, and after a connection was given up for a new one. */
const CONNECTS_WITHIN_MS = 2_500
const POOLED_PER_QUEUE = 2
/** One of them listens. */
const POOLED_PER_WORKER = 4

interface Ends {
  makeQueue(name: QueueName, options: QueueOptions): Queue
  makeWorker(name: QueueName, processor: Processor, options: WorkerOptions): Worker
  tryOut(): Promise<Trial>
  /** What went wrong last, since it last worked: why a try takes too long. */
  lastError(): unknown
  close(): Promise<void>
}

type Unconnected<Options> = Omit<Options, 'connection'>

// BullMQ does without INFO, which a user without @dangerous may not send, and then takes every server for its oldest,
// whose blocking commands count whole seconds: a retry in 200 ms would wait for one.
RedisConnection.minimumVersion = '7.0.8'

/**
 * Queues share one connection; a worker has one of its own, and BullMQ makes a copy of it, options and all, to block
 * on.
 */
const redisEnds = (target: Extract<BackendTarget, { kind: 'redis' }>, prefix: string, logError: ErrorLog): Ends => {
  const clients = new Set<RedisClient>()
  let lastError: unknown
  const keep = (error: unknown): void => {
    // "Connection is closed" follows a reason, and is none.
    if (lastError === undefined || isTelling(failed('redis', error))) lastError = error
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
        // Not connected, a command would fail for that alone; why it is not is the telling reason.
        if (!(await readyWithin(CONNECTS_WITHIN_MS))) return whyNot()
        const trial = await tryRedis(producer, { prefix, queues: queueNames })
        if (trial.ok) {
          lastError = undefined
          return trial
        }
        if (telling === undefined && isTelling(trial)) telling = trial
      }
      return telling ?? whyNot()
    },
    lastError: () => lastError,
    close: async () => {
      // Closing politely sends QUIT, which cannot end while Redis is away.
      if (isReady()) await settlesWithin(1_000, producer.quit())
      for (const client of clients) client.disconnect()
    },
  }
}

const postgresEnds = (target: Extract<BackendTarget, { kind: 'postgres' }>): Ends => {
  const factory = createPostgresBackend as unknown as BackendFactory
  // BullMQ types the option as Redis's; each factory takes its own.
  const asConnection = (pool: Pool) => pool as unknown as WorkerOptions['connection']
  let tried: Pool | undefined
  return {
    makeQueue: (name, options) => {
      const pool = postgresPool(target.url, POOLED_PER_QUEUE)
      tried ??= pool
      const queue = new Queue(name, { ...options, connection: asConnection(pool) }, factory) as unknown as Queue
      endsItsPool(queue)
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
      endsItsPool(worker)
      return worker
    },
    tryOut: async () =>
      tried === undefined ? failed('postgres', new Error('no queue was made yet')) : tryPostgres(tried, QUEUE_SCHEMA),
    lastError: () => undefined,
    close: async () => undefined,
  }
}

/**
 * Opens a backend. Redis may still be away: its queues and workers connect when it comes. PostgreSQL must be there,
 * because BullMQ's tables (schema `bullmq`) are checked and, if missing or old, migrated first; rejects with a clear
 * Error when that fails.
 */
export const openBackend = async (target: BackendTarget, options: BackendOptions): Promise<Backend> => {
  const { log, plans } = options
  const prefix = prefixOf(options.prefix)
  if (target.kind === 'postgres') {
    await prepareQueueSchema(target.url)
    await checkQueueSessions(target.url)
  }
  const logError = makeErrorLog(log, serverOf(target))
  const ends = target.kind === 'postgres' ? postgresEnds(target) : redisEnds(target, prefix, logError)

  const makeQueue = (name: QueueName): Queue => {
    const queue = ends.makeQueue(name, {
      prefix,
      defaultJobOptions: jobOptions(plans[name]),
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
      const worker = ends.makeWorker(name, processor, {
        ...workerOptions,
        prefix,
      } satisfies Unconnected<WorkerOptions> as WorkerOptions)
      logErrorsOf(worker, logError, { queue: name, end: 'worker' })
      waitsAfterRefusal(worker)
      return worker
    },
    tryOut: async () => {
      const inTime = async (): Promise<Trial> => {
        await delay(TRY_WITHIN_MS, undefined, { ref: false })
        return failed(target.kind, ends.lastError() ?? new Error('Command timed out'))
      }
      return Promise.race([ends.tryOut(), inTime()])
    },
    close: async () => {
      await Promise.all(
        [...queues.values()].map(async (queue) => {
          if (!(await settlesWithin(1_000, queue.close()))) await settlesWithin(1_000, queue.disconnect())
        }),
      )
      await ends.close()
    },
  }
}
