// Invariant 1: every open row has a date for its next action, and no row is overdue by more than two sweep intervals.
import type { DateTime, Duration } from 'luxon'
import type { Transaction } from '../store/database.ts'
import { type Found, MAX_LISTED, listViolations, type Violation } from './violation.ts'

const SWEEPS = 2

export const checkDates = async (
  tx: Transaction,
  { now, sweepInterval }: { now: DateTime; sweepInterval?: Duration | undefined },
): Promise<Violation[]> => {
  // Without an interval no row is overdue: a comparison with NULL is never true.
  const before =
    sweepInterval === undefined ? null : now.minus({ milliseconds: sweepInterval.toMillis() * SWEEPS }).toJSDate()
  const found = await tx.$queryRaw<Found[]>`
    SELECT kind || ' ' || id AS record,
      CASE WHEN next_action_at IS NULL THEN status || ' without a date to be looked at' ELSE status || ', due since '
        || to_char(next_action_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') END AS what
    FROM (
      SELECT 'consents' AS kind, id, status, next_action_at FROM consents WHERE status = 'active' AND (next_action_at
        IS NULL OR next_action_at < ${before}::timestamptz)
      UNION ALL
      SELECT 'authorisations', id, status, next_action_at FROM authorisations
        WHERE status IN ('issued', 'code_received', 'exchanging', 'verifying', 'in_doubt') AND (next_action_at IS NULL
          OR next_action_at < ${before}::timestamptz)
      UNION ALL
      SELECT 'notifications', id, status, next_action_at FROM notifications WHERE status IN ('pending', 'sending') AND
        (next_action_at IS NULL OR next_action_at < ${before}::timestamptz)
    ) AS open
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(1, found)
}
