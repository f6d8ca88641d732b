// The next cycle of a consent whose renewal is proven, and what a proof says about the dates.
import type { DateTime } from 'luxon'
import { firstDateOf, type NextDate } from '../domain/apply-step.ts'
import type { Policy } from '../domain/policy.ts'
import type { Consent as ConsentRow, Renewal as RenewalRow } from '../generated/prisma/client.ts'
import { changeRecord } from './tables.ts'
import { appendEvent } from './events.ts'
import type { CommittedProof } from './port.ts'
import { cancelMessages, reopenConsent } from './renewals.ts'
import { toConsent } from './rows.ts'
import type { Statements } from './statements.ts'

export const isoText = (at: DateTime): string => at.toUTC().toISO() ?? ''

/** What a proven renewal changes of a consent's row, whichever connection goes on. */
export const renewedDates = (proof: CommittedProof) => ({
  expiresAt: proof.expiresAt.toJSDate(),
  expiresSource: proof.expiresSource,
  mismatches: 0,
})

/** The first date of the next cycle, computed together with the renewal so that no further job is needed for it. */
export const firstDate = (row: ConsentRow, { provenAt }: CommittedProof, policy: Policy): NextDate =>
  firstDateOf({ ...toConsent(row), status: 'active', retryAfter: undefined }, provenAt, policy)

export const startNextCycle = async (
  tx: Statements,
  consent: ConsentRow,
  renewal: RenewalRow,
  proof: CommittedProof,
  policy: Policy,
): Promise<void> => {
  await cancelMessages(tx, consent.id)
  const change = { ...renewedDates(proof), cycle: renewal.cycle + 1 }
  await changeRecord(tx, 'consent', consent.id, change)
  await reopenConsent(tx, consent, proof.provenAt, firstDate({ ...consent, ...change }, proof, policy))
  await appendEvent(tx, consent, {
    type: 'consent.renewed',
    at: proof.provenAt,
    actor: 'user',
    reason: proof.basis,
    data: { cycle: renewal.cycle, expires_at: isoText(proof.expiresAt) },
  })
}
