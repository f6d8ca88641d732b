// What backend.ts needs to reach Redis or PostgreSQL, and what it logs when that fails.
import type { EventEmitter } from 'node:events'
import type { Log } from '../log.ts'
import { placeOf } from '../postgres/client.ts'
import { openPool, type Pool } from '../postgres/pool.ts'
import type { Secret } from '../secret.ts'
import { foreignError } from './foreign-error.ts'
import { QUEUE_SCHEMA } from './postgres-schema.ts'
import { addressOf, type RedisTarget } from './redis-client.ts'
import { hostList } from './redis-url.ts'

export type BackendTarget =
  | ({ readonly kind: 'redis' } & RedisTarget)
  | { readonly kind: 'postgres'; readonly url: Secret }

/** Milliseconds a producer's connection attempt may take. */
const CONNECT_TIMEOUT = 2_000

/**
 * BullMQ uses the pool as it is; one of its connections listens for NOTIFY. PostgreSQL allows 100 connections in all by
 * default.
 */
export const postgresPool = (url: Secret, connections: number): Pool =>
  openPool(url, {
    applicationName: 'reconsent queue',
    connections,
    connectMs: CONNECT_TIMEOUT,
    schema: QUEUE_SCHEMA,
    keepsSession: true,
  }).pool

/**
 * `host:port` of the backend as configured, or the addresses of all cluster nodes or sentinels given there; never the
 * login.
 */
export const serverOf = (target: BackendTarget): string => {
  if (target.kind === 'redis') return hostList(addressOf(target.url))
  const { host, port } = placeOf(target.url).address
  return `${host}:${port}`
}

const SAME_AGAIN_MS = 60_000

export type ErrorLog = (fields: Readonly<Record<string, unknown>>, error: unknown, message?: string) => void

/**
 * Logs an error's class, the first word of the server's answer and the server. A lasting outage is logged once a minute
 * per end. Messages are left out, because drivers put addresses and arguments into them.
 */
export const makeErrorLog = (log: Log, server: string): ErrorLog => {
  const lastLogged = new Map<string, number>()
  return (fields, error, message = 'queue backend error') => {
    const { class: errorClass, answer, code, server: own = server } = foreignError(error)
    const key = [message, fields['end'], errorClass, answer, code].join(' ')
    const now = Date.now()
    if (now - (lastLogged.get(key) ?? 0) < SAME_AGAIN_MS) return
    lastLogged.set(key, now)
    log.warn({ ...fields, error_class: errorClass, answer, error_code: code, server: own }, message)
  }
}

/** Listens to `error`, because an emitter without a listener would end the process. */
export const logErrorsOf = (
  emitter: EventEmitter,
  logError: ErrorLog,
  fields: Readonly<Record<string, unknown>>,
): void => {
  emitter.on('error', (error: unknown) => logError(fields, error))
}
