// The encrypted columns with a connection's refresh tokens, the current one and the candidate, and the writes by which
// a token becomes the current one. Only what the provider accepts or answers becomes current (decision 0048).
import type { DateTime } from 'luxon'
import type { CellAddress } from '../crypto/envelope.ts'
import type { Vault } from '../crypto/vault.ts'
import { PermanentError } from '../errors.ts'
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import type { Secret } from '../secret.ts'
import { clearAccessToken } from './access-cache.ts'
import { changeRecord, find } from './tables.ts'
import { appendEvent } from './events.ts'
import { released } from './locks.ts'
import type { TokenRef, TokenUse } from './port.ts'
import { withoutCandidate } from './rows.ts'
import type { Statements } from './statements.ts'
import { markAccepted, markOf, markTokensOf, type TokenMark } from './token-fingerprints.ts'

export const tokenCell = (consentId: string, version: number): CellAddress => ({
  table: 'consents',
  column: 'refresh_token',
  rowId: consentId,
  version,
})

/** A name and a count of its own: a candidate does not open in the place of the current token, nor the reverse. */
export const candidateCell = (consentId: string, version: number): CellAddress => ({
  table: 'consents',
  column: 'candidate_token',
  rowId: consentId,
  version,
})

export const sealToken = (vault: Vault, consentId: string, version: number, token: Secret): string =>
  vault.seal(token, tokenCell(consentId, version))

type TokenRow = Pick<ConsentRow, 'id' | 'refreshToken' | 'tokenVersion'>
type CandidateRow = Pick<ConsentRow, 'id' | 'candidateToken' | 'candidateVersion'>

/** The current token; undefined if it does not decrypt. */
export const currentOf = (vault: Vault, { id, refreshToken, tokenVersion }: TokenRow): Secret | undefined =>
  readable(() => vault.open(refreshToken, tokenCell(id, tokenVersion)))

/** The candidate; undefined if there is none, or if it does not decrypt. */
export const candidateOf = (vault: Vault, { id, candidateToken, candidateVersion }: CandidateRow): Secret | undefined =>
  candidateToken === null ? undefined : readable(() => vault.open(candidateToken, candidateCell(id, candidateVersion)))

const readable = (open: () => Secret): Secret | undefined => {
  try {
    return open()
  } catch (error) {
    if (error instanceof PermanentError) return undefined
    throw error
  }
}

const isSame = (one: Secret | undefined, other: Secret | undefined): boolean =>
  one !== undefined && other !== undefined && one.reveal() === other.reveal()

/** The columns of a new candidate; the caller marks the fingerprints. */
export const candidateColumns = (
  vault: Vault,
  { id, candidateVersion }: Pick<ConsentRow, 'id' | 'candidateVersion'>,
  { token, arrivedAt, issuedAt }: { token: Secret; arrivedAt: Date; issuedAt: Date | null },
): Pick<ConsentRow, 'candidateToken' | 'candidateVersion' | 'candidateArrivedAt' | 'candidateIssuedAt'> => ({
  candidateToken: vault.seal(token, candidateCell(id, candidateVersion + 1)),
  candidateVersion: candidateVersion + 1,
  candidateArrivedAt: arrivedAt,
  candidateIssuedAt: issuedAt,
})

/**
 * What becomes of the token that was current: the provider replaced it (`superseded`), it rejected it and accepted the
 * new one (`rejected`), or it has shown nothing about it: then it is kept as the candidate.
 */
type Fate = 'superseded' | 'rejected' | 'kept'

interface NewCurrent {
  readonly token: Secret
  readonly issuedAt: Date | null
  readonly at: DateTime
  readonly fate: Fate
}

