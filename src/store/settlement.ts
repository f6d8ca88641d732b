// How an authorisation ends: proven, or not. Both change the consent as well, in one transaction.
import type { DateTime } from 'luxon'
import type { Authorisation as AuthorisationRow, Consent as ConsentRow, Renewal as RenewalRow } from '../generated/prisma/client.ts'
import { checkAuthorisationTransition, checkRenewalTransition } from '../domain/lifecycle.ts'
import type { AuthorisationStatus, RenewalStatus } from '../domain/model.ts'
import type { ErrorCode } from '../errors.ts'
import { isClosedForGood, takesCodes } from './at-the-bank.ts'
import { emptied, openCell } from './authorisation-row.ts'
import { type Database, type Transaction, overtaken } from './database.ts'
import { appendEvent } from './events.ts'
import { lockClaimedAuthorisation, lockConsent } from './locks.ts'
import type { Claim, NewConnection, Proof } from './port.ts'
import { sealToken } from './refresh-token.ts'
import { cancelMessages, closeConsent, newId, reopenConsent } from './renewals.ts'

/** Approving a different connection this often in a row takes the consent out of the loop: an operator looks at it. */
const MISMATCHES_ALLOWED = 3

export const closeUnrenewed = async (
  tx: Transaction,
  claim: Claim,
  end: { as: 'refused' | 'mismatched' | 'superseded'; code: ErrorCode; now: DateTime; ask: 'again' | 'no' },
): Promise<void> => {
  const { consent, renewal, authorisation } = await lockClaimedAuthorisation(tx, claim)
  checkAuthorisationTransition(authorisation.status as AuthorisationStatus, end.as)
  await tx.authorisation.update({
    where: { id: claim.id },
    data: { ...emptied, status: end.as, errorCode: end.code, nextActionAt: null, leaseUntil: null, queuedUntil: null, closedAt: end.now.toJSDate() },
  })
  await appendEvent(tx, consent.id, {
    type: `authorisation.${end.as}`, at: end.now, actor: 'system', reason: end.code, data: { authorisation_id: claim.id },
  })
  if (end.as === 'mismatched' && (await countMismatch(tx, consent, end.now))) return
  if (end.ask === 'again' && renewal.status === 'open') {
    const againReason = end.as === 'mismatched' ? 'other-account' : 'asked-again'
    await tx.renewal.update({ where: { id: renewal.id }, data: { againNo: { increment: 1 }, againReason } })
  }
  // Moves the epoch: a reauth job that looked before this ended would date the consent as if the user were still at the bank.
  if (consent.status === 'active') await reopenConsent(tx, consent, end.now, `an authorisation was ${end.as}: ${end.code}`)
}

/** True when this was one too many and the consent is quarantined. */
const countMismatch = async (tx: Transaction, consent: ConsentRow, now: DateTime): Promise<boolean> => {
  const { mismatches } = await tx.consent.update({ where: { id: consent.id }, data: { mismatches: { increment: 1 } }, select: { mismatches: true } })
  if (mismatches < MISMATCHES_ALLOWED || (consent.status !== 'active' && consent.status !== 'paused')) return false
  await closeConsent(tx, consent, { as: 'quarantined', now })
  await appendEvent(tx, consent.id, { type: 'consent.quarantined', at: now, actor: 'system', reason: `a different connection was approved ${mismatches} times` })
  return true
}

export const commitRenewal = async (db: Database, tx: Transaction, claim: Claim, proof: Proof, newConnection: NewConnection | undefined): Promise<void> => {
  const { consent, renewal, authorisation } = await lockClaimedAuthorisation(tx, claim)
  if (!takesCodes(consent, renewal)) overtaken()
  checkAuthorisationTransition(authorisation.status as AuthorisationStatus, 'renewed')
  checkRenewalTransition(renewal.status as RenewalStatus, 'renewed')
  const now = proof.provenAt.toJSDate()
  // The others first: `authorisations_one_success` and the reader both want exactly one winner.
  await tx.authorisation.updateMany({
    where: { renewalId: renewal.id, id: { not: claim.id }, status: { in: ['issued', 'code_received', 'verifying', 'unknown'] } },
    data: { ...emptied, status: 'superseded', nextActionAt: null, queuedUntil: null, closedAt: now, epoch: { increment: 1 }, leaseUntil: null },
  })
  await tx.authorisation.update({
    where: { id: claim.id },
    data: { ...emptied, status: 'renewed', errorCode: null, nextActionAt: null, leaseUntil: null, queuedUntil: null, closedAt: now },
  })
  await tx.renewal.update({
    where: { id: renewal.id },
    data: {
      status: 'renewed',
      closedAt: now,
      proof: { basis: proof.basis, authorisation_id: claim.id, expires_at: iso(proof.expiresAt), expires_source: proof.expiresSource, proven_at: iso(proof.provenAt) },
    },
  })
  if (newConnection === undefined) await startNextCycle(tx, consent, renewal, proof)
  else await moveToNewConnection(db, tx, { consent, authorisation, proof, newConnection })
}

