// Opens connections to PostgreSQL, the only place that does: every session is told what session.ts says, whether it is
// ours alone or lent by a pooler, and with or without TLS as the address says.
import pg from 'pg'
import type { Secret } from '../secret.ts'
import { type PostgresAddress, parsePostgresAddress } from './address.ts'
import { type TypeParsers, withInstants } from './instants.ts'
import { beginOnLent, INTERVAL_STYLE, settingsOfKept, startupOfLent, startupOfOwn, type Session } from './session.ts'
import { isNoTls, isRefusedStartup, mayWantTls, isTransactionTimeout } from './trouble.ts'

export type Client = pg.Client
/**
 * `isLent`: a pooler gives the session to others in turn, so that nothing may be left in it; known once it is
 * connected, when `greet` must be called.
 */
export type SessionClient = pg.Client & { isLent(): boolean; greet(): Promise<void> }

export interface SessionOptions {
  /** Shown by pg_stat_activity, unless the address has a name of its own. */
  readonly applicationName: string
  /** The longest a statement may take; none unless said. */
  readonly statementMs?: number
  readonly idleInTransactionMs?: number
  readonly connectMs?: number
  /** Instead of the address's own: BullMQ's. */
  readonly schema?: string | undefined
  /**
   * Behind a pooler, the session must be ours until we end it (pool_mode=session): settings are made once, statements
   * go as they are.
   */
  readonly keepsSession?: boolean
}

/** What the first connections to an address have taught: later ones, of other pools too, begin with it. */
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

/** Throws a TypeError where the configuration has not checked the address. */
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

/** Whether a connection that failed like this should be tried again in another way, which is then remembered. */
export const learnFrom = ({ address, learnt }: Place, tried: Tried, error: unknown): boolean => {
  const { mode } = address.tls
  if (isRefusedStartup(error) && !tried.pooled) learnt.pooled = true
  // Told only after it had begun, as nothing was known of the server: that may have been too late. Older ones than 17
  // know no such end.
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

/** Tries are few: without TLS and with it, and each as a pooler takes it. */
export const MAX_TRIES = 4

/** A session whose schema may become known after it was described. */
export type Described = { -readonly [Key in keyof Session]: Session[Key] }

export const describe = (place: Place, options: SessionOptions): Described => ({
  applicationName: place.address.applicationName ?? options.applicationName,
  schema: options.schema ?? place.address.schema,
  statementMs: options.statementMs ?? 0,
  idleInTransactionMs: options.idleInTransactionMs ?? 0,
})

type Done = (error: Error | null, result?: unknown) => void
interface Asked {
  readonly text?: string
  readonly types?: TypeParsers
}
type Ask = (asked: string | Asked, values?: unknown, done?: Done) => Promise<unknown>

const ignore = (): void => undefined

/** A client that is not connected yet, and how it will try. */
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
  const client = new pg.Client({
    ...config,
    host: address.host,
    port: address.port,
    user: address.user,
    database: address.database,
    ...(address.password === undefined ? {} : { password: address.password.reveal() }),
    ssl: tried.tls ? { ...address.tls.options } : false,
    keepAlive: true,
    // Of libpq's environment variables node-postgres reads some: this one would fail a connection without TLS.
    sslnegotiation: 'postgres',
    connectionTimeoutMillis: address.connectMs ?? options.connectMs ?? 10_000,
    pipeline: tried.pooled && !keepsSession,
  })
  // node-postgres sends a few parameters of its choice, and PGOPTIONS of the environment.
  Object.assign(client, {
    getStartupConf: () => ({
      user: address.user,
      database: address.database,
      ...(tried.pooled ? startupOfLent(session) : startupOfOwn(session, tried.major)),
    }),
  })
  const reported = new Map<string, string>()
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) =>
    reported.set(message.parameterName, message.parameterValue),
  )

  const plain = client.query.bind(client) as unknown as Ask
  let alone = 0
  /** PostgreSQL reports the style that it was told; a pooler that drops settings in silence reports another. */
  const isLent = (): boolean => tried.pooled || reported.get('IntervalStyle') !== INTERVAL_STYLE

  /** Once it is connected, before anything is asked. */
  const greet = async (): Promise<void> => {
    learnt.major = Number.parseInt(reported.get('server_version') ?? '', 10) || undefined
    if (isLent()) {
      learnt.pooled = true
      if (keepsSession) await plain(settingsOfKept(session, learnt.major))
    } else if (tried.major === undefined && (learnt.major ?? 0) >= 17) await plain('SET transaction_timeout TO 0')
  }

  /**
   * A statement outside a transaction, on a lent session: in one of its own, sent in one go. The answer counts once
   * that is committed.
   */
  const askAlone = async (asked: string | Asked, values: unknown): Promise<unknown> => {
    alone += 1
    try {
      const [begun, answer, committed] = await Promise.allSettled([
        plain(beginOnLent(session, learnt.major)),
        plain(asked, values),
        plain('COMMIT'),
      ])
      for (const one of [begun, answer, committed]) if (one.status === 'rejected') throw one.reason
      return (answer as PromiseFulfilledResult<unknown>).value
    } finally {
      alone -= 1
    }
  }

  const ask = (given: string | Asked, values?: unknown, callback?: Done): unknown => {
    const done = typeof values === 'function' ? (values as Done) : callback
    const bound = typeof values === 'function' ? undefined : values
    const asked =
      typeof given === 'object' && given.types !== undefined ? { ...given, types: withInstants(given.types) } : given
    const isOutside = alone > 0 || (client.getTransactionStatus() !== 'T' && client.getTransactionStatus() !== 'E')
    if (!isLent() || keepsSession || !isOutside) return plain(asked, bound, done)
    if (/^\s*BEGIN\s*$/i.test(typeof asked === 'string' ? asked : (asked.text ?? '')))
      return plain(beginOnLent(session, learnt.major), undefined, done)
    const answer = askAlone(asked, bound)
    if (done === undefined) return answer
    answer.then(
      (result) => done(null, result),
      (error: unknown) => done(error as Error),
    )
    return undefined
  }
  return { client: Object.assign(client, { query: ask, isLent, greet }), tried }
}

/** Whether the sessions of this address turned out to be lent by a pooler; known once there was a connection. */
export const isPooled = (url: Secret): boolean => placeOf(url).learnt.pooled

/** One connection, connected; the caller ends it. */
export const connectTo = async (url: Secret, options: SessionOptions): Promise<pg.Client> => {
  const place = placeOf(url)
  const session = describe(place, options)
  for (let tries = 1; ; tries += 1) {
    const { client, tried } = makeClient({ place, session, options })
    // A server that ends the connection while nobody asks anything would else end the process.
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

/** Runs on one connection of its own, and ends it. */
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

/** One transaction; what fails in it undoes all of it. */
export const inTransaction = async <T>(client: pg.Client, work: () => Promise<T>): Promise<T> => {
  await client.query('BEGIN')
  try {
    const result = await work()
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch(ignore)
    throw error
  }
}

export const escapeIdentifier = (name: string): string => pg.escapeIdentifier(name)
