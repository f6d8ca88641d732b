// What an error of the database means to the program: an outage passes by itself (the queue retries, pages say so, and
// it never counts as a consent's own failure), a bug of ours does not. The messages of drivers are only read here and
// not passed on, because they contain addresses and arguments.
import { TransientError } from '../errors.ts'
import { codeOf, layersOf, textOf } from '../postgres/error-codes.ts'

/**
 * Prisma's codes for a database that is unreachable or too slow, a closed connection, a pool or transaction that was
 * given up, and too many connections. Also for a refused login or TLS handshake: a password or certificate that was
 * changed is not a consent's own failure either.
 */
const PRISMA_CODES = new Set([
  'P1000',
  'P1003',
  'P1010',
  'P1011',
  'P1001',
  'P1002',
  'P1008',
  'P1017',
  'P1018',
  'P2024',
  'P2028',
  'P2037',
])
/**
 * The driver adapter's names for the same errors, where Prisma passes them on (raw queries, the begin of a
 * transaction).
 */
const ADAPTER_KINDS = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
  'TooManyConnections',
  'TransactionAlreadyClosed',
  'TlsConnectionError',
  'AuthenticationFailed',
  'DatabaseAccessDenied',
  'DatabaseDoesNotExist',
])
/**
 * PostgreSQL's SQLSTATEs (its manual, appendix A): connection exceptions 08, insufficient resources 53, shutdown and
 * recovery 57P, lock not available 55P03, an idle or long transaction that
 * was ended 25P03 and 25P04, a statement that took too long 57014, a read-only server (a failover under way) 25006, a
 * refused login 28, a missing database 3D000.
 */
const SQLSTATE = /^(?:08...|53...|57P..|57014|55P03|25P03|25P04|25006|28...|3D000)$/
const SYSTEM_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPROTO',
])
/** Node's and OpenSSL's codes for a refused certificate or handshake. */
const TLS_CODE =
  /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/
/** node-postgres gives these errors no code; the messages are in its sources, client.js and pg-pool. */
const DRIVER_MESSAGES = [
  /^(?:Connection terminated|timeout expired|timeout exceeded when trying to connect)/,
  /^(?:The server does not support SSL|There was an error establishing an SSL|SASL: )/,
  /^Client (?:has encountered a connection error|was closed)/,
]

/** Two transactions wanted the same rows, and one of them was ended. */
const CONFLICTS = new Set(['P2034', 'TransactionWriteConflict', '40001', '40P01'])
/**
 * A statement that is planned in a session does not fit the tables any more, after a migration, or the session does not
 * have it: the session is given up (statements.ts), and a new one plans anew.
 */
export const SPOILT_SESSION: ReadonlySet<string> = new Set(['0A000', '26000', '42P05'])
const DUPLICATE_KEYS = new Set(['P2002', '23505'])
/** PostgreSQL's code for an undefined table: the database is not migrated. */
const NO_TABLES = '42P01'

export type DatabaseErrorKind =
  /** Passes by itself. */
  | 'outage'
  /** The same transaction may succeed when it is tried again. */
  | 'conflict'
  /** Another transaction has taken a unique key first. */
  | 'duplicate-key'
  | 'no-tables'

/** What an error says about the database; undefined for any other error. */
export const classify = (error: unknown): DatabaseErrorKind | undefined => {
  if (!(error instanceof Error)) return undefined
  const layers = layersOf(error)
  const words = layers.flatMap((layer) => [codeOf(layer), textOf(layer, 'kind')])
  if (words.includes(NO_TABLES)) return 'no-tables'
  if (words.some((word) => DUPLICATE_KEYS.has(word))) return 'duplicate-key'
  if (words.some((word) => CONFLICTS.has(word) || SPOILT_SESSION.has(word))) return 'conflict'
  const isOutage = words.some(isOutageWord) || layers.some(hasOutageMessage)
  return isOutage ? 'outage' : undefined
}

const isOutageWord = (word: string): boolean =>
  PRISMA_CODES.has(word) ||
  ADAPTER_KINDS.has(word) ||
  SYSTEM_CODES.has(word) ||
  SQLSTATE.test(word) ||
  TLS_CODE.test(word)

const hasOutageMessage = (layer: object): boolean =>
  layer instanceof Error && DRIVER_MESSAGES.some((pattern) => pattern.test(layer.message))

/** A database that is there and busy: a statement or the wait for a lock or a connection was given up. */
const BUSY = new Set(['57014', '55P03', '53300'])
const BUSY_MESSAGE = /^timeout exceeded when trying to connect/

/** Whether the error says that the database cannot be reached, and not that it has no time. */
export const isAway = (error: unknown): boolean =>
  classify(error) === 'outage' &&
  !layersOf(error).some(
    (layer) => BUSY.has(codeOf(layer)) || (layer instanceof Error && BUSY_MESSAGE.test(layer.message)),
  )

/** Whether the error passes by itself, as an outage or a conflict does. */
export const isPassing = (error: unknown): boolean => ['outage', 'conflict'].includes(classify(error) ?? '')

const TRIES = 5

/**
 * Runs a transaction again after a collision: another one has locked the same rows, or taken the same unique key first.
 * `work` is told which try it is, from 1.
 */
export const againAfterCollision = async <Answer>(work: (tried: number) => Promise<Answer>): Promise<Answer> => {
  for (let tried = 1; ; tried += 1) {
    try {
      return await work(tried)
    } catch (error) {
      if (tried >= TRIES || !['conflict', 'duplicate-key'].includes(classify(error) ?? '')) throw error
    }
  }
}

type Steps = Readonly<Record<string, (...given: never[]) => unknown>>

/**
 * The same store, except that a function that failed because of an outage or a conflict rejects with
 * `TransientError('database-unavailable')`.
 */
export const namingOutages = <Store extends object>(store: Store): Store => {
  const named = Object.entries(store as unknown as Steps).map(([name, step]) => [
    name,
    async (...given: never[]): Promise<unknown> => {
      try {
        return await step(...given)
      } catch (error) {
        throw isPassing(error) ? new TransientError('database-unavailable') : error
      }
    },
  ])
  return Object.fromEntries(named) as Store
}
