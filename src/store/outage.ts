// Tells "the database is away, or let go of us" from a mistake of ours. The first passes by itself: queues try again,
// pages say so, and no consent is blamed for it. Drivers' messages are read here and go no further: they hold addresses
// and arguments.
import { TransientError } from '../errors.ts'

/**
 * Prisma's own: unreachable, timed out, connection closed, pool or transaction given up, write conflict, too many
 * connections. And: we are not let in, or TLS is not agreed on; a password or certificate that was changed is no
 * consent's fault either.
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
 * What the driver adapter calls the same, where Prisma passes its errors on (raw queries, the begin of a transaction).
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
 * was ended 25P03 and 25P04, a statement that took too long 57014, a server that only reads (a failover under way)
 * 25006, a login that is refused 28, a database that is gone 3D000.
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
/** Node's and OpenSSL's names for a certificate or a handshake that is refused. */
const TLS_CODE =
  /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/
/** node-postgres gives these no code: its sources, client.js and pg-pool. */
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
  // Prisma wraps the adapter's error into its own (`meta`), or throws it as it is; the reason is its `cause`.
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
 * The same store; what a function rejects with because the database is away becomes
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
