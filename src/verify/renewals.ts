// Invariant 5: at most one renewal per consent and cycle, at most one successful attempt in it, and no success without
// a recorded proof.
import type { Transaction } from '../store/database.ts'
import { type Found, MAX_LISTED, listViolations, type Violation } from './violation.ts'

export const checkRenewals = async (tx: Transaction): Promise<Violation[]> => {
  const found = await tx.$queryRaw<Found[]>`
    SELECT record, what FROM (
      SELECT 'consents ' || consent_id AS record, count(*) || ' renewals of cycle ' || cycle AS what
        FROM renewals GROUP BY consent_id, cycle HAVING count(*) > 1
      UNION ALL
      SELECT 'renewals ' || renewal_id, count(*) || ' authorisations of it succeeded'
        FROM authorisations WHERE status = 'renewed' GROUP BY renewal_id HAVING count(*) > 1
      UNION ALL
      SELECT 'renewals ' || id, 'renewed without a complete proof'
        FROM renewals WHERE status = 'renewed' AND (proof IS NULL OR NOT proof ?& ARRAY['basis', 'authorisation_id',
          'expires_at', 'proven_at'])
      UNION ALL
      -- The proof names the authorisation that brought it, and that one ended as the success.
      SELECT 'renewals ' || renewal.id, 'renewed by an authorisation that is not its success'
        FROM renewals AS renewal
        WHERE renewal.status = 'renewed' AND renewal.proof ? 'authorisation_id' AND NOT EXISTS (
          SELECT FROM authorisations AS success
          WHERE success.renewal_id = renewal.id AND success.status = 'renewed' AND success.id::text = renewal.proof ->>
            'authorisation_id')
      UNION ALL
      SELECT 'authorisations ' || success.id, 'succeeded, but its renewal is ' || renewal.status
        FROM authorisations AS success JOIN renewals AS renewal ON renewal.id = success.renewal_id
        WHERE success.status = 'renewed' AND renewal.status <> 'renewed'
      UNION ALL
      SELECT 'renewals ' || renewal.id, 'renewed, and no event tells it'
        FROM renewals AS renewal
        WHERE renewal.status = 'renewed' AND NOT EXISTS (
          SELECT FROM events AS event
          WHERE event.consent_id = renewal.consent_id AND event.type = 'consent.renewed' AND event.data -> 'cycle' =
            to_jsonb(renewal.cycle))
    ) AS broken
    LIMIT ${MAX_LISTED + 1}`
  return listViolations(5, found)
}
