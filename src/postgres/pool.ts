// A pool of sessions to one address. Its first connections find out whether there is a pooler in between and whether
// there is TLS; callers do not notice these attempts.
import { Socket } from 'node:net'
import pg from 'pg'
import type { Secret } from '../secret.ts'
import { DatabaseTrouble, NO_SCHEMA } from './trouble.ts'
import {
  describe,
  learnFrom,
  makeClient,
  MAX_TRIES,
  placeOf,
  type SessionClient,
  type SessionOptions,
  type Tried,
} from './client.ts'
import { FIRST_SCHEMA } from './session.ts'

export type Pool = pg.Pool

export interface PoolOptions extends SessionOptions {
  readonly connections: number
}

export interface OpenedPool {
  readonly pool: Pool
  /**
   * The schema of our tables: the address's, or else the first schema of the session's search_path; sessions opened
   * after that search only this schema. Queries the database once. Rejects when the database cannot be queried, and may
   * then be called again.
   */
  schema(): Promise<string>
}

/**
 * How long an unused connection is kept: longer than between two sweeps for what is urgent, since a new one costs the
 * server a process, and the planning of every statement.
 */
const UNUSED_KEPT_MS = 12_000

/** Added to PostgreSQL's own limit, which ends a statement without ending its connection. */
const SILENCE_BEYOND_MS = 2_000

const greetAll = async (client: pg.ClientBase): Promise<void> => (client as SessionClient).greet()

type Taken = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  release: (error?: Error | boolean) => void,
) => void

/** Opens no connection until the first query. */
export const openPool = (url: Secret, options: PoolOptions): OpenedPool => {
  const place = placeOf(url)
  const session = describe(place, options)
  const trying = new WeakMap<Error, Tried>()
  // A function, because the pool calls it with `new`.
  function Opened(config: pg.PoolConfig): pg.Client {
    const { client, tried } = makeClient({ place, session, options, config })
    const connect = client.connect.bind(client) as (done: (error?: Error | null) => void) => void
    const connectRemembering = (done: (error?: Error | null) => void): void =>
      connect((error) => {
        if (error) trying.set(error, tried)
        done(error)
      })
    const { greet: plainGreet } = client
    const greet = async (): Promise<void> =>
      plainGreet().catch((error: unknown) => {
        if (error instanceof Error) trying.set(error, tried)
        throw error
      })
    return Object.assign(client, { connect: connectRemembering, greet })
  }
  const pool = new pg.Pool({
    max: options.connections,
    keepAlive: true,
    idleTimeoutMillis: UNUSED_KEPT_MS,
    // Unused, it does not keep a process that has nothing else to do.
    allowExitOnIdle: true,
    connectionTimeoutMillis: place.address.connectMs ?? options.connectMs ?? 10_000,
    // The pool waits for this promise, although its types do not say so (pg-pool's index.js).
    onConnect: greetAll as (client: pg.ClientBase) => void,
    Client: Opened as unknown as new () => pg.ClientBase,
  })

  const plain = pool.connect.bind(pool) as (taken: Taken) => void
  const take = (taken: Taken, tries = 1): void =>
    plain((error, client, release) => {
      const tried = error && (trying.get(error) ?? (error.cause instanceof Error ? trying.get(error.cause) : undefined))
      if (tried && tries < MAX_TRIES && learnFrom(place, tried, error)) take(taken, tries + 1)
      else taken(error, client, release)
    })
  const connect = (taken?: Taken): Promise<pg.PoolClient> | undefined => {
    if (taken !== undefined) {
      take(taken)
      return undefined
    }
    return new Promise((resolve, reject) =>
      take((error, client) => (client === undefined ? reject(error as Error) : resolve(client))),
    )
  }
  Object.assign(pool, { connect })

  // An error of an idle connection needs no action, because the pool has already dropped the connection. But without a
  // listener it would end the process.
  pool.on('error', () => undefined)
  // The pool removes its own listener from a connection that it lends, and Prisma adds one a moment later. If the
  // server ended the connection in between, the unhandled 'error' would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined))
  const { statementMs } = options
  // node-postgres' query_timeout is not used: it would return the connection to the pool while it still waits for the
  // answer.
  if (statementMs !== undefined) {
    const limitSilence = (client: pg.PoolClient, limitMs: number): void => {
      const { stream } = (client as unknown as pg.Client).connection
      if (stream instanceof Socket) stream.setTimeout(limitMs)
    }
    pool.on('connect', (client) => {
      const { stream } = (client as unknown as pg.Client).connection
      stream.on('timeout', () => stream.destroy())
    })
    pool.on('acquire', (client) => limitSilence(client, statementMs + SILENCE_BEYOND_MS))
    pool.on('release', (_error, client) => limitSilence(client, 0))
  }
  return { pool, schema: async () => (session.schema ??= await findSchema(pool)) }
}

/**
 * The schema to which unqualified names lead in a session of this address. The session that answers searches only this
 * schema from then on.
 */
const findSchema = async (pool: pg.Pool): Promise<string> => {
  const client = await pool.connect()
  let schema: string | null | undefined
  try {
    const { rows } = await client.query<{ schema: string | null }>(
      `SELECT name AS schema, set_config('search_path', coalesce(quote_ident(name) || ', pg_temp',
        current_setting('search_path')), $1)
       FROM (SELECT ${FIRST_SCHEMA} AS name) AS first`,
      [(client as unknown as SessionClient).isLent()],
    )
    schema = rows[0]?.schema
  } catch (error) {
    client.release(true)
    throw error
  }
  // A session without a usable schema is not kept: the operator may correct the search_path while the program runs.
  client.release(schema === null)
  if (schema === null || schema === undefined) throw new DatabaseTrouble(NO_SCHEMA)
  return schema
}
