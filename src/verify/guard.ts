// The guard of the events: the application cannot rewrite events, and nobody can do so without leaving a trace in the
// schema.
import type { Transaction } from '../store/database.ts'
import { ABOUT_CONNECTED_ROLE, type AboutRole } from '../store/rights.ts'
import { type Found, invariants, listViolations, type Violation } from './violation.ts'

export const checkGuard = async (
  tx: Transaction,
  { hasOwnRole = false }: { hasOwnRole?: boolean | undefined },
): Promise<Violation[]> => {
  // tgtype: 8 DELETE, 16 UPDATE, 32 TRUNCATE; tgenabled: O(rigin) or A(lways) fires in ordinary sessions.
  const found = await tx.$queryRaw<Found[]>`
    SELECT 'table events' AS record, 'the trigger that refuses changes is missing or switched off' AS what
    WHERE NOT EXISTS (
      SELECT FROM pg_trigger
      WHERE tgrelid = 'events'::regclass AND tgname = 'events_are_only_added' AND tgenabled IN ('O', 'A')
        AND tgtype & 56 = 56)`
  // Where one role both owns the tables and runs the application, the trigger is the only guard; `doctor` warns of
  // that.
  const about = await tx.$queryRawUnsafe<AboutRole[]>(ABOUT_CONNECTED_ROLE)
  const mayRewrite = about.filter(({ owns, rewrites }) => rewrites && (hasOwnRole || !owns))
  return listViolations(invariants.events, [
    ...found,
    ...mayRewrite.map(({ role }) => ({
      record: 'table events',
      what: `the application's role ${role} can change or delete them: only a trigger is in its way`,
    })),
  ])
}
