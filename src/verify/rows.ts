// Invariants that rows show by themselves: dates, successes, messages and intents, each in one query.
import type { DateTime, Duration } from 'luxon'
import type { Transaction } from '../store/database.ts'
import { type Found, invariants, MAX_LISTED, listViolations, type Violation } from './violation.ts'

/** An open row may be overdue by so many sweep intervals. */
const MAX_SWEEPS_LATE = 2

/** Every open row has a date for its next action, and is not overdue. */
export const checkDates = async (
  tx: Transaction,
  { now, sweepInterval }: { now: DateTime; sweepInterval?: Duration | undefined },
): Promise<Violation[]> => {
  // Without an interval no row is overdue: a comparison with NULL is never true.
  const before =
    sweepInterval === undefined
      ? null
      : now.minus({ milliseconds: sweepInterval.toMillis() * MAX_SWEEPS_LATE }).toJSDate()
  const found = await tx.$queryRaw<Found[]>`
    SELECT kind || ' ' || id AS record,
      CASE WHEN next_action_at IS NULL THEN status || ' without a date to be looked at'
        ELSE status || ', due since ' || to_char(next_action_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')
        END AS what
    FROM (
      SELECT 'consents' AS kind, id, status, next_action_at FROM consents
        WHERE status = 'active'
      UNION ALL
      SELECT 'authorisations', id, status, next_action_at FROM authorisations
        WHERE status IN ('issued', 'code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date')
      UNION ALL
      SELECT 'notifications', id, status, next_action_at FROM notifications
        WHERE status IN ('pending', 'sending')
    ) AS open
    WHERE next_action_at IS NULL OR next_action_at < ${before}::timestamptz
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(invariants.dates, found)
}

/** At most one renewal per consent and cycle, at most one success in it, and no success without a recorded proof. */
export const checkSuccesses = async (tx: Transaction): Promise<Violation[]> => {
  const found = await tx.$queryRaw<Found[]>`
    SELECT record, what FROM (
      SELECT 'consents ' || consent_id AS record, count(*) || ' renewals of cycle ' || cycle AS what
        FROM renewals GROUP BY consent_id, cycle HAVING count(*) > 1
      UNION ALL
      SELECT 'renewals ' || renewal_id, count(*) || ' authorisations of it succeeded'
        FROM authorisations WHERE status = 'renewed' GROUP BY renewal_id HAVING count(*) > 1
      UNION ALL
      SELECT 'renewals ' || id, 'renewed without a complete proof'
        FROM renewals
        WHERE status = 'renewed'
          AND (proof IS NULL OR NOT proof ?& ARRAY['basis', 'authorisation_id', 'expires_at', 'proven_at'])
      UNION ALL
      -- The proof names the authorisation that brought it, and that one ended as the success.
      SELECT 'renewals ' || renewal.id, 'renewed by an authorisation that is not its success'
        FROM renewals AS renewal
        WHERE renewal.status = 'renewed' AND renewal.proof ? 'authorisation_id' AND NOT EXISTS (
          SELECT FROM authorisations AS success
          WHERE success.renewal_id = renewal.id AND success.status = 'renewed'
            AND success.id::text = renewal.proof ->> 'authorisation_id')
      UNION ALL
      SELECT 'authorisations ' || success.id, 'succeeded, but its renewal is ' || renewal.status
        FROM authorisations AS success JOIN renewals AS renewal ON renewal.id = success.renewal_id
        WHERE success.status = 'renewed' AND renewal.status <> 'renewed'
      UNION ALL
      SELECT 'renewals ' || renewal.id, 'renewed, and no event says so'
        FROM renewals AS renewal
        WHERE renewal.status = 'renewed' AND NOT EXISTS (
          SELECT FROM events AS event
          WHERE event.consent_id = renewal.consent_id AND event.type = 'consent.renewed'
            AND event.data -> 'cycle' = to_jsonb(renewal.cycle))
    ) AS broken
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(invariants.successes, found)
}

/**
 * At most one message per consent, cycle, rung and channel, each in its own renewal's cycle. That none was begun after
 * a renewal, a stop or a pause is checked by the order of the events: see events.ts.
 */
