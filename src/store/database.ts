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
import { openPool } from '../postgres/pool.ts'
import type { Secret } from '../secret.ts'
import { withOffsets } from './instants-sent.ts'

/** A write that changes no status: those are in moves.ts, under the tables of transitions. */
export interface NoStatus {
  readonly status?: never
}

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

export interface Database {
  readonly prisma: Client
  readonly vault: Vault
}

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
    }) as unknown as Client,
    vault: options.vault,
  }
}
