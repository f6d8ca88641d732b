// Takes a consent out of the loop for a stored secret that does not open: by whoever came across it, so without a
// claim.
import { consentTransitions, sourcesOf } from '../domain/lifecycle.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { lockConsent } from './locks.ts'
import type { Quarantine } from './port.ts'
import { closeConsent } from './renewals.ts'

const mayBeQuarantined: readonly string[] = sourcesOf(consentTransitions, 'quarantined')

export const quarantine = (db: Database): Quarantine => ({
  quarantineConsent: async (consentId, now, reason) =>
    db.prisma.$transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      // Closed ones, and those that are quarantined already, stay what they are.
      if (consent === undefined || !mayBeQuarantined.includes(consent.status)) return false
      await closeConsent(tx, consent, { as: 'quarantined', now })
      await appendEvent(tx, consent.id, { type: 'consent.quarantined', at: now, actor: 'system', reason })
      return true
    }),
})
