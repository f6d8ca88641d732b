// The tokens that an exchange, and a refresh after it, bring: stored with the consent when they are certainly its own,
// kept as pending with the attempt until their owner is known. They are stored whichever worker holds the claim by
// then, because losing the tokens would lose the connection.
import type { DateTime } from 'luxon'
import type { Vault } from '../crypto/vault.ts'
import { tokenOrder } from '../domain/token-order.ts'
import type { Authorisation as AuthorisationRow, Consent as ConsentRow } from '../generated/prisma/client.ts'
import type { Secret } from '../secret.ts'
import { isUnsettled, openCell, sealCell, unsettled } from './authorisation-row.ts'
import { changeRecord, find, update } from './tables.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { keptFacts, keptRecord } from './kept-facts.ts'
import { factsOf } from './facts.ts'
import {
  lockAttemptOf,
  lockAuthorisation,
  lockClaimedAuthorisation,
  lockConsent,
  lockConsentOf,
  type LockedAttempt,
  released,
} from './locks.ts'
import { canMove, moveOne } from './moves.ts'
import type { Claim, Exchanges, StoredTokens, TokenResponse } from './port.ts'
import {
  acceptCandidateToken,
  candidateOf,
  currentOf,
  dropCandidate,
  isStill,
  keepAsCandidate,
  replaceToken,
  tokenCell,
} from './refresh-token.ts'
import { instant, toConsent } from './rows.ts'
import type { Statements } from './statements.ts'

type AttemptTokens = Pick<
  Exchanges,
  | 'storeTokenResponse'
  | 'adoptTokens'
  | 'readAccessToken'
  | 'readPendingToken'
  | 'replacePendingToken'
  | 'readRefreshToken'
  | 'readTokens'
  | 'storeRotated'
  | 'acceptCandidate'
  | 'rejectCandidate'
  | 'offerToken'
>

