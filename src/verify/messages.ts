// Invariant 6, by the rows: at most one message per consent, cycle, rung and channel, each in its own renewal's cycle.
// events.ts checks by the order of the events that no message was begun after a renewal, a stop or a pause.
import type { Transaction } from '../store/database.ts'
import { type Found, MAX_LISTED, listViolations, type Violation } from './violation.ts'

export const checkMessages = async (tx: Transaction): Promise<Violation[]> => {
  const found = await tx.$queryRaw<Found[]>`
    SELECT record, what FROM (
      SELECT 'consents ' || consent_id AS record, count(*) || ' messages of cycle ' || cycle || ', ' || rung || ' by '
        || channel AS what
        FROM notifications GROUP BY consent_id, cycle, rung, channel HAVING count(*) > 1
      UNION ALL
      SELECT 'notifications ' || message.id, 'of cycle ' || message.cycle || ', its renewal is of cycle ' ||
        renewal.cycle
        FROM notifications AS message JOIN renewals AS renewal ON renewal.id = message.renewal_id
        WHERE message.cycle <> renewal.cycle OR message.consent_id <> renewal.consent_id
      UNION ALL
      SELECT 'notifications ' || id, 'it is ' || status || ' and was never marked as being sent'
        FROM notifications WHERE status IN ('sending', 'sent', 'uncertain') AND sending_at IS NULL
    ) AS broken
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(6, found)
}
