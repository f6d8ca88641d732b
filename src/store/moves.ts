// The only writes of a status. The WHERE of each names the states from which domain/lifecycle.ts allows the new one, so
// that no statement can make a transition that the tables do not have. Prisma's own updates take no status
// (database.ts).
import {
  authorisationTransitions,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
  type SourceOf,
  sourcesOf,
} from '../domain/lifecycle.ts'
import {
  type Authorisation,
  type Consent,
  type Notification,
  Prisma,
  type PrismaClient,
  type Renewal,
} from '../generated/prisma/client.ts'
import type { NoStatus, Transaction } from './database.ts'

type Models = Pick<Transaction, MovedKind>

const tables = {
  consent: consentTransitions,
  renewal: renewalTransitions,
  authorisation: authorisationTransitions,
  notification: notificationTransitions,
} as const
type Tables = typeof tables
export type MovedKind = keyof Tables

interface Rows {
  readonly consent: Consent
  readonly renewal: Renewal
  readonly authorisation: Authorisation
  readonly notification: Notification
}
interface Wheres {
  readonly consent: Prisma.ConsentWhereInput
  readonly renewal: Prisma.RenewalWhereInput
  readonly authorisation: Prisma.AuthorisationWhereInput
  readonly notification: Prisma.NotificationWhereInput
}
interface Changes {
  readonly consent: Prisma.ConsentUncheckedUpdateManyInput
  readonly renewal: Prisma.RenewalUncheckedUpdateManyInput
  readonly authorisation: Prisma.AuthorisationUncheckedUpdateManyInput
  readonly notification: Prisma.NotificationUncheckedUpdateManyInput
}

interface Move<Kind extends MovedKind, To extends keyof Tables[Kind]> {
  readonly where: Wheres[Kind] & NoStatus
  readonly data: Changes[Kind] & NoStatus
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

/** Moves every record of `where` that may be moved to the state `to`; returns how many were moved. */
export const moveAll = async <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  tx: Models,
  kind: Kind,
  to: To,
  move: Move<Kind, To>,
): Promise<number> => {
  // The four models have the same method; only their columns differ, and `Move` has checked those.
  const model = tx[kind] as unknown as Pick<PrismaClient['consent'], 'updateMany'>
  const { count } = await model.updateMany({
    where: { ...(move.where as object), status: { in: statesBefore(kind, to, move) } },
    data: { ...(move.data as object), status: to as string },
  })
  return count
}

/** Moves a locked record. Throws if the table has no such transition, which is a bug of ours. */
export const moveOne = async <Kind extends MovedKind, To extends keyof Tables[Kind]>(
  tx: Models,
  kind: Kind,
  { id, status }: Pick<Rows[Kind], 'id' | 'status'>,
  to: To,
  { data, ...move }: Omit<Move<Kind, To>, 'where'>,
): Promise<void> => {
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
