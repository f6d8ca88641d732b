// Writes the planned changes of some consents inside the caller's transaction, which holds their locks. The only place
// in the program that changes events: it changes only their `at`, and only with the setting that the trigger requires,
// which ends with the transaction.
import type { Transaction } from '../store/database.ts'
import type { Change, Plan, Table } from './plan.ts'

/** Every column that may be changed; all are instants. */
const columns: Readonly<Record<Exclude<Table, 'events'>, readonly string[]>> = {
  consents: [
    'consented_at',
    'expires_at',
    'next_action_at',
    'queued_until',
    'lease_until',
    'retry_after',
    'created_at',
    'updated_at',
  ],
  renewals: ['opened_at', 'closed_at', 'previous_expires_at'],
  authorisations: [
    'issued_at',
    'handed_out_at',
    'expires_at',
    'code_received_at',
    'exchange_started_at',
    'answered_at',
    'next_action_at',
    'closed_at',
  ],
  notifications: ['created_at', 'sending_at', 'sent_at', 'next_action_at'],
}

export const writePlans = async (tx: Transaction, plans: readonly Plan[]): Promise<void> => {
  await tx.$executeRawUnsafe(`SET LOCAL reconsent.rewrite_events = 'allowed'`)
  await writeEvents(
    tx,
    plans.flatMap(({ changes }) => changes.filter(({ table }) => table === 'events')),
  )
  for (const table of ['consents', 'renewals', 'authorisations', 'notifications'] as const)
    await writeRows(tx, table, plans)
}

const iso = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString())

/** Instants are sent as text with an offset, inside JSON, so that no setting of the session changes their meaning. */
const writeEvents = async (tx: Transaction, changes: readonly Change[]): Promise<void> => {
  if (changes.length === 0) return
  const json = JSON.stringify(
    changes.map(({ id, seq, stored, meant }) => ({ id, seq, stored: iso(stored), meant: iso(meant) })),
  )
  await tx.$executeRawUnsafe(
    `UPDATE events AS row SET at = new.meant
     FROM jsonb_to_recordset($1::jsonb) AS new (id uuid, seq int, stored timestamptz, meant timestamptz)
     WHERE row.consent_id = new.id AND row.seq = new.seq AND row.at = new.stored`,
    json,
  )
}

// Raises the fencing token, as for every change that a worker with a stale claim must not overwrite.
const writeRows = async (tx: Transaction, table: Exclude<Table, 'events'>, plans: readonly Plan[]): Promise<void> => {
  const changes = plans.flatMap((plan) =>
    plan.changes
      .filter((change) => change.table === table)
      .map((change) => ({ ...change, nextReason: plan.nextReason })),
  )
  if (changes.length === 0) return
  const byId = Map.groupBy(changes, ({ id }) => id)
  const rows = [...byId].map(([id, mine]) => ({
    id,
    sets: Object.fromEntries(mine.map(({ column, meant }) => [column, iso(meant)])),
    reason: mine.some(({ column }) => column === 'next_action_at') ? (mine[0]?.nextReason ?? null) : null,
  }))
  const sets = columns[table].map(
    (column) =>
      `${column} = CASE WHEN new.sets ? '${column}' THEN (new.sets ->> '${column}')::timestamptz
         ELSE row.${column} END`,
  )
  const more = {
    consents: [
      `next_action_reason = coalesce(new.reason, row.next_action_reason)`,
      'fencing_token = fencing_token + 1',
    ],
    renewals: [],
    authorisations: ['fencing_token = fencing_token + 1'],
    notifications: ['fencing_token = fencing_token + 1'],
  }[table]
  await tx.$executeRawUnsafe(
    `UPDATE ${table} AS row SET ${[...sets, ...more].join(', ')}
     FROM jsonb_to_recordset($1::jsonb) AS new (id uuid, sets jsonb, reason text) WHERE row.id = new.id`,
    JSON.stringify(rows),
  )
}
