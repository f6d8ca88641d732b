// Corrects records that matter for hours only: the counts of messages per hour, the provider's failures and open
// circuits. No event proves their instants; but no message was sent in an hour that has not begun, and no failure
// happened in the future. Only rows that lie in the future are corrected; the past ones no longer matter.
import type { DateTime } from 'luxon'
import { readAs } from '../domain/shifted-instant.ts'
import type { Transaction } from '../store/database.ts'
import type { Reader } from './read-consents.ts'

export interface ShortLivedChange {
  readonly what: string
  readonly by: string
  readonly rows: number
}

/** A smaller difference is a clock that runs ahead, not a time zone. */
const AHEAD_MS = 600_000
const BY = 'lies in the future'

interface Ahead {
  readonly table: 'message_hours' | 'provider_failures' | 'open_circuits'
  readonly key: readonly string[]
  readonly at: string
}

const findAhead = async (tx: Reader, now: DateTime): Promise<Ahead[]> =>
  tx.$queryRawUnsafe<Ahead[]>(
    `SELECT * FROM (
       SELECT 'message_hours' AS "table", ARRAY[]::text[] AS key, to_jsonb(hour) #>> '{}' AS at, hour AS instant
         FROM message_hours
       UNION ALL
       SELECT 'provider_failures', ARRAY[code, connection], to_jsonb(at) #>> '{}', at FROM provider_failures
       UNION ALL
       SELECT 'open_circuits', ARRAY[name], to_jsonb(greatest(since, trial_at)) #>> '{}', greatest(since, trial_at)
         FROM open_circuits
     ) AS found WHERE instant > $1::text::timestamptz`,
    new Date(now.toMillis() + AHEAD_MS).toISOString(),
  )

export const planShortLived = async (tx: Reader, now: DateTime): Promise<ShortLivedChange[]> => {
  const counts = Map.groupBy(await findAhead(tx, now), ({ table }) => table)
  return [...counts].map(([table, rows]) => ({ what: table, by: BY, rows: rows.length }))
}

/**
 * The hour's count is added to the hour that was meant; an open circuit is due for its trial call at once; a failure
 * gets its true instant, at most now.
 */
export const writeShortLived = async (tx: Transaction, zone: string, now: DateTime): Promise<ShortLivedChange[]> => {
  const planned = await planShortLived(tx, now)
  const nowText = new Date(now.toMillis()).toISOString()
  for (const { table, key, at } of await findAhead(tx, now)) {
    const meant = new Date(Math.min(readAs(zone, Date.parse(at)), now.toMillis())).toISOString()
    if (table === 'message_hours') {
      await tx.$executeRawUnsafe(
        `WITH gone AS (DELETE FROM message_hours WHERE hour = $1::text::timestamptz RETURNING used)
         INSERT INTO message_hours AS row (hour, used)
           SELECT date_trunc('hour', $2::text::timestamptz, 'UTC'), used FROM gone
         ON CONFLICT (hour) DO UPDATE SET used = row.used + EXCLUDED.used`,
        at,
        meant,
      )
    } else if (table === 'provider_failures') {
      await tx.$executeRawUnsafe(
        'UPDATE provider_failures SET at = $1::text::timestamptz WHERE code = $2 AND connection = $3',
        meant,
        key[0],
        key[1],
      )
    } else {
      await tx.$executeRawUnsafe(
        `UPDATE open_circuits
         SET since = least(since, $1::text::timestamptz), trial_at = least(trial_at, $1::text::timestamptz)
         WHERE name = $2`,
        nowText,
        key[0],
      )
    }
  }
  return planned
}
