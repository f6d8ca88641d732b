// Distinguishes an outage of the database from a bug of ours. An outage passes by itself: the queue retries, pages say
// so, and it never counts as a consent's own failure. The messages of drivers are only read here and not passed on,
// because they contain addresses and arguments.
import { TransientError } from '../errors.ts'

/**
 * Prisma's codes for a database that is unreachable or too slow, a closed connection, a pool or transaction that was
 * given up, a write conflict, and too many connections. Also for a refused login or TLS handshake: a password or
 * certificate that was changed is not a consent's own failure either.
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
  'P2034',
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
  'TransactionWriteConflict',
  'TlsConnectionError',
  'AuthenticationFailed',
  'DatabaseAccessDenied',
  'DatabaseDoesNotExist',
])
/**
 * PostgreSQL's SQLSTATEs (its manual, appendix A): connection exceptions 08, insufficient resources 53, shutdown and
 * recovery 57P, serialization and deadlock 40001 and 40P01, lock not available 55P03, an idle or long transaction that
 * was ended 25P03 and 25P04, a statement that took too long 57014, a read-only server (a failover under way) 25006, a
 * refused login 28, a missing database 3D000.
 */
const SQLSTATE = /^(?:08...|53...|57P..|57014|40001|40P01|55P03|25P03|25P04|25006|28...|3D000)$/
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

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
const isOneOf = (set: ReadonlySet<string>, value: unknown): boolean => typeof value === 'string' && set.has(value)

export const isOutage = (error: unknown): boolean => {
  if (!(error instanceof Error)) return false
  const code = fieldOf(error, 'code')
  if (isOneOf(PRISMA_CODES, code) || isOneOf(SYSTEM_CODES, code)) return true
  if (typeof code === 'string' && (SQLSTATE.test(code) || TLS_CODE.test(code))) return true
  // Prisma wraps the adapter's error in its own (`meta`), or throws the adapter's error itself. Either way the reason
  // is the `cause` of the adapter's error.
  const reason = fieldOf(fieldOf(fieldOf(error, 'meta'), 'driverAdapterError'), 'cause') ?? fieldOf(error, 'cause')
  if (isOneOf(ADAPTER_KINDS, fieldOf(reason, 'kind'))) return true
  const state = fieldOf(reason, 'originalCode') ?? fieldOf(reason, 'code')
  if (typeof state === 'string' && SQLSTATE.test(state)) return true
  return (
    DRIVER_MESSAGES.some((pattern) => pattern.test(error.message)) ||
    (reason instanceof Error && reason !== error && isOutage(reason))
  )
}

type Steps = Readonly<Record<string, (...given: never[]) => unknown>>

/**
 * The same store, except that a function that failed because of an outage rejects with
 * `TransientError('database-unavailable')`.
 */
export const namingOutages = <Store extends object>(store: Store): Store => {
  const named = Object.entries(store as unknown as Steps).map(([name, step]) => [
    name,
    async (...given: never[]): Promise<unknown> => {
      try {
        return await step(...given)
      } catch (error) {
        throw isOutage(error) ? new TransientError('database-unavailable') : error
      }
    },
  ])
  return Object.fromEntries(named) as Store
}
