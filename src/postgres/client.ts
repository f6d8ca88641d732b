// The only place that opens connections to PostgreSQL. Every session gets the settings of session.ts, whether the
// session is ours alone or lent by a pooler, and uses TLS or not as the address says.
import pg from 'pg'
import type { Secret } from '../secret.ts'
import { type PostgresAddress, parsePostgresAddress } from './address.ts'
import { type TypeParsers, withInstants } from './instants.ts'
import { beginOnLent, INTERVAL_STYLE, settingsOfKept, startupOfLent, startupOfOwn, type Session } from './session.ts'
import { isNoTls, isRefusedStartup, mayWantTls, isTransactionTimeout } from './trouble.ts'

export type Client = pg.Client
/**
 * `isLent`: a pooler lends the session to several clients in turn, so nothing may be left in it. This is known once the
 * client is connected; `greet` must be called then.
 */
export type SessionClient = pg.Client & { isLent(): boolean; greet(): Promise<void> }

export interface SessionOptions {
  /** The name shown in pg_stat_activity, unless the address contains a name. */
  readonly applicationName: string
  /** The longest that a statement may take; no limit by default. */
  readonly statementMs?: number
  readonly idleInTransactionMs?: number
  readonly connectMs?: number
  /** Used instead of the address's own schema: the schema of BullMQ. */
  readonly schema?: string | undefined
  /**
   * Even behind a pooler the session must be ours until we end it (pool_mode=session): the settings are made once, and
   * statements are sent unchanged.
   */
  readonly keepsSession?: boolean
}

/** What the first connections to an address found out. Later connections start with it, also those of other pools. */
interface Learnt {
  pooled: boolean
  tls: boolean
  major: number | undefined
}

interface Place {
  readonly address: PostgresAddress
  readonly learnt: Learnt
}

const places = new WeakMap<Secret, Place>()

/** Throws a TypeError if the address is invalid, which the configuration should have found before. */
export const placeOf = (url: Secret): Place => {
  const known = places.get(url)
  if (known !== undefined) return known
  const parsed = parsePostgresAddress(url.reveal())
  if ('problems' in parsed) throw new TypeError(`the database's address ${parsed.problems.join('; it ')}`)
  const { address } = parsed
  const tls = address.tls.mode !== 'disable' && address.tls.mode !== 'allow' && !address.host.startsWith('/')
  const place = { address, learnt: { pooled: address.isPooled, tls, major: undefined } }
  places.set(url, place)
  return place
}

/** Whether a connection that failed with this error should be tried again in another way, which is then remembered. */
export const learnFrom = ({ address, learnt }: Place, tried: Tried, error: unknown): boolean => {
  const { mode } = address.tls
  if (isRefusedStartup(error) && !tried.pooled) learnt.pooled = true
  // The server's version was unknown, so transaction_timeout was turned off only after the session had begun, which may
  // have been too late. This error also shows that the server is PostgreSQL 17 or later.
  else if (isTransactionTimeout(error) && tried.major === undefined) learnt.major ??= 17
  else if (mode === 'prefer' && tried.tls && isNoTls(error)) learnt.tls = false
  else if ((mode === 'allow' || mode === 'prefer') && !tried.tls && mayWantTls(error)) learnt.tls = true
  else return false
  return true
}

export interface Tried {
  readonly pooled: boolean
  readonly tls: boolean
  readonly major: number | undefined
}

/** The number of ways to connect: with or without TLS, and each of these directly or through a pooler. */
export const MAX_TRIES = 4

/** A session whose schema may become known later. */
export type Described = { -readonly [Key in keyof Session]: Session[Key] }

export const describe = (place: Place, options: SessionOptions): Described => ({
  applicationName: place.address.applicationName ?? options.applicationName,
  schema: options.schema ?? place.address.schema,
  statementMs: options.statementMs ?? 0,
  idleInTransactionMs: options.idleInTransactionMs ?? 0,
})

const ignore = (): void => undefined

/** node-postgres's own settings for a connection in the way that is tried. */
const settingsOf = ({ address }: Place, tried: Tried, options: SessionOptions): pg.ClientConfig => ({
  host: address.host,
  port: address.port,
  user: address.user,
  database: address.database,
  ...(address.password === undefined ? {} : { password: address.password.reveal() }),
  ssl: tried.tls ? { ...address.tls.options } : false,
  keepAlive: true,
  // Some networks forget a connection that says nothing for four minutes, and tell neither end.
  keepAliveInitialDelayMillis: 30_000,
  // node-postgres reads some of libpq's environment variables. The one for this setting would fail a connection
  // without TLS.
  sslnegotiation: 'postgres',
  connectionTimeoutMillis: address.connectMs ?? options.connectMs ?? 10_000,
  pipeline: tried.pooled && options.keepsSession !== true,
})

/** The parameters that the server reports of the session, kept up to date. */
const parametersOf = (client: pg.Client): ReadonlyMap<string, string> => {
  const reported = new Map<string, string>()
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) =>
    reported.set(message.parameterName, message.parameterValue),
  )
  return reported
}

