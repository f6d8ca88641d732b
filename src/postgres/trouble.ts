// Explains an error of PostgreSQL, a pooler, TLS or the network in our own words. The messages of drivers and servers
// are read only here and not passed on, because they contain addresses, names and arguments.
import { codeOf, layersOf, textOf } from './error-codes.ts'

/** Something is wrong with how the database was set up. The message is ours and written for an operator. */
export class DatabaseTrouble extends Error {
  override readonly name = 'DatabaseTrouble'
  /** Retrying is useless until an operator changes the configuration. */
  readonly isConfiguration: boolean

  constructor(message: string, { isConfiguration = false }: { isConfiguration?: boolean } = {}) {
    super(message)
    this.isConfiguration = isConfiguration
  }
}

export const NO_SCHEMA =
  "the role's search_path names no schema that exists and that it may use: name one by ?schema= in " +
  'DATABASE_URL, and run reconsent migrate'

const messageIn = (layer: unknown): string =>
  `${textOf(layer, 'originalMessage')} ${textOf(layer, 'message')} ${textOf(layer, 'reason')}`

/** PgBouncer's answer to a startup parameter that it does not know. */
export const isRefusedStartup = (error: unknown): boolean =>
  codeOf(error) === '08P01' && /unsupported startup parameter/.test(messageIn(error))
/** PostgreSQL 17 and later end a session by transaction_timeout. */
export const isTransactionTimeout = (error: unknown): boolean => codeOf(error) === '25P04'
/** node-postgres' own error, which has no code (its connection.js). */
export const isNoTls = (error: unknown): boolean => /server does not support SSL/.test(messageIn(error))
/**
 * pg_hba.conf has no entry for us, perhaps only without TLS; or PgBouncer demands TLS. PostgreSQL's error is recognised
 * by its place in the sources (auth.c), because its message is in the language of the server's lc_messages.
 */
export const mayWantTls = (error: unknown): boolean =>
  (codeOf(error) === '28000' && textOf(error, 'routine') === 'ClientAuthentication') ||
  (codeOf(error) === '08P01' && /SSL required/.test(messageIn(error)))

const untrusted =
  "the database server's certificate was signed by an authority that is not trusted: name that authority's " +
  'certificate in sslrootcert'
const refusedUser = 'the database refused our user or password'
const unreachable = 'the database could not be reached'

/** For errors whose code alone does not identify the cause. `$` is replaced by the variable's name. */
const byMessage: readonly (readonly [RegExp, string])[] = [
  [
    /unrecognized configuration parameter/,
    'the database server is older than PostgreSQL 14, or does not know all of its settings: use PostgreSQL 14 or later',
  ],
  [/server does not support SSL/, 'the database server offers no TLS, which the sslmode of $ demands'],
  [/error establishing an SSL connection/, 'the database server broke off while TLS was agreed on'],
  [/SSL required/, 'the pooler takes only connections with TLS: add sslmode=verify-full (or require) to $'],
  [
    /no pg_hba\.conf entry.*(?:no encryption|SSL off)/,
    'the database server has no pg_hba.conf entry for us without TLS: add sslmode=verify-full (or require) to ' +
      '$, or an entry there',
  ],
  [/no pg_hba\.conf entry/, 'the database server has no pg_hba.conf entry for this host, user and database'],
  [/pg_hba\.conf rejects/, 'the database server rejects this host, user and database (pg_hba.conf)'],
  [/valid client certificate/, 'the database server demands a client certificate: name it in sslcert and sslkey'],
  [/certificate authentication failed/, "the database server's user does not fit the client certificate in sslcert"],
  [
    /alert (?:unknown ca|bad certificate|certificate required|certificate unknown|certificate expired)/i,
    'the database server refused our client certificate (sslcert), or demands one',
  ],
  [/client password must be a (?:non-empty )?string/, 'the database wants a password, and $ has none'],
  [/no such database/, 'the pooler knows no database of the name in $'],
  [/no such user/, 'the pooler does not know the user in $'],
  [/(?:password|SASL) authentication failed|auth(?:entication)? failed|wrong password type/i, refusedUser],
  [
    /statement pooling mode/,
    'the pooler lends sessions by statement (pool_mode=statement), which allows no transactions: set ' +
      'pool_mode=transaction or session for this database',
  ],
  [
    /no more connections allowed|too many connections|max_client_conn/i,
    'no connection is left for us at the database or its pooler',
  ],
  [/query_wait_timeout|client_login_timeout/, 'the pooler had no connection to PostgreSQL free in time'],
  [
    /server_login_retry|server login (?:has been )?fail|login failed/i,
    'the pooler could not log in to PostgreSQL behind it',
  ],
  [
    /cannot connect to server|server DNS lookup failed|connect failed/i,
    'the pooler could not reach PostgreSQL behind it',
  ],
  [
    /server conn(?:ection)? crashed|server_lifetime|idle_transaction_timeout|client_idle_timeout|query_timeout/,
    'the pooler closed the connection',
  ],
  [
    /pgbouncer cannot|database .* is (?:paused|disabled)|database does not allow connections/i,
    'the database is paused or disabled at its pooler',
  ],
  [/timeout expired|due to connection timeout|timeout exceeded when trying to connect/, `${unreachable} in time`],
]