/** Makes a token that the provider has accepted the current one. The caller holds the consent's lock. */
export const makeCurrent = async (
  tx: Statements,
  vault: Vault,
  consent: ConsentRow,
  { token, issuedAt, at, fate }: NewCurrent,
): Promise<number> => {
  const before = currentOf(vault, consent)
  const candidate = candidateOf(vault, consent)
  const waits = candidate !== undefined && !isSame(candidate, token)
  const keeps = fate === 'kept' && !waits && before !== undefined && !isSame(before, token)
  const version = consent.tokenVersion + 1
  const arrivedAt = consent.tokenAcceptedAt ?? consent.createdAt
  await changeRecord(tx, 'consent', consent.id, {
    refreshToken: sealToken(vault, consent.id, version, token),
    tokenVersion: version,
    tokenIssuedAt: issuedAt,
    ...accepted(consent, at),
    ...(waits ? {} : withoutCandidate),
    ...(keeps ? candidateColumns(vault, consent, { token: before, arrivedAt, issuedAt: consent.tokenIssuedAt }) : {}),
    updatedAt: at.toJSDate(),
  })
  await clearAccessToken(tx, consent)
  const marks: TokenMark[] = [markOf(consent.id, token, 'current')]
  if (before !== undefined && !isSame(before, token)) {
    const state = fate === 'kept' ? (keeps ? 'candidate' : 'replaced') : fate
    marks.unshift(markOf(consent.id, before, state))
  }
  await markTokensOf(tx, consent, marks, at.toJSDate())
  await appendEvent(tx, consent, {
    type: 'token.replaced',
    at,
    actor: 'system',
    data: { token_version: version, ...(isSame(candidate, token) ? { was_candidate: true } : {}) },
  })
  return version
}

/**
 * Makes the candidate, or the token that a refresh by it has brought, the current one. `gone`: the consent does not
 * have this candidate any more, and the caller keeps a new token. `refusedVersion` is the version of the current token
 * that the provider refused just before, by the same call or in the same poll.
 */
export const acceptCandidateToken = async (
  tx: Statements,
  vault: Vault,
  consent: ConsentRow,
  {
    version,
    refusedVersion,
    used,
    token,
    now,
  }: {
    readonly version: number
    readonly refusedVersion: number | undefined
    readonly used: Secret
    readonly token: Secret | undefined
    readonly now: DateTime
  },
): Promise<number | 'gone'> => {
  const candidate = candidateOf(vault, consent)
  if (candidate === undefined || !isStill(consent, { place: 'candidate', version })) {
    // Stored already: this call repeats one that was committed and not acknowledged.
    return isSame(currentOf(vault, consent), token ?? used) ? consent.tokenVersion : 'gone'
  }
  const fate = refusedVersion === consent.tokenVersion ? 'rejected' : 'kept'
  if (token === undefined || isSame(candidate, token))
    return makeCurrent(tx, vault, consent, { token: candidate, issuedAt: consent.candidateIssuedAt, at: now, fate })
  await dropCandidate(tx, vault, consent, 'superseded', now)
  const current = { token, issuedAt: now.toJSDate(), at: now, fate } as const
  return makeCurrent(tx, vault, { ...consent, ...withoutCandidate }, current)
}

/** Acceptances may be committed in another order than they were given: the latest one counts. */
const accepted = ({ tokenAcceptedAt }: ConsentRow, at: DateTime) => ({
  tokenAcceptedAt: tokenAcceptedAt !== null && tokenAcceptedAt > at.toJSDate() ? tokenAcceptedAt : at.toJSDate(),
  tokenRejectedAt: null,
})

const acceptCurrent = async (tx: Statements, vault: Vault, consent: ConsentRow, at: DateTime): Promise<void> => {
  await changeRecord(tx, 'consent', consent.id, accepted(consent, at))
  const token = currentOf(vault, consent)
  if (token !== undefined) await markAccepted(tx, markOf(consent.id, token, 'current'), at.toJSDate())
}

/** Forgets the candidate; the fingerprint says why. `others` are marked with it. */
export const dropCandidate = async (
  tx: Statements,
  vault: Vault,
  consent: ConsentRow,
  why: 'rejected' | 'superseded',
  at: DateTime,
  others: readonly TokenMark[] = [],
): Promise<void> => {
  const token = candidateOf(vault, consent)
  const marks = token === undefined ? others : [...others, markOf(consent.id, token, why)]
  await changeRecord(tx, 'consent', consent.id, withoutCandidate)
  await markTokensOf(tx, consent, marks, at.toJSDate())
}

