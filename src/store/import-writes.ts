// The SQL statements of an import: a handful of them lock, read and write back a whole batch, whatever it does to each
// row.
import type { ChannelName } from '../domain/channels.ts'
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { clearVerifiers } from './authorisation-row.ts'
import type { Transaction } from './database.ts'
import type { ChainedEvent } from './events.ts'
import { moveAll, moveSql } from './moves.ts'

/**
 * The key of the advisory lock on `supersedes`: imports without one share the lock, an import with one has it alone.
 * Any number that no other lock of the program has.
 */
const SUPERSEDES_LOCK = 7_203_011

export interface BatchKeys {
  readonly credentialsIds: readonly string[]
  /** The `credentials_id`s that the rows name in `supersedes`. */
  readonly superseded: readonly string[]
}

/**
 * Locks every consent that the batch may read or change, always in the order of ids so that two imports never deadlock:
 * the connections of the rows, the connections that these name in `supersedes` or that name these, and whatever
 * replaced any of them.
 *
 * A batch with a `supersedes` runs alone. Otherwise another import could create the named consent at the same moment;
 * neither import would see the other's consent, and the user would be notified for both.
 */
export const lockForImport = async (
  tx: Transaction,
  { credentialsIds, superseded }: BatchKeys,
): Promise<ConsentRow[]> => {
  if (superseded.length > 0) await tx.$executeRaw`SELECT pg_advisory_xact_lock(${SUPERSEDES_LOCK}::bigint)`
  else await tx.$executeRaw`SELECT pg_advisory_xact_lock_shared(${SUPERSEDES_LOCK}::bigint)`
  const ids = [...credentialsIds]
  const locked = await tx.$queryRaw<{ id: string }[]>`
    WITH RECURSIVE wanted AS (
      SELECT id, superseded_by_id FROM consents WHERE credentials_id = ANY(${[...ids, ...superseded]}::text[]) OR
        supersedes = ANY(${ids}::text[])
      UNION
      SELECT above.id, above.superseded_by_id FROM wanted JOIN consents AS above ON above.id = wanted.superseded_by_id
    )
    SELECT id FROM consents WHERE id IN (SELECT id FROM wanted) ORDER BY id FOR UPDATE`
  return tx.consent.findMany({ where: { id: { in: locked.map(({ id }) => id) } } })
}

/** Each column of a consent's row with its field, as the schema maps them: an import writes whole rows. */
const columns = Object.values(Prisma.ConsentScalarFieldEnum).map(
  (field) => [field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), field] as const,
)
const names = columns.map(([name]) => name)
const nameList = Prisma.raw(names.join(', '))
const overwriting = Prisma.raw(
  names
    .filter((name) => name !== 'id')
    .map((name) => `${name} = EXCLUDED.${name}`)
    .join(', '),
)

/**
 * Writes new rows, and rows whose lock we hold, in one statement: the reference of a row to another row of the batch is
 * only checked when all are written.
 */
export const writeConsents = async (tx: Transaction, rows: readonly ConsentRow[]): Promise<void> => {
  if (rows.length === 0) return
  const json = JSON.stringify(rows.map((row) => Object.fromEntries(columns.map(([name, field]) => [name, row[field]]))))
  await tx.$executeRaw`
    INSERT INTO consents (${nameList}) SELECT ${nameList} FROM jsonb_populate_recordset(NULL::consents, ${json}::jsonb)
    ON CONFLICT (id) DO UPDATE SET ${overwriting}`
}

/** Closes the open cycles of these consents, and cancels their messages that are still `pending`. */
export const closeCycles = async (
  tx: Transaction,
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
  tx: Transaction,
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
export const writeEvents = async (tx: Transaction, events: readonly ChainedEvent[]): Promise<void> => {
  if (events.length === 0) return
  const json = JSON.stringify(events.map(({ consentId, ...event }) => ({ consent_id: consentId, ...event })))
  await tx.$executeRaw`
    INSERT INTO events (consent_id, seq, type, at, actor, reason, data, hash)
    SELECT consent_id, seq, type, at, actor, reason, data, hash FROM jsonb_populate_recordset(NULL::events,
      ${json}::jsonb)`
}
