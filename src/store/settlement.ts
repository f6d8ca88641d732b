// How an attempt ends: with a proven renewal or without one. Either end also changes the consent, in the same
// transaction.
import type { DateTime } from 'luxon'
import type { Authorisation as AuthorisationRow, Consent as ConsentRow } from '../generated/prisma/client.ts'
import { DATE_SHOWN_WITHIN } from '../domain/backoff.ts'
import { acceptsCode } from '../domain/lifecycle.ts'
import type { ErrorCode } from '../errors.ts'
import { clearedSecrets, clearVerifiers } from './authorisation-row.ts'
import { changeRecord } from './tables.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { lockClaimedAuthorisation, otherAttempts, released } from './locks.ts'
import { moveAny, moveOne } from './moves.ts'
import { conflictOf, lockKnown, moveToNewConnection } from './new-connection.ts'
import { isoText, startNextCycle } from './next-cycle.ts'
import type { Claim, CommitAnswer, Exchanges } from './port.ts'
import { closeConsent, reopenConsent } from './renewals.ts'
import type { Statements } from './statements.ts'

/**
 * If a different connection is approved this often in a row, the consent is quarantined and an operator must look at
 * it.
 */
const MISMATCHES_ALLOWED = 3

interface End {
  readonly as: 'refused' | 'mismatched' | 'superseded'
  readonly code: ErrorCode
  readonly now: DateTime
  /** The cycle gets a further message, because the user did their part. */
  readonly notify: boolean
  /** What the error code alone does not say, and our id of the consent that already has the new connection. */
  readonly detail?: { readonly text: string; readonly knownAs: string }
}

export const closeUnrenewed = async (tx: Statements, claim: Claim, end: End): Promise<void> => {
  const { consent, renewal, authorisation } = await lockClaimedAuthorisation(tx, claim)
  await moveOne(tx, 'authorisation', authorisation, end.as, {
    data: {
      ...clearedSecrets,
      errorCode: end.code,
      nextActionAt: null,
      ...released,
      closedAt: end.now.toJSDate(),
    },
  })
  await appendEvent(tx, consent, {
    type: `authorisation.${end.as}`,
    at: end.now,
    actor: 'system',
    reason: end.detail === undefined ? end.code : `${end.code}: ${end.detail.text}`,
    data: { authorisation_id: claim.id, ...(end.detail === undefined ? {} : { known_as: end.detail.knownAs }) },
  })
  if (end.as === 'mismatched' && (await countMismatch(tx, consent, end.now))) return
  if (end.notify && renewal.status === 'open') {
    const againReason = end.as === 'mismatched' ? 'other-account' : 'asked-again'
    await changeRecord(tx, 'renewal', renewal.id, { againNo: { increment: 1 }, againReason })
  }
  // reopenConsent raises the fencing token: a reauth job that read the consent before this attempt ended would schedule
  // it as if the user were still at the bank.
  if (consent.status === 'active')
    await reopenConsent(tx, consent, end.now, { at: end.now, reason: `an authorisation was ${end.as}: ${end.code}` })
}

/** Counts the mismatch. True if it was one too many, and the consent is quarantined now. */
const countMismatch = async (tx: Statements, consent: ConsentRow, now: DateTime): Promise<boolean> => {
  const mismatches = consent.mismatches + 1
  await changeRecord(tx, 'consent', consent.id, { mismatches })
  if (mismatches < MISMATCHES_ALLOWED || (consent.status !== 'active' && consent.status !== 'paused')) return false
  await closeConsent(tx, consent, { as: 'quarantined', now })
  await appendEvent(tx, consent, {
    type: 'consent.quarantined',
    at: now,
    actor: 'system',
    reason: `a different connection was approved ${mismatches} times`,
  })
  return true
}

export const commitRenewal = async (
  db: Database,
  tx: Statements,
  claim: Claim,
  { proof, newConnection, policy }: Parameters<Exchanges['commitRenewal']>[1],
): Promise<CommitAnswer> => {
  const locked = await lockClaimedAuthorisation(tx, claim)
  const { consent, renewal, authorisation } = locked
  if (!acceptsCode(consent, renewal)) return 'cycle-closed'
  const others = await otherAttempts(tx, locked)
  if (isLaterCodeOut(authorisation, others, proof.requestedAt)) return 'later-code-out'
  const known = newConnection === undefined ? undefined : await lockKnown(tx, newConnection)
  const conflict = known === undefined ? undefined : conflictOf(consent, known)
  if (known !== undefined && conflict !== undefined) {
    await closeUnrenewed(tx, claim, {
      as: 'mismatched',
      code: 'other-connection',
      now: proof.provenAt,
      notify: true,
      detail: { text: conflict, knownAs: known.id },
    })
    return 'mismatched'
  }
  const now = proof.provenAt.toJSDate()
  // The other attempts of the renewal are closed: only one may succeed (unique index `authorisations_one_success`).
  if (others.some(({ renewalId }) => renewalId === renewal.id)) {
    await moveAny(tx, 'authorisation', 'superseded', {
      where: { renewalId: renewal.id, id: { not: claim.id } },
      data: { ...clearedSecrets, nextActionAt: null, ...released, closedAt: now, fencingToken: { increment: 1 } },
    })
    await clearVerifiers(tx, { renewalId: renewal.id })
  }
  await moveOne(tx, 'authorisation', authorisation, 'renewed', {
    data: {
      ...clearedSecrets,
      errorCode: null,
      nextActionAt: null,
      ...released,
      closedAt: now,
    },
  })
  await moveOne(tx, 'renewal', renewal, 'renewed', {
    data: {
      closedAt: now,
      proof: {
        basis: proof.basis,
        authorisation_id: claim.id,
        expires_at: isoText(proof.expiresAt),
        expires_source: proof.expiresSource,
        proven_at: isoText(proof.provenAt),
      },
    },
  })
  if (newConnection === undefined) await startNextCycle(tx, consent, renewal, proof, policy)
  else await moveToNewConnection(db, tx, { consent, authorisation, proof, newConnection, known, policy })
  return 'renewed'
}

/**
 * Whether another code of the consent is being sent or proven, or was sent after this one and its date may still come
 * (the same as `laterDatesOut` of the domain, which has read the attempts before). Called under the consent's lock, so
 * that no code is sent between this check and the commit.
 */
const isLaterCodeOut = (
  { exchangeStartedAt: sentAt }: AuthorisationRow,
  others: readonly AuthorisationRow[],
  requestedAt: DateTime,
): boolean => {
  const lateSince = requestedAt.minus(DATE_SHOWN_WITHIN).toJSDate()
  return others.some(({ status, exchangeStartedAt: at }) => {
    if (status === 'exchanging' || status === 'verifying') return at === null || sentAt === null || at >= sentAt
    const mayBeLate = status === 'in_doubt' || status === 'awaiting_date'
    return mayBeLate && at !== null && at > lateSince && (sentAt === null || at > sentAt)
  })
}