const wokenBy = (at: DateTime) => ({
  retryAfter: null,
  nextActionAt: at.toJSDate(),
  nextActionReason: 'a token came',
})

/**
 * Keeps a token that certainly belongs to this connection, where it can be neither the current nor a pending one: as
 * the candidate, since a refresh has ended the token before it.
 */
export const keepAsCandidate = async (
  tx: Statements,
  vault: Vault,
  consent: ConsentRow,
  token: Secret,
  at: DateTime,
): Promise<void> => {
  const before = candidateOf(vault, consent)
  if (isSame(before, token) || isSame(currentOf(vault, consent), token)) return
  const given = { token, arrivedAt: at.toJSDate(), issuedAt: at.toJSDate() }
  const wakes = consent.status === 'active' && consent.tokenRejectedAt !== null
  await changeRecord(tx, 'consent', consent.id, {
    ...candidateColumns(vault, consent, given),
    tokenRejectedAt: null,
    // The consent waits for a token, and this is one.
    ...(wakes ? { ...released, ...wokenBy(at), fencingToken: { increment: 1 } } : {}),
  })
  const marks = [markOf(consent.id, token, 'candidate')]
  if (before !== undefined) marks.unshift(markOf(consent.id, before, 'replaced'))
  await markTokensOf(tx, consent, marks, at.toJSDate())
}

/**
 * Stores a refresh token that the provider has returned, if the stored token still has `version`. False otherwise:
 * another exchange, or a link made with the candidate, has stored another token meanwhile, which may be newer and must
 * not be overwritten. No token, or the token that is stored already, counts as an acceptance of the stored one.
 */
export const replaceToken = async (
  tx: Statements,
  vault: Vault,
  consent: ConsentRow,
  version: number,
  token: Secret | undefined,
  now: DateTime,
): Promise<boolean> => {
  // Stored already: the same token came again, or this call repeats one that was committed and not acknowledged.
  if (token !== undefined && isSame(currentOf(vault, consent), token)) {
    await acceptCurrent(tx, vault, consent, now)
    return true
  }
  if (consent.tokenVersion !== version) return false
  if (token === undefined) await acceptCurrent(tx, vault, consent, now)
  else await makeCurrent(tx, vault, consent, { token, issuedAt: now.toJSDate(), at: now, fate: 'superseded' })
  return true
}

/** Whether the consent still has this token in this place. */
export const isStill = (consent: ConsentRow, { place, version }: TokenRef): boolean =>
  place === 'current'
    ? consent.tokenVersion === version
    : consent.candidateToken !== null && consent.candidateVersion === version

/**
 * Takes down what the provider has shown while a link was made, together with the link. A rejection proves something
 * only beside the acceptance of the other token by the same call: alone it may be due to the bank, the callback or our
 * client. While an exchange is under way the candidate stays one, because the answer of the exchange is compared with
 * the version of the current token.
 */
export const noteTokenUse = async (
  tx: Statements,
  vault: Vault,
  consent: ConsentRow,
  { accepted: used, rejected, currentVersion, at }: TokenUse,
): Promise<void> => {
  if (!isStill(consent, used) || consent.tokenVersion !== currentVersion) return
  if (used.place === 'current') {
    if (!rejected.some((ref) => ref.place === 'candidate' && isStill(consent, ref)))
      return acceptCurrent(tx, vault, consent, at)
    await changeRecord(tx, 'consent', consent.id, accepted(consent, at))
    const token = currentOf(vault, consent)
    const current = token === undefined ? [] : [markOf(consent.id, token, 'current')]
    return dropCandidate(tx, vault, consent, 'rejected', at, current)
  }
  const underWay = await find(tx, 'authorisation', {
    consentId: consent.id,
    status: { in: ['exchanging', 'verifying', 'in_doubt'] },
  })
  const token = candidateOf(vault, consent)
  if (underWay.length > 0 || token === undefined) return
  const fate = rejected.some(({ place }) => place === 'current') ? 'rejected' : 'kept'
  await makeCurrent(tx, vault, consent, { token, issuedAt: consent.candidateIssuedAt, at, fate })
}
