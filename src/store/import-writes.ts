// The SQL statements by which an import writes: a handful of them write a whole batch, whatever it does to each row.
import type { ChannelName } from '../domain/channels.ts'
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { clearVerifiers } from './authorisation-row.ts'
import { type ArrayElement, arrayText, type Column, consentColumns, textOf } from './consent-columns.ts'
import type { ChainedEvent } from './events.ts'
import { moveAll, moveSql } from './moves.ts'
import type { Statements } from './statements.ts'

const nameList = Prisma.raw(consentColumns.map(({ name }) => name).join(', '))
const overwriting = Prisma.raw(
  consentColumns
    .filter(({ field }) => field !== 'id')
    .map(({ name }) => `${name} = EXCLUDED.${name}`)
    .join(', '),
)
/** A list of scopes is an element of its own here, and only becomes a list again in the row. */
const elementType = (type: string): string => (type === 'text[]' ? 'text' : type)

/** The rows as a query: a column in which all have the same value is written once, any other as an array. */
const queryOf = (rows: readonly ConsentRow[]): Prisma.Sql => {
  const [first] = rows
  const isSame = ({ field }: Column): boolean => rows.every((row) => row[field] === first?.[field])
  const varying = consentColumns.filter((column) => column.field === 'id' || !isSame(column))
  const isVarying = new Set(varying)
  const values = consentColumns.map((column) =>
    isVarying.has(column)
      ? Prisma.raw(`given.${column.name}::${column.type}`)
      : Prisma.sql`${textOf(first?.[column.field] ?? null)}::${Prisma.raw(column.type)}`,
  )
  const arrays = varying.map(
    ({ field, type }) => Prisma.sql`${arrayText(rows.map((row) => row[field]))}::${Prisma.raw(elementType(type))}[]`,
  )
  const names = Prisma.raw(varying.map(({ name }) => name).join(', '))
  return Prisma.sql`SELECT ${Prisma.join(values)} FROM unnest(${Prisma.join(arrays)}) AS given (${names})`
}

/**
 * Writes rows of consents that were not there. A row may refer to another one of the same statement: that is only
 * checked when all are written.
 */
export const insertConsents = async (tx: Statements, rows: readonly ConsentRow[]): Promise<void> => {
  if (rows.length > 0) await tx.$executeRaw`INSERT INTO consents (${nameList}) ${queryOf(rows)}`
}

/** Writes rows whose locks we hold, and rows of consents that were not there. */
export const writeConsents = async (tx: Statements, rows: readonly ConsentRow[]): Promise<void> => {
  if (rows.length === 0) return
  await tx.$executeRaw`
    INSERT INTO consents (${nameList}) ${queryOf(rows)} ON CONFLICT (id) DO UPDATE SET ${overwriting}`
}

/** Closes the open cycles of these consents, and cancels their messages that are still `pending`. */
export const closeCycles = async (
  tx: Statements,
  consentIds: readonly string[],
  as: 'repaired' | 'cancelled',
  now: Date,
): Promise<void> => {
  if (consentIds.length === 0) return
  const ids = [...consentIds]
  await moveAll(tx, 'renewal', as, { where: { consentId: { in: ids } }, data: { closedAt: now } })
  await clearVerifiers(tx, { consentId: { in: ids } })
  await moveAll(tx, 'notification', 'cancelled', { where: { consentId: { in: ids } }, data: { nextActionAt: null } })
}

/**
 * Makes messages of a channel `pending` again that failed because the user's earlier address could not be used: the
 * ledger never gets a second message for the same rung. Whether such a message, or a later one, is still wanted is
 * decided when its job runs.
 */
export const reviveUnreached = async (
  tx: Statements,
  channel: ChannelName,
  consentIds: readonly string[],
  now: Date,
): Promise<void> => {
  const { sets, allowed } = moveSql('notification', 'pending', { alias: 'message', from: ['failed'] })
  await tx.$executeRaw`
    UPDATE notifications AS message
    SET ${sets}, next_action_at = ${now}, error_code = NULL, attempts = 0, lease_until = NULL, queued_until
      = NULL, fencing_token = message.fencing_token + 1
    FROM consents AS consent, renewals AS renewal
    WHERE message.consent_id = ANY(${[...consentIds]}::uuid[]) AND message.channel = ${channel} AND ${allowed}
      AND message.error_code = 'no-channel'
      AND consent.id = message.consent_id AND consent.cycle = message.cycle AND renewal.id = message.renewal_id AND
        renewal.status = 'open'`
}

/** Appends events that were chained under the consents' locks. */
export const writeEvents = async (tx: Statements, events: readonly ChainedEvent[]): Promise<void> => {
  if (events.length === 0) return
  const column = (read: (event: ChainedEvent) => ArrayElement): string => arrayText(events.map(read))
  await tx.$executeRaw`
    INSERT INTO events (consent_id, seq, type, at, actor, reason, data, hash)
    SELECT * FROM unnest(
      ${column(({ consentId }) => consentId)}::uuid[], ${column(({ seq }) => seq)}::int[],
      ${column(({ type }) => type)}::text[], ${column(({ at }) => at)}::timestamptz[],
      ${column(({ actor }) => actor)}::text[], ${column(({ reason }) => reason)}::text[],
      ${column(({ data }) => JSON.stringify(data))}::jsonb[], ${column(({ hash }) => hash)}::text[])`
}
