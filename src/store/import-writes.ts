// The statements of an import: a batch is locked, read and written back by a handful of them, whatever it does to each
// row.
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { clearVerifiers } from './authorisation-row.ts'
import type { Transaction } from './database.ts'
import type { ChainedEvent } from './events.ts'
import { moveAll, moveSql } from './moves.ts'

/** One key for all imports: any number that no other lock of the program has. */
const WORDS_LOCK = 7_203_011

export interface BatchKeys {
  readonly credentialsIds: readonly string[]
  /** What its rows say they took the place of. */
  readonly superseded: readonly string[]
}

/**
 * Locks what the batch is about, always in the order of ids so that two imports never deadlock: the connections
 * themselves, those that their rows say they replaced or that say so of them, and whatever replaced any of these.
 *
 * A batch in which something is said to be replaced runs alone: else the consent that is named could be made by another
 * import at the same moment, each would miss the other, and the user be asked for both.
 */
export const lockForImport = async (
  tx: Transaction,
  { credentialsIds, superseded }: BatchKeys,
): Promise<ConsentRow[]> => {
  if (superseded.length > 0) await tx.$executeRaw`SELECT pg_advisory_xact_lock(${WORDS_LOCK}::bigint)`
  else await tx.$executeRaw`SELECT pg_advisory_xact_lock_shared(${WORDS_LOCK}::bigint)`
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

/** Every column of a consent's row by its field, as the schema maps them: what an import writes is the whole row. */
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
 * New rows and rows whose lock we hold, whole, in one statement: one that names another of the batch is checked only at
 * its end.
 */
export const writeConsents = async (tx: Transaction, rows: readonly ConsentRow[]): Promise<void> => {
  if (rows.length === 0) return
  const json = JSON.stringify(rows.map((row) => Object.fromEntries(columns.map(([name, field]) => [name, row[field]]))))
  await tx.$executeRaw`
    INSERT INTO consents (${nameList}) SELECT ${nameList} FROM jsonb_populate_recordset(NULL::consents, ${json}::jsonb)
    ON CONFLICT (id) DO UPDATE SET ${overwriting}`
}

/** Closes the open cycles of these consents; messages that have not left are cancelled. */
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
 * Messages that could not be sent to an address of before, looked at again: the ledger makes no rung a second time.
 * Whether one is still wanted, or a later one by now, is decided then.
 */
export const reviveUnreached = async (tx: Transaction, consentIds: readonly string[], now: Date): Promise<void> => {
  if (consentIds.length === 0) return
  const { sets, allowed } = moveSql('notification', 'pending', { alias: 'message', from: ['failed'] })
  await tx.$executeRaw`
    UPDATE notifications AS message
    SET ${sets}, next_action_at = ${now}, error_code = NULL, attempts = 0, lease_until = NULL, queued_until
      = NULL, epoch = message.epoch + 1
    FROM consents AS consent, renewals AS renewal
    WHERE message.consent_id = ANY(${[...consentIds]}::uuid[]) AND ${allowed} AND message.error_code =
      'no-channel'
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