const iso = (at: DateTime): string => at.toUTC().toISO() ?? ''

const renewed = (proof: Proof) => ({
  expiresAt: proof.expiresAt.toJSDate(),
  expiresSource: proof.expiresSource,
  mismatches: 0,
})

const startNextCycle = async (tx: Transaction, consent: ConsentRow, renewal: RenewalRow, proof: Proof): Promise<void> => {
  await cancelMessages(tx, consent.id)
  await tx.consent.update({ where: { id: consent.id }, data: { ...renewed(proof), cycle: renewal.cycle + 1 } })
  await reopenConsent(tx, consent, proof.provenAt, 'renewed: the next cycle is dated')
  await appendEvent(tx, consent.id, {
    type: 'consent.renewed', at: proof.provenAt, actor: 'user', reason: proof.basis, data: { cycle: renewal.cycle, expires_at: iso(proof.expiresAt) },
  })
}

/** Route `full`: the user has a new connection. It takes the old consent's place, or joins the row an import already made of it. */
const moveToNewConnection = async (
  db: Database,
  tx: Transaction,
  { consent, authorisation, proof, newConnection }: { consent: ConsentRow; authorisation: AuthorisationRow; proof: Proof; newConnection: NewConnection },
): Promise<void> => {
  const sealed = authorisation.newRefreshToken
  if (sealed === null) overtaken()
  const token = openCell(db.vault, 'new_refresh_token', authorisation.id, sealed ?? overtaken())
  const now = proof.provenAt.toJSDate()
  const found = await tx.consent.findUnique({ where: { credentialsId: newConnection.credentialsId }, select: { id: true } })
  const known = found === null ? null : ((await lockConsent(tx, found.id)) ?? null)
  const id = known?.id ?? newId()
  const version = (known?.tokenVersion ?? 0) + 1
  const fresh = {
    ...renewed(proof),
    status: 'active',
    refreshToken: sealToken(db.vault, id, version, token),
    tokenVersion: version,
    consentedAt: authorisation.codeReceivedAt ?? now,
    nextActionAt: now,
    nextActionReason: 'new connection: its first cycle is dated',
    updatedAt: now,
  }
  const { userId, providerId, country, redirectUri, scopes, email, phone, name, locale, timeZone } = consent
  const person = { userId, providerId, country, redirectUri, scopes, email, phone, name, locale, timeZone }
  // Opted out or revoked since the import brought it: nothing brings it back.
  if (known === null || !isClosedForGood(known)) {
    await (known === null
      ? tx.consent.create({
          data: { ...person, ...fresh, id, credentialsId: newConnection.credentialsId, providerName: newConnection.providerName ?? consent.providerName, createdAt: now },
        })
      : tx.consent.update({ where: { id }, data: { ...fresh, epoch: { increment: 1 } } }))
    await appendEvent(tx, id, {
      type: known === null ? 'consent.imported' : 'consent.updated', at: proof.provenAt, actor: 'user',
      reason: 'a full authentication made this connection', data: { supersedes: consent.credentialsId, expires_at: iso(proof.expiresAt), ...(known === null ? {} : { status: 'active' }) },
    })
  }
  await closeConsent(tx, consent, { as: 'superseded', now: proof.provenAt, supersededById: id })
  await appendEvent(tx, consent.id, {
    type: 'consent.renewed', at: proof.provenAt, actor: 'user', reason: proof.basis, data: { cycle: consent.cycle, by: newConnection.credentialsId },
  })
  await appendEvent(tx, consent.id, {
    type: 'consent.superseded', at: proof.provenAt, actor: 'user', reason: 'renewed by full authentication', data: { by: newConnection.credentialsId },
  })
}
