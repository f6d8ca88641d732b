// Invariant 10, the guard: events cannot be rewritten without leaving a trace in the schema.
import type { Transaction } from '../store/database.ts'
import { type Found, tell, type Violation } from './violation.ts'

export const checkGuard = async (tx: Transaction): Promise<Violation[]> => {
  // tgtype: 8 DELETE, 16 UPDATE, 32 TRUNCATE; tgenabled: O(rigin) or A(lways) fires in ordinary sessions.
  const found = await tx.$queryRaw<Found[]>`
    SELECT 'table events' AS record, 'the trigger that refuses changes is missing or switched off' AS what
    WHERE NOT EXISTS (
      SELECT FROM pg_trigger
      WHERE tgrelid = 'events'::regclass AND tgname = 'events_are_only_added' AND tgenabled IN ('O', 'A') AND tgtype & 56 = 56)`
  return tell(10, found)
}
