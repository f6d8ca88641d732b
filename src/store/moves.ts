// The only writes of a status. The WHERE of each names the states from which domain/lifecycle.ts allows the new one, so
// that no statement can make a transition that the tables do not have. All other updates take no status (columns.ts,
// database.ts).
import {
  authorisationTransitions,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
  type SourceOf,
  sourcesOf,
} from '../domain/lifecycle.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { assignments, type Changes, conditions, type Rows, tableOf, type Which } from './columns.ts'
import type { NoStatus } from './columns.ts'
import type { Statements } from './statements.ts'

const tables = {
  consent: consentTransitions,
  renewal: renewalTransitions,
  authorisation: authorisationTransitions,
  notification: notificationTransitions,
} as const
type Tables = typeof tables
export type MovedKind = keyof Tables

interface Move<Kind extends MovedKind, To extends keyof Tables[Kind]> {
  readonly where: Which<Kind> & NoStatus
  readonly data: Changes<Kind>
  /** The states to move from, among those that lead to `to`; by default all of them. */
  readonly from?: readonly SourceOf<Tables[Kind], To>[]
  /** Also writes a record that is in the state `to` already. */
  readonly orAlready?: boolean
}

const statesBefore = <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  kind: Kind,
  to: To,
  { from, orAlready = false }: Pick<Move<Kind, To>, 'from' | 'orAlready'>,
): string[] => {
  const sources = sourcesOf(tables[kind] as never, to as never) as string[]
  // The type of `from` allows only such states; the filter holds even if a caller gets around the type.
  const wanted = from === undefined ? sources : sources.filter((state) => (from as readonly string[]).includes(state))
  return orAlready ? [...wanted, to as string] : wanted
}

/** Undefined if no state of `from` leads to `to`. */
const moveStatement = <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  kind: Kind,
  to: To,
  move: Move<Kind, To>,
): Prisma.Sql | undefined => {
  // Literals, so that PostgreSQL can use the partial indexes on the status.
  const before = statesBefore(kind, to, move).map((state) => `'${state}'`)
  if (before.length === 0) return undefined
  const changes = assignments({ ...move.data, status: to as string })
  const which = Object.keys(move.where).length === 0 ? Prisma.empty : Prisma.sql`${conditions(move.where)} AND`
  return Prisma.sql`
    UPDATE ${tableOf[kind]} SET ${changes} WHERE ${which} status IN (${Prisma.raw(before.join(', '))})`
}

/** Moves every record of `where` that may be moved to the state `to`; returns how many were moved. */
export const moveAll = async <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  tx: Statements,
  kind: Kind,
  to: To,
  move: Move<Kind, To>,
): Promise<number> => {
  const statement = moveStatement(kind, to, move)
  return statement === undefined ? 0 : tx.$executeRaw(statement)
}

/**
 * The same where nobody asks how many. In a transaction of ours the write may be sent later, together with others; it
 * must not touch a record that is changed by itself in the same step.
 */
export const moveAny = async <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  tx: Statements,
  kind: Kind,
  to: To,
  move: Move<Kind, To>,
): Promise<void> => {
  const statement = moveStatement(kind, to, move)
  if (statement === undefined) return
  if (tx.pending === undefined) await tx.$executeRaw(statement)
  else tx.pending.also(statement)
}

/** Whether the table has a transition of this record to the state `to`. */
export const canMove = <Kind extends MovedKind>(
  kind: Kind,
  { status }: Pick<Rows[Kind], 'status'>,
  to: keyof Tables[Kind],
): boolean => statesBefore(kind, to, {}).includes(status)

/** Moves a locked record. Throws if the table has no such transition, which is a bug of ours. */
export const moveOne = async <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  tx: Statements,
  kind: Kind,
  { id, status }: Pick<Rows[Kind], 'id' | 'status'>,
  to: To,
  { data, ...move }: Omit<Move<Kind, To>, 'where'>,
): Promise<void> => {
  const before = statesBefore(kind, to, move)
  if (!before.includes(status)) throw illegal(kind, status, to as string)
  if (tx.pending !== undefined) {
    tx.pending.change(kind, id, { ...data, status: to as string }, before)
    return
  }
  const where = { id } as unknown as Move<Kind, To>['where']
  const count = await moveAll(tx, kind, to, { ...move, where, data })
  if (count !== 1) throw illegal(kind, status, to as string)
}

/** The same for a row that is changed in memory and written back as a whole (writeConsents). */
export const moveRow = <Kind extends MovedKind>(kind: Kind, row: Rows[Kind], to: keyof Tables[Kind]): void => {
  if (!statesBefore(kind, to, {}).includes(row.status)) throw illegal(kind, row.status, to as string)
  row.status = to as string
}

/**
 * For a statement that Prisma cannot express: `sets` is its assignment, `allowed` its condition on the column `status`
 * of `alias`. The states are literals, so that PostgreSQL can use the partial indexes on the status.
 */
export const moveSql = <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  kind: Kind,
  to: To,
  { alias, ...move }: Pick<Move<Kind, To>, 'from'> & { readonly alias: string },
): { readonly sets: Prisma.Sql; readonly allowed: Prisma.Sql } => {
  const literals = statesBefore(kind, to, move).map((state) => `'${state}'`)
  return {
    sets: Prisma.raw(`status = '${to as string}'`),
    allowed: Prisma.raw(`${alias}.status IN (${literals.join(', ')})`),
  }
}

const illegal = (kind: MovedKind, from: string, to: string): Error =>
  new Error(`illegal transition of a record (${kind}): ${from} to ${to}`)
