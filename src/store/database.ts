// The connection to PostgreSQL through Prisma, and what every store function is given.
import { PrismaPg } from '@prisma/adapter-pg'
import {
  type Authorisation,
  type Consent,
  type Notification,
  type Prisma,
  PrismaClient,
  type Renewal,
} from '../generated/prisma/client.ts'
import type { Vault } from '../crypto/vault.ts'
import type { NoStatus } from './columns.ts'
import { openPool } from '../postgres/pool.ts'
import type { Secret } from '../secret.ts'
import { withOffsets } from './instants-sent.ts'
import { type SqlConnections, sqlConnections } from './statements.ts'

type Updates = 'update' | 'updateMany' | 'updateManyAndReturn' | 'upsert'
interface WritesNoStatus<Row, Key, Where, Change, ChangeMany> {
  update(args: { where: Key; data: Change & NoStatus }): Promise<Row>
  updateMany(args: { where?: Where; data: ChangeMany & NoStatus }): Promise<{ count: number }>
}
interface Guarded {
  readonly consent: Omit<PrismaClient['consent'], Updates> &
    WritesNoStatus<
      Consent,
      Prisma.ConsentWhereUniqueInput,
      Prisma.ConsentWhereInput,
      Prisma.ConsentUncheckedUpdateInput,
      Prisma.ConsentUncheckedUpdateManyInput
    >
  readonly renewal: Omit<PrismaClient['renewal'], Updates> &
    WritesNoStatus<
      Renewal,
      Prisma.RenewalWhereUniqueInput,
      Prisma.RenewalWhereInput,
      Prisma.RenewalUncheckedUpdateInput,
      Prisma.RenewalUncheckedUpdateManyInput
    >
  readonly authorisation: Omit<PrismaClient['authorisation'], Updates> &
    WritesNoStatus<
      Authorisation,
      Prisma.AuthorisationWhereUniqueInput,
      Prisma.AuthorisationWhereInput,
      Prisma.AuthorisationUncheckedUpdateInput,
      Prisma.AuthorisationUncheckedUpdateManyInput
    >
  readonly notification: Omit<PrismaClient['notification'], Updates> &
    WritesNoStatus<
      Notification,
      Prisma.NotificationWhereUniqueInput,
      Prisma.NotificationWhereInput,
      Prisma.NotificationUncheckedUpdateInput,
      Prisma.NotificationUncheckedUpdateManyInput
    >
}

export type Transaction = Omit<Prisma.TransactionClient, keyof Guarded> & Guarded

type Begin = NonNullable<Parameters<PrismaClient['$transaction']>[1]>
export interface Client extends Omit<PrismaClient, keyof Guarded | '$transaction'>, Guarded {
  $transaction<Result>(work: (tx: Transaction) => Promise<Result>, options?: Begin): Promise<Result>
}

/** Prisma's client for plain reads and rare writes, and plain SQL for what the loop does; over one pool. */
export interface Database extends SqlConnections {
  readonly prisma: Client
  readonly vault: Vault
  /** Waits for statements that are under way. */
  close(): Promise<void>
}

/**
 * The longest that a transaction may take in Prisma; PostgreSQL's own limit for an idle transaction is a little longer.
 */
const TRANSACTION_MS = 15_000
/**
 * PostgreSQL ends a transaction that is idle for this long: a process that is suspended or cut off in the middle of a
 * transaction must not hold its row locks for ever.
 */
const FROZEN_MS = TRANSACTION_MS + 5_000

export interface DatabaseOptions {
  readonly url: Secret
  readonly vault: Vault
  /** The size of the pool. */
  readonly connections: number
  /**
   * The longest that a statement may take, in milliseconds; then PostgreSQL ends it. If PostgreSQL itself does not
   * answer (its host vanished, or the network is interrupted), the connection is closed, because TCP alone would wait
   * for a quarter of an hour. No limit by default: imports, verification and key rotation may take long.
   */
  readonly statementMs?: number
}

/** Opens a pool; no connection is made until the first query. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const { pool, schema } = openPool(options.url, {
    applicationName: 'reconsent',
    connections: options.connections,
    idleInTransactionMs: FROZEN_MS,
    ...(options.statementMs === undefined ? {} : { statementMs: options.statementMs }),
  })
  const adapter = withOffsets(new PrismaPg(pool, { disposeExternalPool: true }), schema)
  // Prisma's own messages contain the arguments of queries, so they are kept short here, and errors are recognised by
  // name and code only.
  const prisma = new PrismaClient({
    adapter,
    errorFormat: 'minimal',
    transactionOptions: { timeout: TRANSACTION_MS, maxWait: 10_000 },
  })
  return {
    ...sqlConnections(pool, schema),
    prisma: prisma as unknown as Client,
    vault: options.vault,
    close: async () => {
      await prisma.$disconnect()
      // Prisma ends the pool only if it has used it.
      if (!pool.ending) await pool.end()
    },
  }
}
