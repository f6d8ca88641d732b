// The connection to PostgreSQL through Prisma, and what every store function is given.
import { Socket } from 'node:net'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { type Prisma, PrismaClient } from '../generated/prisma/client.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Secret } from '../secret.ts'

export interface Database {
  readonly prisma: PrismaClient
  readonly vault: Vault
}

export type Transaction = Prisma.TransactionClient

/** How long a transaction lives in Prisma; PostgreSQL's own patience with an idle one is a little longer. */
const TRANSACTION_MS = 15_000
/** A process that is stopped or cut off in the middle of a transaction must not hold its row locks for ever. */
const FROZEN_MS = TRANSACTION_MS + 5_000

/** Longer than PostgreSQL's own limit, which ends a statement without ending its connection. */
const SILENCE_BEYOND_MS = 2_000

export interface DatabaseOptions {
  readonly url: Secret
  readonly vault: Vault
  /** Of the pool. */
  readonly connections: number
  /**
   * The longest a statement may take, in milliseconds. Then PostgreSQL ends it; where PostgreSQL itself is silent (a host that vanished, a
   * partition), the connection is given up, because TCP alone waits for a quarter of an hour. No limit unless said: importing,
   * verifying and rotating keys may take long.
   */
  readonly statementMs?: number
}

/** Opens a pool; nothing is connected until the first query. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const { statementMs } = options
  const pool = new pg.Pool({
    connectionString: options.url.reveal(),
    max: options.connections,
    application_name: 'reconsent',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    idle_in_transaction_session_timeout: FROZEN_MS,
    ...(statementMs === undefined ? {} : { statement_timeout: statementMs }),
  })
  // The pool takes its own listener off a connection that it lends, Prisma's comes a moment later: a backend that is ended in between
  // would be an unhandled 'error', which ends the process.
  pool.on('connect', (client) => client.on('error', () => undefined))
  // Not node-postgres' query_timeout: it would put the connection back into the pool, still waiting for the answer. Idle ones are closed
  // by the pool before this strikes.
  if (statementMs !== undefined) {
    pool.on('connect', ({ connection: { stream } }) => {
      if (stream instanceof Socket) stream.setTimeout(statementMs + SILENCE_BEYOND_MS, () => stream.destroy())
    })
  }
  const adapter = new PrismaPg(pool, { disposeExternalPool: true })
  // Prisma's own messages print arguments: errors are taken from what it throws, by name and code only.
  return { prisma: new PrismaClient({ adapter, errorFormat: 'minimal', transactionOptions: { timeout: TRANSACTION_MS, maxWait: 10_000 } }), vault: options.vault }
}

/** Thrown inside a transaction to undo it: the caller answers `false` or another value of its own. */
class Overtaken extends Error {
  override readonly name = 'Overtaken'
}

export const overtaken = (): never => {
  throw new Overtaken('overtaken')
}

/** Runs a transaction that may find it has been overtaken: then nothing of it is kept and the answer is false. */
export const fenced = async (db: Database, work: (tx: Transaction) => Promise<void>): Promise<boolean> => {
  try {
    await db.prisma.$transaction(work)
    return true
  } catch (error) {
    if (error instanceof Overtaken) return false
    throw error
  }
}
