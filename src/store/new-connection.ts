// A route that does not keep the connection: the user approved a new one, which goes on in the place of the old one.
// The consent of the new connection is made here, or an import has already made it.
import { randomUUID } from 'node:crypto'
import { isTerminal } from '../domain/lifecycle.ts'
import type { Policy } from '../domain/policy.ts'
import type { NewConnection } from '../domain/reading.ts'
import { traitsOf } from '../domain/routes.ts'
import type { Authorisation as AuthorisationRow, Consent as ConsentRow } from '../generated/prisma/client.ts'
import type { Secret } from '../secret.ts'
import { openCell } from './authorisation-row.ts'
import { changeRecord, insert } from './tables.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { closeCycles } from './import-writes.ts'
import { lockConsentOf } from './locks.ts'
import { firstDate, isoText, renewedDates } from './next-cycle.ts'
import type { CommittedProof } from './port.ts'
import { currentOf, makeCurrent, replaceToken, sealToken } from './refresh-token.ts'
import { closeConsent, reopenConsent } from './renewals.ts'
import { detailsRow, knownRoute, newRecordDefaults, toConsent } from './rows.ts'
import type { Statements } from './statements.ts'
import { markOf, markTokens } from './token-fingerprints.ts'

/** Locks the consent that an import has already made of the new connection, if there is one. */
export const lockKnown = async (tx: Statements, { credentialsId }: NewConnection): Promise<ConsentRow | undefined> =>
  lockConsentOf(tx, credentialsId)

/**
 * Why the consent that an import made of the new connection cannot replace this consent. A token is never stored with
 * another user's consent: either the user approved with another person's login, or the import is wrong. In both cases a
 * new approval makes a connection of the user's own.
 */
export const conflictOf = (consent: ConsentRow, known: ConsentRow): string | undefined => {
  if (known.userId !== consent.userId) return 'the new connection is on record for another user'
  if (known.providerId !== consent.providerId) return 'the new connection is on record at another bank'
  // Each consent would be superseded by the other, and the user would have none left.
  if (known.supersededById === consent.id) return 'the new connection is on record as superseded by this one'
  return undefined
}

interface Replacement {
  readonly consent: ConsentRow
  readonly authorisation: AuthorisationRow
  readonly proof: CommittedProof
  readonly newConnection: NewConnection
  readonly policy: Policy
  /** The consent that an import has already made of the new connection, locked. */
  readonly known: ConsentRow | undefined
}

/**
 * The old consent is superseded by a new consent, or by the consent that an import has already made of the new
 * connection.
 */
export const moveToNewConnection = async (db: Database, tx: Statements, replacement: Replacement): Promise<void> => {
  const { consent, authorisation, proof, newConnection, known } = replacement
  if (authorisation.pendingRefreshToken === null) throw new Error('a new connection without a refresh token')
  const token = openCell(db.vault, 'pending_refresh_token', authorisation.id, authorisation.pendingRefreshToken)
  const id = known?.id ?? randomUUID()
  if (known === undefined) await createSuccessor(db, tx, id, token, replacement)
  // If that consent has become terminal since the import, it stays closed.
  else if (!isTerminal(known)) await joinKnown(db, tx, known, token, replacement)
  await closeConsent(tx, consent, { as: 'superseded', now: proof.provenAt, supersededById: id })
  await appendEvent(tx, consent, {
    type: 'consent.renewed',
    at: proof.provenAt,
    actor: 'user',
    reason: proof.basis,
    data: { cycle: consent.cycle, by: newConnection.credentialsId },
  })
  await appendEvent(tx, consent, {
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
  tx: Statements,
  id: string,
  token: Secret,
  { consent, authorisation, proof, newConnection, policy }: Replacement,
): Promise<void> => {
  const now = proof.provenAt.toJSDate()
  // The type demands the whole row: a field that is added to a consent must be one of its details, be copied here, or
  // get a first value for new rows.
  const successor: ConsentRow = {
    ...newRecordDefaults,
    ...renewedDates(proof),
    ...detailsRow(toConsent(consent)),
    id,
    credentialsId: newConnection.credentialsId,
    providerName: newConnection.providerName ?? consent.providerName,
    supersedes: null,
    refreshToken: sealToken(db.vault, id, 1, token),
    tokenIssuedAt: authorisation.answeredAt ?? now,
    tokenAcceptedAt: authorisation.answeredAt ?? now,
    consentedAt: authorisation.codeReceivedAt ?? now,
    createdAt: now,
    updatedAt: now,
  }
  const next = firstDate(successor, proof, policy)
  await insert(tx, 'consent', { ...successor, nextActionAt: next.at.toJSDate(), nextActionReason: next.reason })
  await markTokens(tx, [markOf(id, token, 'current')], now)
  await appendEvent(tx, successor, {
    type: 'consent.imported',
    at: proof.provenAt,
    actor: 'user',
    reason: madeBy(authorisation),
    data: { supersedes: consent.credentialsId, expires_at: isoText(proof.expiresAt) },
  })
}

/**
 * Does the same as an import with a later date: the cycle that was running is closed, and its messages are cancelled.
 */
const joinKnown = async (
  db: Database,
  tx: Statements,
  known: ConsentRow,
  token: Secret,
  { consent, authorisation, proof, policy }: Replacement,
): Promise<void> => {
  const now = proof.provenAt.toJSDate()
  await closeCycles(tx, [known.id], 'repaired', now)
  const change = { ...renewedDates(proof), cycle: known.cycle + 1 }
  await changeRecord(tx, 'consent', known.id, { ...change, consentedAt: authorisation.codeReceivedAt ?? now })
  // The token of the import was not judged by the provider, and stays beside the one of the exchange.
  const isSame = currentOf(db.vault, known)?.reveal() === token.reveal()
  const issuedAt = authorisation.answeredAt ?? now
  if (isSame) await replaceToken(tx, db.vault, known, known.tokenVersion, token, proof.provenAt)
  else await makeCurrent(tx, db.vault, known, { token, issuedAt, at: proof.provenAt, fate: 'kept' })
  await reopenConsent(tx, known, proof.provenAt, firstDate({ ...known, ...change }, proof, policy))
  await appendEvent(tx, known, {
    type: 'consent.repaired',
    at: proof.provenAt,
    actor: 'user',
    reason: madeBy(authorisation),
    data: {
      cycle: known.cycle,
      status: 'active',
      expires_at: isoText(proof.expiresAt),
      before: known.expiresAt.toISOString(),
      token_replaced: !isSame,
      supersedes: consent.credentialsId,
    },
  })
}