export const attemptTokens = (db: Database): AttemptTokens => ({
  storeTokenResponse: async (claim, response) => {
    const kind = await db.step(async (tx) => {
      const locked = await lockAttemptOf(tx, claim, { goesOn: true })
      if (locked === undefined || locked.authorisation.status === 'renewed') return 'already-renewed'
      // This very answer is stored already: the call repeats one that was committed and not acknowledged. Another
      // worker may have gone on from there, and its newer pending token must not be overwritten.
      if (locked.authorisation.answeredAt?.getTime() === response.answeredAt.toMillis()) return 'stored'
      return response.owner === 'ours'
        ? storeOwnTokens(tx, db.vault, locked, { ...response, claim })
        : storePendingTokens(tx, db.vault, locked, { ...response, claim })
    })
    // Only this step can have left them: it took what was kept before.
    const left = kind === 'stored' ? keptFacts(claim) : undefined
    return { kind, facts: left && factsOf.authorisation.read(left) }
  },

  adoptTokens: async (claim) =>
    db.transaction(async (tx) => {
      const { consent, authorisation } = await lockClaimedAuthorisation(tx, claim)
      const { pendingRefreshToken: pending, tokenVersion } = authorisation
      const token = pending === null ? undefined : openCell(db.vault, 'pending_refresh_token', claim.id, pending)
      const at = instant(authorisation.answeredAt ?? authorisation.issuedAt)
      const version = tokenVersion ?? consent.tokenVersion
      if (!(await replaceToken(tx, db.vault, consent, version, token, at))) return false
      await changeRecord(tx, 'authorisation', claim.id, {
        pendingRefreshToken: null,
        newCredentialsId: null,
        tokenOwner: 'ours',
      })
      return true
    }),

  readAccessToken: async (authorisationId) => {
    const [row] = await find(db.sql, 'authorisation', { id: authorisationId })
    return row?.accessToken == null ? undefined : openCell(db.vault, 'access_token', authorisationId, row.accessToken)
  },

  readPendingToken: async (authorisationId) => {
    const [row] = await find(db.sql, 'authorisation', { id: authorisationId })
    return row?.pendingRefreshToken == null
      ? undefined
      : openCell(db.vault, 'pending_refresh_token', authorisationId, row.pendingRefreshToken)
  },

  replacePendingToken: async (authorisationId, { used, token, credentialsId, now }) =>
    db.transaction(async (tx) => {
      const locked = await lockAuthorisation(tx, authorisationId)
      if (locked === undefined) return false
      const { consent, authorisation } = locked
      const pending = pendingOf(db.vault, authorisation)?.reveal()
      // Stored already: this call repeats one that was committed and not acknowledged.
      if (pending === token.reveal()) return true
      if (pending === used.reveal()) {
        await changeRecord(tx, 'authorisation', authorisationId, {
          pendingRefreshToken: sealCell(db.vault, 'pending_refresh_token', authorisationId, token),
        })
        return true
      }
      // Another worker has adopted the pending token since, and this answer has replaced it.
      if (currentOf(db.vault, consent)?.reveal() === used.reveal())
        return replaceToken(tx, db.vault, consent, consent.tokenVersion, token, now)
      // The token that is pending now came with another answer. Neither may overwrite the other.
      if (credentialsId === consent.credentialsId) await keepAsCandidate(tx, db.vault, consent, token, now)
      return false
    }),

  readRefreshToken: async (consentId) => {
    const row = await consentRow(db, consentId)
    return {
      token: db.vault.open(row.refreshToken, tokenCell(consentId, row.tokenVersion)),
      version: row.tokenVersion,
    }
  },

  readTokens: async (consentId, claim) => {
    const row = (claim && keptRecord(claim, 'consent')) ?? (await consentRow(db, consentId))
    const tokens = tokenOrder(toConsent(row)).flatMap((place) => {
      const token = place === 'current' ? currentOf(db.vault, row) : candidateOf(db.vault, row)
      const version = place === 'current' ? row.tokenVersion : row.candidateVersion
      return token === undefined ? [] : [{ place, version, token }]
    })
    // Opened once more for its error, which says why it does not decrypt.
    if (tokens.length === 0) db.vault.open(row.refreshToken, tokenCell(consentId, row.tokenVersion))
    return { tokens, currentVersion: row.tokenVersion }
  },

  storeRotated: async ({ consentId, authorisationId, version, token, now }) =>
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      if (consent === undefined) return false
      if (await replaceToken(tx, db.vault, consent, version, token, now)) return true
      await keepBeside(tx, db.vault, consent, authorisationId, token, now)
      return false
    }),

  acceptCandidate: async ({ consentId, authorisationId, version, refusedVersion, used, token, now }) =>
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      if (consent === undefined) return undefined
      const accepted = await acceptCandidateToken(tx, db.vault, consent, { version, refusedVersion, used, token, now })
      if (accepted !== 'gone') return accepted
      if (token !== undefined) await keepBeside(tx, db.vault, consent, authorisationId, token, now)
      return undefined
    }),

  rejectCandidate: async (consentId, version, now) =>
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      if (consent === undefined || !isStill(consent, { place: 'candidate', version })) return
      await dropCandidate(tx, db.vault, consent, 'rejected', now)
    }),

  offerToken: async (credentialsId, token, now) =>
    db.transaction(async (tx) => {
      const consent = await lockConsentOf(tx, credentialsId)
      if (consent === undefined) return false
      await keepAsCandidate(tx, db.vault, consent, token, now)
      return true
    }),
})

const consentRow = async ({ sql }: Database, id: string): Promise<ConsentRow> => {
  const [row] = await find(sql, 'consent', { id })
  if (row === undefined) throw new Error('a token of a consent that does not exist')
  return row
}

type Locked = Pick<LockedAttempt, 'consent' | 'authorisation'>

interface Answer extends TokenResponse {
  /** The claim of the worker that has the answer in hand; another worker may have taken the record over. */
  readonly claim: Claim
}

type Stored = StoredTokens['kind']

