// Reads and writes records by the fields of their rows. A status is written only by moves.ts.
import { Prisma } from '../generated/prisma/client.ts'
import {
  allOf,
  assignments,
  type Changes,
  columnOf,
  conditions,
  insertion,
  recordIn,
  type RowKind,
  type Rows,
  tableOf,
  type Which,
} from './columns.ts'
import type { Statements } from './statements.ts'

/** Reads records, in the order of a field if one is named. */
export const find = async <Kind extends RowKind>(
  on: Statements,
  kind: Kind,
  which: Which<Kind>,
  orderBy?: keyof Rows[Kind] & string,
): Promise<Rows[Kind][]> => {
  const order = orderBy === undefined ? Prisma.empty : Prisma.sql`ORDER BY ${Prisma.raw(columnOf(orderBy))}`
  const rows = await on.$queryRaw<Record<string, unknown>[]>`
    SELECT ${allOf('record')} FROM ${tableOf[kind]} AS record WHERE ${conditions(which)} ${order}`
  return rows.flatMap((row) => recordIn(kind, 'record', row) ?? [])
}

/** Changes records, but never their status; returns how many. */
export const update = async <Kind extends RowKind>(
  tx: Statements,
  kind: Kind,
  which: Which<Kind>,
  changes: Changes<Kind>,
): Promise<number> => tx.$executeRaw`UPDATE ${tableOf[kind]} SET ${assignments(changes)} WHERE ${conditions(which)}`

/**
 * Changes one record whose lock we hold, but never its status. In a transaction of ours the write may be sent later,
 * together with others.
 */
export const changeRecord = async <Kind extends RowKind>(
  tx: Statements,
  kind: Kind,
  id: string,
  changes: Changes<Kind>,
): Promise<void> => {
  if (tx.pending === undefined) await update(tx, kind, { id } as unknown as Which<Kind>, changes)
  else tx.pending.change(kind, id, changes)
}

/** Adds a record. A field that is not given gets the column's default. */
export const insert = async <Kind extends RowKind>(
  tx: Statements,
  kind: Kind,
  row: { readonly [Field in keyof Rows[Kind]]?: Rows[Kind][Field] | Prisma.Sql } & { readonly id: string },
): Promise<void> => {
  if (tx.pending !== undefined) {
    tx.pending.insert(kind, row.id, row)
    return
  }
  await tx.$executeRaw(insertion(kind, row))
}
