// Row locks, always taken in the order consent, renewal, authorisation, notification, so that two transactions on one
// consent never deadlock. A transaction that writes an event, or anything else that another decision about the consent
// must see, holds the consent's lock.
import type {
  Authorisation as AuthorisationRow,
  Consent as ConsentRow,
  Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import { StaleClaim } from '../errors.ts'
import type { Transaction } from './database.ts'
import type { Claim } from './port.ts'

export const lockConsent = async (tx: Transaction, id: string): Promise<ConsentRow | undefined> => {
  await tx.$queryRaw`SELECT 1 FROM consents WHERE id = ${id}::uuid FOR UPDATE`
  return (await tx.consent.findUnique({ where: { id } })) ?? undefined
}

export const lockRenewal = async (tx: Transaction, id: string): Promise<RenewalRow | undefined> => {
  await tx.$queryRaw`SELECT 1 FROM renewals WHERE id = ${id}::uuid FOR UPDATE`
  return (await tx.renewal.findUnique({ where: { id } })) ?? undefined
}

/** Locks the consent of the claim. Throws StaleClaim, which rolls the transaction back. */
export const lockClaimedConsent = async (tx: Transaction, claim: Claim): Promise<ConsentRow> => {
  const consent = await lockConsent(tx, claim.id)
  if (consent === undefined || consent.fencingToken !== claim.fencingToken) throw new StaleClaim()
  return consent
}

/** Locks an attempt with its consent and renewal, in the order above. */
export const lockAuthorisation = async (
  tx: Transaction,
  id: string,
): Promise<{ consent: ConsentRow; renewal: RenewalRow; authorisation: AuthorisationRow } | undefined> => {
  const found = await tx.authorisation.findUnique({ where: { id }, select: { consentId: true, renewalId: true } })
  if (found === null) return undefined
  const consent = await lockConsent(tx, found.consentId)
  const renewal = await lockRenewal(tx, found.renewalId)
  await tx.$queryRaw`SELECT 1 FROM authorisations WHERE id = ${id}::uuid FOR UPDATE`
  const authorisation = await tx.authorisation.findUnique({ where: { id } })
  return consent !== undefined && renewal !== undefined && authorisation !== null
    ? { consent, renewal, authorisation }
    : undefined
}

/** The same for the attempt of the claim. Throws StaleClaim, which rolls the transaction back. */
export const lockClaimedAuthorisation = async (tx: Transaction, claim: Claim) => {
  const locked = await lockAuthorisation(tx, claim.id)
  if (locked === undefined || locked.authorisation.fencingToken !== claim.fencingToken) throw new StaleClaim()
  return locked
}

/** What a write sets when the work on a claimed record has ended: no lease, and no dispatch mark. */
export const released = { leaseUntil: null, queuedUntil: null } as const
