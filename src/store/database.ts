// The connection to PostgreSQL through Prisma, and what every store function is given.
import { PrismaPg } from '@prisma/adapter-pg'
import { type Prisma, PrismaClient } from '../generated/prisma/client.ts'
import type { Vault } from '../crypto/vault.ts'
import { openPool } from '../postgres/pool.ts'
import type { Secret } from '../secret.ts'
import { withOffsets } from './instants-sent.ts'

export interface Database {
  readonly prisma: PrismaClient
  readonly vault: Vault
}

export type Transaction = Prisma.TransactionClient

/** How long a transaction lives in Prisma; PostgreSQL's own patience with an idle one is a little longer. */
const TRANSACTION_MS = 15_000
/** A process that is stopped or cut off in the middle of a transaction must not hold its row locks for ever. */
const FROZEN_MS = TRANSACTION_MS + 5_000

export interface DatabaseOptions {
  readonly url: Secret
  readonly vault: Vault
  /** Of the pool. */
  readonly connections: number
  /**
   * The longest a statement may take, in milliseconds. Then PostgreSQL ends it; where PostgreSQL itself is silent (a
   * host that vanished, a partition), the connection is given up, because TCP alone waits for a quarter of an hour. No
   * limit unless said: importing, verifying and rotating keys may take long.
   */
  readonly statementMs?: number
}

/** Opens a pool; nothing is connected until the first query. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const { pool, schema } = openPool(options.url, {
    applicationName: 'reconsent',
    connections: options.connections,
    idleInTransactionMs: FROZEN_MS,
    ...(options.statementMs === undefined ? {} : { statementMs: options.statementMs }),
  })
  const adapter = withOffsets(new PrismaPg(pool, { disposeExternalPool: true }), schema)
  // Prisma's own messages print arguments: errors are taken from what it throws, by name and code only.
  return {
    prisma: new PrismaClient({
      adapter,
      errorFormat: 'minimal',
      transactionOptions: { timeout: TRANSACTION_MS, maxWait: 10_000 },
    }),
    vault: options.vault,
  }
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
