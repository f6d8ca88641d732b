// One BullMQ backend, Redis or PostgreSQL: makes its queues (producers) and workers, and closes the queues. The rest of the program
// does not notice which of the two it is.
import { createPostgresBackend, Queue, Worker } from 'bullmq'
import type { BackendFactory, Processor, QueueOptions, RedisQueueBackend, WorkerOptions } from 'bullmq'
import type { Log } from '../log.ts'
import type { Client } from '../postgres/client.ts'
import type { Pool } from '../postgres/pool.ts'
import { jobOptions, queueNames } from './catalogue.ts'
import type { QueuePlans } from './catalogue.ts'
import { logErrorsOf, postgresPool, redisProducer, redisWorker } from './connection.ts'
import type { BackendTarget } from './connection.ts'
import { settlesWithin } from './deadline.ts'
import { checkQueueSessions, prepareQueueSchema } from './postgres-schema.ts'
import type { QueueName } from './port.ts'

export interface Backend {
  readonly kind: BackendTarget['kind']
  readonly plans: QueuePlans
  readonly log: Log
  /** The producer's end of a queue, one per backend: adding, counting, the board. Fails at once while the backend is away. */
  queue(name: QueueName): Queue
  /** A new worker, not yet running. The caller closes it. */
  worker(name: QueueName, processor: Processor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): Worker
  /** Closes the queues, not the workers. */
  close(): Promise<void>
}

export interface BackendOptions {
  /** Namespace of our keys on a Redis that others use too; without braces, they are added. */
  readonly prefix?: string
  readonly log: Log
  /** Attempts, backoff, concurrency: `plansFor` of the policy's timing. No default, so that no opener can contradict another. */
  readonly plans: QueuePlans
}

/**
 * BullMQ takes its own listener off a connection that it closes, although one that is out of reach ends later, with an error: without a
 * listener ioredis prints that, address and all, beside the log.
 */
const hushAfterClose = (owner: Queue | Worker): void => {
  const { client, blockingClient } = owner.getBackend() as unknown as RedisQueueBackend
  for (const connecting of [client, blockingClient]) {
    connecting?.then((connected) => connected.on('error', () => undefined), () => undefined)
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
 * From the connection that waits for NOTIFY, BullMQ takes all listeners off before it ends it: a server that ends it just then would be an
 * unhandled 'error', which ends the process. The pool is ours, so that BullMQ does not end it.
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

const POOLED_PER_QUEUE = 2
/** One of them listens. */
const POOLED_PER_WORKER = 4

/**
 * Opens a backend. Redis may still be away: its queues and workers connect when it comes. PostgreSQL must be there, because BullMQ's
 * tables (schema `bullmq`) are checked and, if missing or old, migrated first; rejects with a clear Error when that fails.
 */
export const openBackend = async (target: BackendTarget, options: BackendOptions): Promise<Backend> => {
  const { log, plans } = options
  // Redis Cluster needs all keys of a queue in one slot: the part in braces decides it.
  const prefix = `{${(options.prefix ?? 'reconsent').replace(/[{}]/g, '')}}`
  const onPostgres = target.kind === 'postgres'
  if (onPostgres) {
    await prepareQueueSchema(target.url)
    await checkQueueSessions(target.url)
  }

  const keepHearing = onPostgres ? endsItsPool : hushAfterClose
  const factory = onPostgres ? (createPostgresBackend as unknown as BackendFactory) : undefined
  // BullMQ types the option as Redis's; each factory takes its own.
  const connection = (worker: boolean): WorkerOptions['connection'] => {
    if (onPostgres) return postgresPool(target.url, worker ? POOLED_PER_WORKER : POOLED_PER_QUEUE) as unknown as WorkerOptions['connection']
    return (worker ? redisWorker(target.url) : redisProducer(target.url)) as WorkerOptions['connection']
  }
  const makeQueue = (name: QueueName): Queue => {
    // Without the version check a producer sends no command while it connects, so a connection lost just then cannot break it for good.
    const settings: QueueOptions = {
      connection: connection(false),
      prefix,
      skipVersionCheck: !onPostgres,
      defaultJobOptions: jobOptions(plans[name]),
    }
    const queue = factory === undefined ? new Queue(name, settings) : (new Queue(name, settings, factory) as unknown as Queue)
    logErrorsOf(queue, log, { queue: name, end: 'producer' })
    keepHearing(queue)
    return queue
  }
  const queues = new Map<QueueName, Queue>(queueNames.map((name) => [name, makeQueue(name)]))

  return {
    kind: target.kind,
    plans,
    log,
    queue: (name) => queues.get(name) as Queue,
    worker: (name, processor, workerOptions) => {
      const settings: WorkerOptions = { ...workerOptions, connection: connection(true), prefix }
      const worker = factory === undefined ? new Worker(name, processor, settings) : (new Worker(name, processor, settings, factory) as unknown as Worker)
      logErrorsOf(worker, log, { queue: name, end: 'worker' })
      keepHearing(worker)
      return worker
    },
    close: async () => {
      const closing = [...queues.values()].map(async (queue) => {
        // Closing politely sends QUIT, which cannot end while Redis is away.
        const closed = await settlesWithin(1_000, queue.close())
        if (!closed) await settlesWithin(1_000, queue.disconnect())
      })
      await Promise.all(closing)
    },
  }
}
