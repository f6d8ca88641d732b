// Quarantines a consent with a stored secret that does not decrypt. Needs no claim on the consent, because a page or
// the job of an attempt may be the first to read the secret.
import { consentTransitions, sourcesOf } from '../domain/lifecycle.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { lockConsent } from './locks.ts'
import type { Quarantine } from './port.ts'
import { closeConsent } from './renewals.ts'

const mayBeQuarantined: readonly string[] = sourcesOf(consentTransitions, 'quarantined')

export const quarantine = (db: Database): Quarantine => ({
  quarantineConsent: async (consentId, now, reason) =>
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      // A consent that is closed, or quarantined already, stays as it is.
      if (consent === undefined || !mayBeQuarantined.includes(consent.status)) return false
      await closeConsent(tx, consent, { as: 'quarantined', now })
      await appendEvent(tx, consent, { type: 'consent.quarantined', at: now, actor: 'system', reason })
      return true
    }),
})