/** A client that is not connected yet, and the way in which it will try to connect. */
export const makeClient = ({
  place,
  session,
  options,
  config = {},
}: {
  place: Place
  session: Session
  options: SessionOptions
  config?: pg.PoolConfig
}): { client: SessionClient; tried: Tried } => {
  const { address, learnt } = place
  const tried: Tried = { ...learnt }
  const keepsSession = options.keepsSession === true
  const client = new pg.Client({ ...config, ...settingsOf(place, tried, options) })
  // node-postgres would send a few parameters of its own choice, and PGOPTIONS from the environment.
  Object.assign(client, {
    getStartupConf: () => ({
      user: address.user,
      database: address.database,
      ...(tried.pooled ? startupOfLent(session) : startupOfOwn(session, tried.major)),
    }),
  })
  const reported = parametersOf(client)
  let lent = tried.pooled
  const isLent = (): boolean => lent
  const runQuery = client.query.bind(client) as unknown as RunQuery

  /** Must run once the client is connected, before any query. */
  const greet = async (): Promise<void> => {
    learnt.major = Number.parseInt(reported.get('server_version') ?? '', 10) || undefined
    // PostgreSQL reports the interval style that we set; a pooler that silently drops settings reports another. Asked
    // once: a transaction on a lent session sets the style for itself, and that is reported too.
    lent ||= reported.get('IntervalStyle') !== INTERVAL_STYLE
    if (lent) {
      learnt.pooled = true
      if (keepsSession) await runQuery(settingsOfKept(session, learnt.major))
    } else if (tried.major === undefined && (learnt.major ?? 0) >= 17) await runQuery('SET transaction_timeout TO 0')
  }

  const query = queryWithSettings(client, {
    runQuery,
    isLentByTransaction: () => isLent() && !keepsSession,
    begin: () => beginOnLent(session, learnt.major),
  })
  return { client: Object.assign(client, { query, isLent, greet }), tried }
}

type Done = (error: Error | null, result?: unknown) => void
interface Query {
  readonly text?: string
  readonly types?: TypeParsers
}
type RunQuery = (query: string | Query, values?: unknown, done?: Done) => Promise<unknown>

/**
 * The client's `query`, in both of node-postgres's forms (a promise, or a callback). Instants are read by our own
 * parsers. On a session that a pooler lends by transaction, each transaction begins with our settings, and a statement
 * outside a transaction gets one of its own.
 */
const queryWithSettings = (
  client: pg.Client,
  { runQuery, isLentByTransaction, begin }: { runQuery: RunQuery; isLentByTransaction(): boolean; begin(): string },
) => {
  let alone = 0
  const isOutsideTransaction = (): boolean =>
    alone > 0 || (client.getTransactionStatus() !== 'T' && client.getTransactionStatus() !== 'E')

  /** Sends the statement with its transaction in one go; the result is returned only after the commit. */
  const runAlone = async (query: string | Query, values: unknown): Promise<unknown> => {
    alone += 1
    try {
      const [begun, answer, committed] = await Promise.allSettled([
        runQuery(begin()),
        runQuery(query, values),
        runQuery('COMMIT'),
      ])
      for (const outcome of [begun, answer, committed]) if (outcome.status === 'rejected') throw outcome.reason
      return (answer as PromiseFulfilledResult<unknown>).value
    } finally {
      alone -= 1
    }
  }

  return (given: string | Query, values?: unknown, callback?: Done): unknown => {
    const done = typeof values === 'function' ? (values as Done) : callback
    const bound = typeof values === 'function' ? undefined : values
    const query =
      typeof given === 'object' && given.types !== undefined ? { ...given, types: withInstants(given.types) } : given
    if (!isLentByTransaction() || !isOutsideTransaction()) return runQuery(query, bound, done)
    if (/^\s*BEGIN\s*$/i.test(typeof query === 'string' ? query : (query.text ?? '')))
      return runQuery(begin(), undefined, done)
    const answer = runAlone(query, bound)
    if (done === undefined) return answer
    answer.then(
      (result) => done(null, result),
      (error: unknown) => done(error as Error),
    )
    return undefined
  }
}

/** Whether a pooler lends the sessions of this address; known after the first connection. */
export const isPooled = (url: Secret): boolean => placeOf(url).learnt.pooled

/** Opens one connection; the caller ends it. */
export const connectTo = async (url: Secret, options: SessionOptions): Promise<pg.Client> => {
  const place = placeOf(url)
  const session = describe(place, options)
  for (let tries = 1; ; tries += 1) {
    const { client, tried } = makeClient({ place, session, options })
    // Without a listener, a server that ends an idle connection would end the process.
    client.on('error', ignore)
    try {
      await client.connect()
      await client.greet()
      return client
    } catch (error) {
      await client.end().catch(ignore)
      if (tries >= MAX_TRIES || !learnFrom(place, tried, error)) throw error
    }
  }
}

/** Runs `work` on a connection of its own, and then ends the connection. */
export const withConnection = async <T>(
  url: Secret,
  options: SessionOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> => {
  const client = await connectTo(url, options)
  try {
    return await work(client)
  } finally {
    await client.end().catch(ignore)
  }
}

/**
 * Runs `work` in one transaction; if it fails, everything is rolled back. A statement that failed has ended the
 * transaction, even if `work` caught its error.
 */
export const inTransaction = async <T>(client: pg.Client, work: () => Promise<T>): Promise<T> => {
  try {
    await client.query('BEGIN')
    const result = await work()
    // PostgreSQL answers the COMMIT of a failed transaction by a rollback, without an error.
    const { command } = await client.query('COMMIT')
    if (command !== 'COMMIT') throw new Error('a statement failed and its error was caught: all was rolled back')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch(ignore)
    throw error
  }
}

export const escapeIdentifier = (name: string): string => pg.escapeIdentifier(name)
