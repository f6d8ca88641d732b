// Invariant 7, as far as the database can tell: an intent was committed before each request or message left Reconsent.
// Only the ledgers of the other side can prove the rest.
import type { Transaction } from '../store/database.ts'
import { type Found, MAX_LISTED, listViolations, type Violation } from './violation.ts'

export const checkIntents = async (tx: Transaction): Promise<Violation[]> => {
  const found = await tx.$queryRaw<Found[]>`
    SELECT record, what FROM (
      SELECT 'notifications ' || message.id AS record, 'it is ' || message.status ||
        ' without the events message.queued and message.sending, in this order' AS what
        FROM notifications AS message
        WHERE message.status IN ('sending', 'sent', 'uncertain') AND NOT EXISTS (
          SELECT FROM events AS queued JOIN events AS sending ON sending.consent_id = queued.consent_id AND sending.seq
            > queued.seq
          WHERE queued.consent_id = message.consent_id AND queued.type = 'message.queued' AND sending.type =
            'message.sending'
            AND queued.data ->> 'notification_id' = message.id::text AND sending.data ->> 'notification_id' =
              message.id::text)
      UNION ALL
      SELECT 'notifications ' || message.id, 'it is ' || message.status || ' and no event tells it'
        FROM notifications AS message
        WHERE message.status IN ('sent', 'uncertain', 'failed') AND NOT EXISTS (
          SELECT FROM events AS event
          WHERE event.consent_id = message.consent_id AND event.type = 'message.' || message.status AND event.data ->>
            'notification_id' = message.id::text)
      UNION ALL
      SELECT 'authorisations ' || tried.id, 'it is ' || tried.status ||
        ' without the events authorisation.code-received and authorisation.exchanging, in this order'
        FROM authorisations AS tried
        WHERE tried.status IN ('exchanging', 'verifying', 'renewed', 'mismatched', 'in_doubt') AND NOT EXISTS (
          SELECT FROM events AS received JOIN events AS exchanging ON exchanging.consent_id = received.consent_id AND
            exchanging.seq > received.seq
          WHERE received.consent_id = tried.consent_id AND received.type = 'authorisation.code-received' AND
            exchanging.type = 'authorisation.exchanging'
            AND received.data ->> 'authorisation_id' = tried.id::text AND exchanging.data ->> 'authorisation_id' =
              tried.id::text)
    ) AS broken
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(7, found)
}
