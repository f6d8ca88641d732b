// How BullMQ connects to Redis or PostgreSQL, as producer (must fail at once when the backend is away) and as worker (must wait).
import type { EventEmitter } from 'node:events'
import type { RedisOptions } from 'ioredis'
import { openPool, type Pool } from '../postgres/pool.ts'
import type { Log } from '../log.ts'
import type { Secret } from '../secret.ts'
import { nameOf } from './failure.ts'
import { QUEUE_SCHEMA } from './postgres-schema.ts'

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

/** BullMQ takes the pool as it is: one connection of it listens for NOTIFY. PostgreSQL allows 100 in all unless told otherwise. */
export const postgresPool = (url: Secret, connections: number): Pool =>
  openPool(url, { applicationName: 'reconsent queue', connections, connectMs: CONNECT_TIMEOUT, schema: QUEUE_SCHEMA, keepsSession: true }).pool

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
