// Adds an event to a consent's history, as a step of the store does under the consent's lock.
import { appendEvent as append, type NewEvent } from '../../src/store/events.ts'
import { lockConsent } from '../../src/store/locks.ts'
import type { Statements } from '../../src/store/statements.ts'

export const appendEvent = async (tx: Statements, consentId: string, event: NewEvent): Promise<void> => {
  const consent = await lockConsent(tx, consentId)
  if (consent === undefined) throw new Error('an event of a consent that does not exist')
  await append(tx, consent, event)
}