export const checkMessages = async (tx: Transaction): Promise<Violation[]> => {
  const found = await tx.$queryRaw<Found[]>`
    SELECT record, what FROM (
      SELECT 'consents ' || consent_id AS record,
        count(*) || ' messages of cycle ' || cycle || ', ' || rung || ' by ' || channel AS what
        FROM notifications GROUP BY consent_id, cycle, rung, channel HAVING count(*) > 1
      UNION ALL
      SELECT 'notifications ' || message.id,
        'of cycle ' || message.cycle || ', its renewal is of cycle ' || renewal.cycle
        FROM notifications AS message JOIN renewals AS renewal ON renewal.id = message.renewal_id
        WHERE message.cycle <> renewal.cycle OR message.consent_id <> renewal.consent_id
      UNION ALL
      SELECT 'notifications ' || id, 'it is ' || status || ' and was never marked as being sent'
        FROM notifications WHERE status IN ('sending', 'sent', 'uncertain') AND sending_at IS NULL
      UNION ALL
      SELECT 'notifications ' || id, 'it was repeated, and is ' || status
        FROM notifications WHERE repeated_at IS NOT NULL AND status NOT IN ('sending', 'sent', 'uncertain')
    ) AS broken
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(invariants.messages, found)
}

/**
 * An intent was committed before each request or message left Reconsent, as far as the database can tell: only the
 * ledgers of the other side can prove the rest.
 */
export const checkIntents = async (tx: Transaction): Promise<Violation[]> => {
  const found = await tx.$queryRaw<Found[]>`
    SELECT record, what FROM (
      SELECT 'notifications ' || message.id AS record,
        'it is ' || message.status || ' without the events message.queued and message.sending, in this order' AS what
        FROM notifications AS message
        WHERE message.status IN ('sending', 'sent', 'uncertain') AND NOT EXISTS (
          SELECT FROM events AS queued
            JOIN events AS sending ON sending.consent_id = queued.consent_id AND sending.seq > queued.seq
          WHERE queued.consent_id = message.consent_id
            AND queued.type = 'message.queued' AND queued.data ->> 'notification_id' = message.id::text
            AND sending.type = 'message.sending' AND sending.data ->> 'notification_id' = message.id::text)
      UNION ALL
      SELECT 'notifications ' || message.id, 'it is ' || message.status || ' and no event says so'
        FROM notifications AS message
        WHERE message.status IN ('sent', 'uncertain', 'failed') AND NOT EXISTS (
          SELECT FROM events AS event
          WHERE event.consent_id = message.consent_id AND event.type = 'message.' || message.status
            AND event.data ->> 'notification_id' = message.id::text)
      UNION ALL
      SELECT 'notifications ' || message.id,
        CASE WHEN message.repeated_at IS NULL THEN 'an event says that it was repeated, and its row does not'
          ELSE 'it was repeated and no event says so' END
        FROM notifications AS message
        WHERE (message.repeated_at IS NOT NULL) <> EXISTS (
          SELECT FROM events AS event
          WHERE event.consent_id = message.consent_id AND event.type = 'message.repeated'
            AND event.data ->> 'notification_id' = message.id::text)
      UNION ALL
      SELECT 'authorisations ' || attempt.id, 'it is ' || attempt.status ||
        ' without the events authorisation.code-received and authorisation.exchanging, in this order'
        FROM authorisations AS attempt
        WHERE attempt.status IN ('exchanging', 'verifying', 'renewed', 'mismatched', 'in_doubt', 'awaiting_date')
          AND NOT EXISTS (
          SELECT FROM events AS received
            JOIN events AS exchanging ON exchanging.consent_id = received.consent_id AND exchanging.seq > received.seq
          WHERE received.consent_id = attempt.consent_id
            AND received.type = 'authorisation.code-received'
            AND received.data ->> 'authorisation_id' = attempt.id::text
            AND exchanging.type = 'authorisation.exchanging'
            AND exchanging.data ->> 'authorisation_id' = attempt.id::text)
    ) AS broken
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(invariants.intents, found)
}