/** The tokens certainly belong to the consent's connection: its stored token is replaced. */
const storeOwnTokens = async (
  tx: Statements,
  vault: Vault,
  { consent, authorisation }: Locked,
  response: Answer,
): Promise<Stored> => {
  const { refreshToken, tokenVersion, answeredAt } = response
  if (!(await replaceToken(tx, vault, consent, tokenVersion, refreshToken, answeredAt))) {
    // Either token may be the only valid one, and only polling can tell which. A pending token that the attempt has
    // already came with a later refresh, and is kept.
    if (refreshToken !== undefined && authorisation.pendingRefreshToken === null)
      await keepAsPending(tx, vault, authorisation.id, refreshToken, consent.credentialsId)
    return 'token-changed'
  }
  return beginProof(tx, vault, { consent, authorisation }, response, {
    pendingRefreshToken: null,
    newCredentialsId: null,
  })
}

/** Whose the tokens are is not known yet: they stay with the attempt, and the consent keeps its stored token. */
const storePendingTokens = async (
  tx: Statements,
  vault: Vault,
  { consent, authorisation }: Locked,
  response: Answer,
): Promise<Stored> => {
  const { refreshToken, credentialsId } = response
  const sealed = refreshToken && sealCell(vault, 'pending_refresh_token', authorisation.id, refreshToken)
  return beginProof(tx, vault, { consent, authorisation }, response, {
    pendingRefreshToken: sealed ?? null,
    newCredentialsId: credentialsId ?? null,
  })
}

/**
 * Moves the attempt on to its proof if it still waits for this response; whatever else the attempt has become
 * meanwhile, it stays.
 */
const beginProof = async (
  tx: Statements,
  vault: Vault,
  { consent, authorisation }: Locked,
  { accessToken, answeredAt, owner, claim }: Answer,
  pending: Pick<AuthorisationRow, 'pendingRefreshToken' | 'newCredentialsId'>,
): Promise<Stored> => {
  const { id, fencingToken } = authorisation
  const waits = canMove('authorisation', authorisation, 'verifying')
  if (waits)
    await moveOne(tx, 'authorisation', authorisation, 'verifying', {
      data: {
        ...pending,
        tokenOwner: owner,
        answeredAt: answeredAt.toJSDate(),
        nextActionAt: answeredAt.toJSDate(),
        pollCount: 0,
        errorCode: null,
        code: null,
        verifier: null,
        accessToken: sealCell(vault, 'access_token', id, accessToken),
        ...(fencingToken === claim.fencingToken ? {} : { ...released, fencingToken: { increment: 1 } }),
      },
    })
  await appendEvent(tx, consent, {
    type: 'authorisation.answered',
    at: answeredAt,
    actor: 'system',
    data: { authorisation_id: id, token_stored: owner === 'ours' },
  })
  return waits ? 'stored' : 'cycle-closed'
}

const pendingOf = (vault: Vault, { id, pendingRefreshToken }: AuthorisationRow): Secret | undefined =>
  pendingRefreshToken === null ? undefined : openCell(vault, 'pending_refresh_token', id, pendingRefreshToken)

/**
 * Keeps a token of this connection that came too late to replace the stored one: as pending with the attempt. An
 * attempt that is closed is not polled any more, and one with a pending token keeps that: then it is the candidate.
 */
const keepBeside = async (
  tx: Statements,
  vault: Vault,
  consent: ConsentRow,
  authorisationId: string,
  token: Secret,
  now: DateTime,
): Promise<void> => {
  const locked = await lockAuthorisation(tx, authorisationId)
  const attempt = locked?.authorisation
  if (attempt === undefined) return
  const pending = pendingOf(vault, attempt)
  if (pending?.reveal() === token.reveal()) return
  const isOpen = isUnsettled(attempt)
  if (isOpen && pending === undefined) await keepAsPending(tx, vault, attempt.id, token, consent.credentialsId)
  else await keepAsCandidate(tx, vault, consent, token, now)
}

/** Keeps the token as pending with the attempt if the attempt is open; a closed attempt is not polled any more. */
const keepAsPending = async (
  tx: Statements,
  vault: Vault,
  id: string,
  token: Secret,
  credentialsId: string,
): Promise<void> => {
  const data = {
    pendingRefreshToken: sealCell(vault, 'pending_refresh_token', id, token),
    newCredentialsId: credentialsId,
    tokenOwner: 'pending',
  }
  await update(tx, 'authorisation', { id, status: { in: [...unsettled] } }, data)
}
