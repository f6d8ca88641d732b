// Locks a page of consents for a repair, in the usual order. Consents that a worker holds, by lock or by lease, are
// left for a later round.
import type { Transaction } from '../store/database.ts'

/**
 * Leases last minutes. A `lease_until` further ahead than this is not a real lease but a value that an import has
 * moved.
 */
const MAX_LEASE = '1 hour'
const HELD = `lease_until > clock_timestamp() AND lease_until <= clock_timestamp() + interval '${MAX_LEASE}'`

/** Ids of the consents that are now locked and on which no worker is working. */
export const lockConsents = async (tx: Transaction, ids: readonly string[]): Promise<string[]> => {
  const locked = await tx.$queryRawUnsafe<{ id: string; held: boolean }[]>(
    `SELECT id::text, coalesce(${HELD}, false) AS held FROM consents WHERE id = ANY($1::uuid[])
     ORDER BY id FOR UPDATE SKIP LOCKED`,
    ids,
  )
  const free = new Set(locked.filter(({ held }) => !held).map(({ id }) => id))
  for (const table of ['renewals', 'authorisations', 'notifications']) {
    const held = table === 'renewals' ? 'false' : `coalesce(${HELD}, false)`
    const all = await tx.$queryRawUnsafe<Child[]>(
      `SELECT id::text, consent_id::text AS "of", ${held} AS held FROM ${table} WHERE consent_id = ANY($1::uuid[])`,
      [...free],
    )
    // SKIP LOCKED never waits, so no deadlock is possible. No new rows can appear, because adding one needs the
    // consent's lock.
    const ours = await tx.$queryRawUnsafe<{ id: string }[]>(
      `SELECT id::text FROM ${table} WHERE consent_id = ANY($1::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED`,
      [...free],
    )
    const taken = new Set(ours.map(({ id }) => id))
    for (const { id, of, held: isHeld } of all) if (isHeld || !taken.has(id)) free.delete(of)
  }
  return [...free]
}

interface Child {
  readonly id: string
  readonly of: string
  readonly held: boolean
}
