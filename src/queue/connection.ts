// How BullMQ connects to Redis or PostgreSQL, as producer (must fail at once when the backend is away) and as worker (must wait).
import type { EventEmitter } from 'node:events'
import type { RedisOptions } from 'ioredis'
import type { Log } from '../log.ts'
import type { Secret } from '../secret.ts'
import { nameOf } from './failure.ts'

export type BackendTarget = { readonly kind: 'redis'; readonly url: Secret } | { readonly kind: 'postgres'; readonly url: Secret }

/** Milliseconds a producer's connection attempt may take. */
const CONNECT_TIMEOUT = 2_000

const redis = (url: Secret): RedisOptions & { url: string } => ({
  url: url.reveal(),
  connectTimeout: CONNECT_TIMEOUT,
  // BullMQ's own strategy waits up to 20 s, which would keep us away from a Redis that is long back.
  retryStrategy: (times) => Math.min(200 * times, 2_000),
})

export const redisProducer = (url: Secret): RedisOptions & { url: string } => ({
  ...redis(url),
  enableOfflineQueue: false,
  maxRetriesPerRequest: 1,
  commandTimeout: 5_000,
})

export const redisWorker = (url: Secret): RedisOptions & { url: string } => ({ ...redis(url), maxRetriesPerRequest: null })

/** `max` counts pooled connections; a worker has one more for LISTEN. PostgreSQL allows 100 in all unless told otherwise. */
export const postgresConnection = (url: Secret, max: number) => ({
  connectionString: url.reveal(),
  connectionTimeoutMillis: CONNECT_TIMEOUT,
  keepAlive: true,
  max,
})

/**
 * Listens to `error` (an emitter without a listener would end the process) and logs name and code only, a lasting outage once a minute.
 * Messages are left out: drivers put addresses and arguments into them.
 */
export const logErrorsOf = (emitter: EventEmitter, log: Log, fields: Record<string, unknown>): void => {
  const lastLogged = new Map<string, number>()
  emitter.on('error', (error: unknown) => {
    const named = nameOf(error)
    const key = `${named.name} ${named.code ?? ''}`
    const now = Date.now()
    if (now - (lastLogged.get(key) ?? 0) < 60_000) return
    lastLogged.set(key, now)
    log.warn({ ...fields, error: named }, 'queue backend error')
  })
}
