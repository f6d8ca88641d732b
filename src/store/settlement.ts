// How an attempt ends: with a proven renewal or without one. Either end also changes the consent, in the same
// transaction.
import type { DateTime } from 'luxon'
import type {
  Authorisation as AuthorisationRow,
  Consent as ConsentRow,
  Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import { isTerminal, acceptsCode } from '../domain/lifecycle.ts'
import { firstDateOf, type NextDate } from '../domain/apply-step.ts'
import type { Policy } from '../domain/policy.ts'
import type { NewConnection } from '../domain/reading.ts'
import { traitsOf } from '../domain/routes.ts'
import type { ErrorCode } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { clearedSecrets, clearVerifiers, openCell } from './authorisation-row.ts'
import type { Database, Transaction } from './database.ts'
import { appendEvent } from './events.ts'
import { closeCycles } from './import-writes.ts'
import { lockClaimedAuthorisation, lockConsent } from './locks.ts'
import { moveAll, moveOne } from './moves.ts'
import type { Claim, CommitAnswer, Exchanges, Proof } from './port.ts'
import { knownRoute, newRecordDefaults, toConsent } from './rows.ts'
import { sealToken } from './refresh-token.ts'
import { cancelMessages, closeConsent, newId, reopenConsent } from './renewals.ts'

/**
 * If a different connection is approved this often in a row, the consent is quarantined and an operator must look at
 * it.
 */
const MISMATCHES_ALLOWED = 3

interface End {
  readonly as: 'refused' | 'mismatched' | 'superseded'
  readonly code: ErrorCode
  readonly now: DateTime
  readonly ask: 'again' | 'no'
  /** What the error code alone does not say, and our id of the consent that already has the new connection. */
  readonly detail?: { readonly text: string; readonly knownAs: string }
}

export const closeUnrenewed = async (tx: Transaction, claim: Claim, end: End): Promise<void> => {
  const { consent, renewal, authorisation } = await lockClaimedAuthorisation(tx, claim)
  await moveOne(tx, 'authorisation', authorisation, end.as, {
    data: {
      ...clearedSecrets,
      errorCode: end.code,
      nextActionAt: null,
      leaseUntil: null,
      queuedUntil: null,
      closedAt: end.now.toJSDate(),
    },
  })
  await appendEvent(tx, consent.id, {
    type: `authorisation.${end.as}`,
    at: end.now,
    actor: 'system',
    reason: end.detail === undefined ? end.code : `${end.code}: ${end.detail.text}`,
    data: { authorisation_id: claim.id, ...(end.detail === undefined ? {} : { known_as: end.detail.knownAs }) },
  })
  if (end.as === 'mismatched' && (await countMismatch(tx, consent, end.now))) return
  if (end.ask === 'again' && renewal.status === 'open') {
    const againReason = end.as === 'mismatched' ? 'other-account' : 'asked-again'
    await tx.renewal.update({ where: { id: renewal.id }, data: { againNo: { increment: 1 }, againReason } })
  }
  // reopenConsent raises the fencing token: a reauth job that read the consent before this attempt ended would schedule
  // it as if the user were still at the bank.
  if (consent.status === 'active')
    await reopenConsent(tx, consent, end.now, { at: end.now, reason: `an authorisation was ${end.as}: ${end.code}` })
}

/** Counts the mismatch. True if it was one too many, and the consent is quarantined now. */
const countMismatch = async (tx: Transaction, consent: ConsentRow, now: DateTime): Promise<boolean> => {
  const { mismatches } = await tx.consent.update({
    where: { id: consent.id },
    data: { mismatches: { increment: 1 } },
  })
  if (mismatches < MISMATCHES_ALLOWED || (consent.status !== 'active' && consent.status !== 'paused')) return false
  await closeConsent(tx, consent, { as: 'quarantined', now })
  await appendEvent(tx, consent.id, {
    type: 'consent.quarantined',
    at: now,
    actor: 'system',
    reason: `a different connection was approved ${mismatches} times`,
  })
  return true
}

export const commitRenewal = async (
  db: Database,
  tx: Transaction,
  claim: Claim,
  { proof, newConnection, policy }: Parameters<Exchanges['commitRenewal']>[1],
): Promise<CommitAnswer> => {
  const { consent, renewal, authorisation } = await lockClaimedAuthorisation(tx, claim)
  if (!acceptsCode(consent, renewal)) return 'cycle-closed'
  if (await isLaterCodeOut(tx, consent.id, claim.id, proof.requestedAt)) return 'later-code-out'
  const known = newConnection === undefined ? undefined : await lockKnown(tx, newConnection)
  const conflict = known === undefined ? undefined : conflictOf(consent, known)
  if (known !== undefined && conflict !== undefined) {
    await closeUnrenewed(tx, claim, {
      as: 'mismatched',
      code: 'other-connection',
      now: proof.provenAt,
      ask: 'again',
      detail: { text: conflict, knownAs: known.id },
    })
    return 'mismatched'
  }
  const now = proof.provenAt.toJSDate()
  // The other attempts of the renewal are closed first, because only one may succeed (unique index
  // `authorisations_one_success`).
  await moveAll(tx, 'authorisation', 'superseded', {
    where: { renewalId: renewal.id, id: { not: claim.id } },
    data: {
      ...clearedSecrets,
      nextActionAt: null,
      queuedUntil: null,
      closedAt: now,
      fencingToken: { increment: 1 },
      leaseUntil: null,
    },
  })
  await clearVerifiers(tx, { renewalId: renewal.id })
  await moveOne(tx, 'authorisation', authorisation, 'renewed', {
    data: {
      ...clearedSecrets,
      errorCode: null,
      nextActionAt: null,
      leaseUntil: null,
      queuedUntil: null,
      closedAt: now,
    },
  })
  await moveOne(tx, 'renewal', renewal, 'renewed', {
    data: {
      closedAt: now,
      proof: {
        basis: proof.basis,
        authorisation_id: claim.id,
        expires_at: iso(proof.expiresAt),
        expires_source: proof.expiresSource,
        proven_at: iso(proof.provenAt),
      },
    },
  })
  if (newConnection === undefined) await startNextCycle(tx, consent, renewal, proof, policy)
  else await moveToNewConnection(db, tx, { consent, authorisation, proof, newConnection, known, policy })
  return 'renewed'
}

/**
 * Whether another code of the consent was sent after the poll that gave the proof, or is being sent or proven. Called
 * under the consent's lock, so that no code is sent between this check and the commit.
 */
const isLaterCodeOut = async (
  tx: Transaction,
  consentId: string,
  id: string,
  requestedAt: DateTime,
): Promise<boolean> => {
  const since = { status: 'in_doubt', exchangeStartedAt: { gte: requestedAt.toJSDate() } }
  const count = await tx.authorisation.count({
    where: { consentId, id: { not: id }, OR: [{ status: { in: ['exchanging', 'verifying'] } }, since] },
  })
  return count > 0
}

const lockKnown = async (tx: Transaction, { credentialsId }: NewConnection): Promise<ConsentRow | undefined> => {
  const found = await tx.consent.findUnique({ where: { credentialsId }, select: { id: true } })
  return found === null ? undefined : lockConsent(tx, found.id)
}

/**
 * Why the consent that an import made of the new connection cannot replace this consent. A token is never stored with
 * another user's consent: either the user approved with another person's login, or the import is wrong. In both cases a
 * new approval makes a connection of the user's own.
 */
const conflictOf = (consent: ConsentRow, known: ConsentRow): string | undefined => {
  if (known.userId !== consent.userId) return 'the new connection is on record for another user'
  if (known.providerId !== consent.providerId) return 'the new connection is on record at another bank'
  // Each consent would be superseded by the other, and the user would have none left.
  if (known.supersededById === consent.id) return 'the new connection is on record as superseded by this one'
  return undefined
}

const iso = (at: DateTime): string => at.toUTC().toISO() ?? ''

const renewed = (proof: Proof) => ({
  expiresAt: proof.expiresAt.toJSDate(),
  expiresSource: proof.expiresSource,
  mismatches: 0,
})

/** The first date of the next cycle, computed together with the renewal so that no further job is needed for it. */
const firstDate = (row: ConsentRow, { provenAt }: Proof, policy: Policy): NextDate =>
  firstDateOf({ ...toConsent(row), status: 'active', retryAfter: undefined }, provenAt, policy)

const startNextCycle = async (
  tx: Transaction,
  consent: ConsentRow,
  renewal: RenewalRow,
  proof: Proof,
  policy: Policy,
): Promise<void> => {
  await cancelMessages(tx, consent.id)
  const change = { ...renewed(proof), cycle: renewal.cycle + 1 }
  await tx.consent.update({ where: { id: consent.id }, data: change })
  await reopenConsent(tx, consent, proof.provenAt, firstDate({ ...consent, ...change }, proof, policy))
  await appendEvent(tx, consent.id, {
    type: 'consent.renewed',
    at: proof.provenAt,
    actor: 'user',
    reason: proof.basis,
    data: { cycle: renewal.cycle, expires_at: iso(proof.expiresAt) },
  })
}

interface Move {
  readonly consent: ConsentRow
  readonly authorisation: AuthorisationRow
  readonly proof: Proof
  readonly newConnection: NewConnection
  readonly policy: Policy
  /** The consent that an import has already made of the new connection, locked. */
  readonly known: ConsentRow | undefined
}

/**
 * By a route that does not keep the connection, the user has a new one. The old consent is superseded by a new consent,
 * or by the consent that an import has already made of the new connection.
 */
const moveToNewConnection = async (db: Database, tx: Transaction, move: Move): Promise<void> => {
  const { consent, authorisation, proof, newConnection, known } = move
  if (authorisation.pendingRefreshToken === null) throw new Error('a new connection without a refresh token')
  const token = openCell(db.vault, 'pending_refresh_token', authorisation.id, authorisation.pendingRefreshToken)
  const id = known?.id ?? newId()
  if (known === undefined) await createSuccessor(db, tx, id, token, move)
  // If that consent has become terminal since the import, it stays closed.
  else if (!isTerminal(known)) await joinKnown(db, tx, known, token, move)
  await closeConsent(tx, consent, { as: 'superseded', now: proof.provenAt, supersededById: id })
  await appendEvent(tx, consent.id, {
    type: 'consent.renewed',
    at: proof.provenAt,
    actor: 'user',
    reason: proof.basis,
    data: { cycle: consent.cycle, by: newConnection.credentialsId },
  })
  await appendEvent(tx, consent.id, {
    type: 'consent.superseded',
    at: proof.provenAt,
    actor: 'user',
    reason: `renewed by ${titleOf(authorisation)}`,
    data: { by: newConnection.credentialsId },
  })
}

const titleOf = ({ route }: AuthorisationRow): string => traitsOf(knownRoute(route)).title
const madeBy = (authorisation: AuthorisationRow): string => `a ${titleOf(authorisation)} made this connection`

const createSuccessor = async (
  db: Database,
  tx: Transaction,
  id: string,
  token: Secret,
  { consent, authorisation, proof, newConnection, policy }: Move,
): Promise<void> => {
  const { userId, providerId, country, redirectUri, scopes, email, phone, name, locale, timeZone } = consent
  const now = proof.provenAt.toJSDate()
  // The type demands the whole row: a field that is added to a consent must be copied here, or get a first value for
  // new rows.
  const successor: ConsentRow = {
    ...newRecordDefaults,
    ...renewed(proof),
    userId,
    providerId,
    country,
    redirectUri,
    scopes,
    email,
    phone,
    name,
    locale,
    timeZone,
    id,
    credentialsId: newConnection.credentialsId,
    providerName: newConnection.providerName ?? consent.providerName,
    supersedes: null,
    refreshToken: sealToken(db.vault, id, 1, token),
    consentedAt: authorisation.codeReceivedAt ?? now,
    createdAt: now,
    updatedAt: now,
  }
  const next = firstDate(successor, proof, policy)
  await tx.consent.create({
    data: { ...successor, nextActionAt: next.at.toJSDate(), nextActionReason: next.reason },
  })
  await appendEvent(tx, id, {
    type: 'consent.imported',
    at: proof.provenAt,
    actor: 'user',
    reason: madeBy(authorisation),
    data: { supersedes: consent.credentialsId, expires_at: iso(proof.expiresAt) },
  })
}

/**
 * Does the same as an import with a later date: the cycle that was running is closed, and its messages are cancelled.
 */
const joinKnown = async (
  db: Database,
  tx: Transaction,
  known: ConsentRow,
  token: Secret,
  { consent, authorisation, proof, policy }: Move,
): Promise<void> => {
  const tokenVersion = known.tokenVersion + 1
  const now = proof.provenAt.toJSDate()
  await closeCycles(tx, [known.id], 'repaired', now)
  const change = { ...renewed(proof), cycle: known.cycle + 1 }
  await tx.consent.update({
    where: { id: known.id },
    data: {
      ...change,
      refreshToken: sealToken(db.vault, known.id, tokenVersion, token),
      tokenVersion,
      consentedAt: authorisation.codeReceivedAt ?? now,
    },
  })
  await reopenConsent(tx, known, proof.provenAt, firstDate({ ...known, ...change }, proof, policy))
  await appendEvent(tx, known.id, {
    type: 'consent.repaired',
    at: proof.provenAt,
    actor: 'user',
    reason: madeBy(authorisation),
    data: {
      cycle: known.cycle,
      status: 'active',
      expires_at: iso(proof.expiresAt),
      before: known.expiresAt.toISOString(),
      token_replaced: true,
      supersedes: consent.credentialsId,
    },
  })
}
