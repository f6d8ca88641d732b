// The tokens that an exchange, and a refresh after it, bring: stored with the consent when they are certainly its own,
// kept as pending with the attempt until their owner is known. They are stored whichever worker holds the claim by
// then, because losing the tokens would lose the connection.
import type { Vault } from '../crypto/vault.ts'
import type { Authorisation as AuthorisationRow, Consent as ConsentRow } from '../generated/prisma/client.ts'
import type { Secret } from '../secret.ts'
import { openCell, sealCell } from './authorisation-row.ts'
import type { Database, Transaction } from './database.ts'
import { appendEvent } from './events.ts'
import { lockAuthorisation, lockClaimedAuthorisation, lockConsent } from './locks.ts'
import { moveAll } from './moves.ts'
import type { Exchanges, TokenResponse } from './port.ts'
import { replaceToken, tokenCell } from './refresh-token.ts'
import { instant } from './rows.ts'

type AttemptTokens = Pick<
  Exchanges,
  | 'storeTokenResponse'
  | 'adoptTokens'
  | 'readAccessToken'
  | 'readPendingToken'
  | 'replacePendingToken'
  | 'readRefreshToken'
  | 'storeRotated'
>

export const attemptTokens = (db: Database): AttemptTokens => ({
  storeTokenResponse: async (authorisationId, response) =>
    db.prisma.$transaction(async (tx) => {
      const locked = await lockAuthorisation(tx, authorisationId)
      if (locked === undefined || locked.authorisation.status === 'renewed') return 'already-renewed'
      // This very answer is stored already: the call repeats one that was committed and not acknowledged. Another
      // worker may have gone on from there, and its newer pending token must not be overwritten.
      if (locked.authorisation.answeredAt?.getTime() === response.answeredAt.toMillis()) return 'stored'
      return response.owner === 'ours'
        ? storeOwnTokens(tx, db.vault, locked, response)
        : storePendingTokens(tx, db.vault, locked, response)
    }),

  adoptTokens: async (claim) =>
    db.prisma.$transaction(async (tx) => {
      const { consent, authorisation } = await lockClaimedAuthorisation(tx, claim)
      const { pendingRefreshToken: pending, tokenVersion } = authorisation
      const token = pending === null ? undefined : openCell(db.vault, 'pending_refresh_token', claim.id, pending)
      const at = instant(authorisation.answeredAt ?? authorisation.issuedAt)
      const version = tokenVersion ?? consent.tokenVersion
      if (!(await replaceToken(tx, db.vault, consent, version, token, at))) return false
      await tx.authorisation.update({
        where: { id: claim.id },
        data: { pendingRefreshToken: null, newCredentialsId: null, tokenOwner: 'ours' },
      })
      return true
    }),

  readAccessToken: async (authorisationId) => {
    const row = await db.prisma.authorisation.findUnique({
      where: { id: authorisationId },
      select: { accessToken: true },
    })
    return row?.accessToken == null ? undefined : openCell(db.vault, 'access_token', authorisationId, row.accessToken)
  },

  readPendingToken: async (authorisationId) => {
    const row = await db.prisma.authorisation.findUnique({
      where: { id: authorisationId },
      select: { pendingRefreshToken: true },
    })
    return row?.pendingRefreshToken == null
      ? undefined
      : openCell(db.vault, 'pending_refresh_token', authorisationId, row.pendingRefreshToken)
  },

  replacePendingToken: async (authorisationId, token) => {
    const { count } = await db.prisma.authorisation.updateMany({
      where: { id: authorisationId, pendingRefreshToken: { not: null } },
      data: { pendingRefreshToken: sealCell(db.vault, 'pending_refresh_token', authorisationId, token) },
    })
    return count === 1
  },

  readRefreshToken: async (consentId) => {
    const row = await db.prisma.consent.findUniqueOrThrow({
      where: { id: consentId },
      select: { refreshToken: true, tokenVersion: true },
    })
    return {
      token: db.vault.open(row.refreshToken, tokenCell(consentId, row.tokenVersion)),
      version: row.tokenVersion,
    }
  },

  storeRotated: async ({ consentId, authorisationId, version, token, now }) =>
    db.prisma.$transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      if (consent === undefined) return false
      if (await replaceToken(tx, db.vault, consent, version, token, now)) return true
      await keepAsPending(tx, db.vault, authorisationId, token, consent.credentialsId)
      return false
    }),
})

interface Locked {
  readonly consent: ConsentRow
  readonly authorisation: AuthorisationRow
}

type Stored = Awaited<ReturnType<Exchanges['storeTokenResponse']>>

/** The tokens certainly belong to the consent's connection: its stored token is replaced. */
const storeOwnTokens = async (
  tx: Transaction,
  vault: Vault,
  { consent, authorisation }: Locked,
  response: TokenResponse,
): Promise<Stored> => {
  const { refreshToken, tokenVersion, answeredAt } = response
  if (!(await replaceToken(tx, vault, consent, tokenVersion, refreshToken, answeredAt))) {
    // Either token may be the only valid one, and only polling can tell which. A pending token that the attempt has
    // already came with a later refresh, and is kept.
    if (refreshToken !== undefined && authorisation.pendingRefreshToken === null)
      await keepAsPending(tx, vault, authorisation.id, refreshToken, consent.credentialsId)
    return 'token-changed'
  }
  return beginProof(tx, vault, authorisation, response, { pendingRefreshToken: null, newCredentialsId: null })
}

/** Whose the tokens are is not known yet: they stay with the attempt, and the consent keeps its stored token. */
const storePendingTokens = async (
  tx: Transaction,
  vault: Vault,
  { authorisation }: Locked,
  response: TokenResponse,
): Promise<Stored> => {
  const { refreshToken, credentialsId } = response
  const sealed = refreshToken && sealCell(vault, 'pending_refresh_token', authorisation.id, refreshToken)
  return beginProof(tx, vault, authorisation, response, {
    pendingRefreshToken: sealed ?? null,
    newCredentialsId: credentialsId ?? null,
  })
}

/**
 * Moves the attempt on to its proof if it still waits for this response; whatever else the attempt has become
 * meanwhile, it stays.
 */
const beginProof = async (
  tx: Transaction,
  vault: Vault,
  { id, consentId }: AuthorisationRow,
  { accessToken, answeredAt, owner }: TokenResponse,
  pending: Pick<AuthorisationRow, 'pendingRefreshToken' | 'newCredentialsId'>,
): Promise<Stored> => {
  const moved = await moveAll(tx, 'authorisation', 'verifying', {
    where: { id },
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
    },
  })
  await appendEvent(tx, consentId, {
    type: 'authorisation.answered',
    at: answeredAt,
    actor: 'system',
    data: { authorisation_id: id, token_stored: owner === 'ours' },
  })
  return moved === 1 ? 'stored' : 'cycle-closed'
}

/** Keeps the token as pending with the attempt if the attempt is open; a closed attempt is not polled any more. */
const keepAsPending = async (
  tx: Transaction,
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
  await tx.authorisation.updateMany({ where: { id, status: { in: ['exchanging', 'verifying', 'in_doubt'] } }, data })
}