const byCode: Readonly<Record<string, string>> = {
  ECONNREFUSED: `${unreachable}: nothing listens at $`,
  ENOTFOUND: `${unreachable}: the host in $ is not known`,
  EAI_AGAIN: `${unreachable}: the host in $ could not be looked up`,
  ENOENT: `${unreachable}: there is no socket of PostgreSQL in the folder that $ names as host`,
  EACCES: `${unreachable}: the socket that $ names may not be used by this user`,
  EHOSTUNREACH: `${unreachable}: there is no route to the host in $`,
  ENETUNREACH: `${unreachable}: there is no route to the network of the host in $`,
  ETIMEDOUT: `${unreachable} in time`,
  ECONNRESET: 'the connection to the database was cut',
  EPIPE: 'the connection to the database was cut',
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  CERT_SIGNATURE_FAILURE: untrusted,
  CERT_UNTRUSTED: untrusted,
  INVALID_CA: untrusted,
  CERT_HAS_EXPIRED: "the database server's certificate, or its authority's, has expired",
  CERT_NOT_YET_VALID: "the database server's certificate is not valid yet: is this machine's clock right?",
  CERT_REVOKED: "the database server's certificate was revoked",
  INVALID_PURPOSE: "the database server's certificate is not meant for servers",
  ERR_TLS_CERT_ALTNAME_INVALID: "the database server's certificate is for another host than the one in $",
  HOSTNAME_MISMATCH: "the database server's certificate is for another host than the one in $",
  EPROTO: 'TLS with the database server failed: the two agree on no version or cipher',
  P1000: refusedUser,
  P1001: unreachable,
  P1002: `${unreachable} in time`,
  P1003: 'the database that $ names does not exist',
  P1010: 'the database denied us access',
  P1011: 'TLS with the database server failed',
  P1017: 'the database closed the connection',
  P2021: 'the database has no tables of ours yet: run reconsent migrate',
  P2022: "the database's tables are older than this program: run reconsent migrate",
  P2024: 'no connection to the database became free in time',
  '08P01': 'the database, or a pooler before it, refused what it was asked for',
  '22P05': "the database's encoding lacks a character of what is to be stored: create it again with ENCODING 'UTF8'",
  '25006': 'the database can only be read: $ leads to a replica',
  '25P03': 'the database ended a transaction that was idle for too long',
  '25P04': 'the database ended a transaction that took too long',
  '28000': 'the database refused our user',
  '28P01': refusedUser,
  '3D000': 'the database that $ names does not exist',
  '3F000': 'the schema is not there: run reconsent migrate, or correct schema= in $',
  '42P01': 'the database has no tables of ours yet: run reconsent migrate',
  '42703': "the database's tables are older than this program: run reconsent migrate",
  '42501': "the database's role lacks a right that this needs",
  '53300': 'the database has no connection left for us',
  '53400': 'the database has no connection left for us',
  '57014': 'the database ended a statement that took too long',
  '57P01': 'the database ended the connection',
  '57P03': 'the database is starting up or shutting down',
  '58000': 'the pooler, or PostgreSQL behind it, could not be used',
}

export interface Trouble {
  readonly words: string
  /** The SQLSTATE or the system's code, if there is one. */
  readonly code: string | undefined
}

/**
 * Undefined when the error is no known trouble with the database. `variable` is the environment variable that contained
 * the address.
 */
export const troubleOf = (error: unknown, variable = 'DATABASE_URL'): Trouble | undefined => {
  for (const layer of layersOf(error)) {
    const code = codeOf(layer)
    const isDriver = code !== '' || textOf(layer, 'kind') !== '' || layer instanceof Error
    const said = byMessage.find(([pattern]) => isDriver && pattern.test(messageIn(layer)))?.[1]
    const words =
      said ?? (Object.hasOwn(byCode, code) ? byCode[code] : code.startsWith('ERR_SSL_') ? byCode['EPROTO'] : undefined)
    if (words !== undefined) return { words: words.replaceAll('$', variable), code: code === '' ? undefined : code }
  }
  return undefined
}

/** One line: the words, with the code in brackets. */
export const troubleWords = (error: unknown, variable?: string): string | undefined => {
  const trouble = troubleOf(error, variable)
  return trouble && (trouble.code === undefined ? trouble.words : `${trouble.words} (${trouble.code})`)
}
