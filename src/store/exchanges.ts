// The exchange of a code and its proof, step by step. An exchange is fenced by the fencing token of its attempt, not of
// the consent. A token response is stored whichever worker holds the claim by then, because losing the tokens would
// lose the connection.
import type { Vault } from '../crypto/vault.ts'
import { acceptsCode } from '../domain/lifecycle.ts'
import { StaleClaim } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { openCell, sealCell } from './authorisation-row.ts'
import type { Database, Transaction } from './database.ts'
import { appendEvent } from './events.ts'
import { lockAuthorisation, lockClaimedAuthorisation, lockConsent } from './locks.ts'
import { moveAll, moveOne } from './moves.ts'
import type { Exchanges, ExchangeStart } from './port.ts'
import { replaceToken, tokenContext } from './refresh-token.ts'
import { closeUnrenewed, commitRenewal } from './settlement.ts'
import { instant, toAuthorisation, toConsent, toRenewal } from './rows.ts'

export const exchanges = (db: Database): Exchanges => ({
  getAttempt: async (id) => {
    const row = await db.prisma.authorisation.findUnique({ where: { id }, include: { consent: true, renewal: true } })
    if (row === null) return undefined
    const others = await db.prisma.authorisation.findMany({
      where: { consentId: row.consentId, id: { not: id }, status: { in: ['exchanging', 'verifying', 'in_doubt'] } },
    })
    return {
      attempt: toAuthorisation(row),
      consent: toConsent(row.consent),
      renewal: toRenewal(row.renewal),
      others: others.map(toAuthorisation),
    }
  },

  // The intent is committed before the code is sent: after a crash, the status `exchanging` says that the code may have
  // been used.
  beginExchange: async (claim, now) =>
    db.prisma.$transaction(async (tx): Promise<ExchangeStart | undefined> => {
      const { consent, renewal, authorisation } = await lockClaimedAuthorisation(tx, claim)
      const { status, code, verifier } = authorisation
      if (status !== 'code_received' || code === null || verifier === null) throw new StaleClaim()
      if (!acceptsCode(consent, renewal)) return undefined
      // Counted under the consent's lock, so that only one code of a consent is sent at a time. The partial unique
      // index on `exchanging` is a second safeguard.
      const busy = await tx.authorisation.count({
        where: { consentId: consent.id, status: { in: ['exchanging', 'verifying'] } },
      })
      if (busy > 0) return undefined
      await moveOne(tx, 'authorisation', authorisation, 'exchanging', {
        data: { exchangeStartedAt: now.toJSDate(), tokenVersion: consent.tokenVersion },
      })
      await appendEvent(tx, consent.id, {
        type: 'authorisation.exchanging',
        at: now,
        actor: 'system',
        data: { authorisation_id: claim.id },
      })
      return {
        code: openCell(db.vault, 'code', claim.id, code),
        verifier: openCell(db.vault, 'verifier', claim.id, verifier),
        redirectUri: authorisation.redirectUri,
        tokenVersion: consent.tokenVersion,
      }
    }),

  storeTokenResponse: async (authorisationId, response) =>
    db.prisma.$transaction(async (tx) => {
      const locked = await lockAuthorisation(tx, authorisationId)
      if (locked === undefined || locked.authorisation.status === 'renewed') return 'already-renewed'
      const { consent, authorisation } = locked
      const at = response.answeredAt
      // This very answer is stored already: the call repeats one that was committed and not acknowledged. Another
      // worker may have gone on from there, and its newer pending token must not be overwritten.
      if (authorisation.answeredAt?.getTime() === at.toMillis()) return 'stored'
      if (response.owner === 'ours') {
        const stored = await replaceToken(tx, db.vault, consent, response.tokenVersion, response.refreshToken, at)
        if (!stored) {
          // Either token may be the only valid one, and only polling can tell which. A pending token that the attempt
          // has already came with a later refresh, and is kept.
          const { refreshToken } = response
          if (refreshToken !== undefined && authorisation.pendingRefreshToken === null)
            await storePendingToken(tx, db.vault, authorisationId, refreshToken, consent.credentialsId)
          return 'token-changed'
        }
      }
      const beside = response.owner === 'ours' ? undefined : response.refreshToken
      // Whatever the attempt has become meanwhile: only an attempt that still waits for this response goes on to its
      // proof.
      const waited = await moveAll(tx, 'authorisation', 'verifying', {
        where: { id: authorisationId },
        data: {
          answeredAt: at.toJSDate(),
          nextActionAt: at.toJSDate(),
          pollCount: 0,
          errorCode: null,
          code: null,
          verifier: null,
          accessToken: sealCell(db.vault, 'access_token', authorisationId, response.accessToken),
          pendingRefreshToken:
            beside === undefined ? null : sealCell(db.vault, 'pending_refresh_token', authorisationId, beside),
          newCredentialsId: response.owner === 'ours' ? null : (response.credentialsId ?? null),
          tokenOwner: response.owner,
        },
      })
      await appendEvent(tx, consent.id, {
        type: 'authorisation.answered',
        at,
        actor: 'system',
        data: { authorisation_id: authorisationId, token_stored: response.owner === 'ours' },
      })
      return waited === 1 ? 'stored' : 'cycle-closed'
    }),

  adoptTokens: async (claim) =>
    db.prisma.$transaction(async (tx) => {
      const { consent, authorisation } = await lockClaimedAuthorisation(tx, claim)
      const token =
        authorisation.pendingRefreshToken === null
          ? undefined
          : openCell(db.vault, 'pending_refresh_token', claim.id, authorisation.pendingRefreshToken)
      const at = instant(authorisation.answeredAt ?? authorisation.issuedAt)
      const stored = await replaceToken(
        tx,
        db.vault,
        consent,
        authorisation.tokenVersion ?? consent.tokenVersion,
        token,
        at,
      )
      if (!stored) return false
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
    const data = { pendingRefreshToken: sealCell(db.vault, 'pending_refresh_token', authorisationId, token) }
    return (
      (
        await db.prisma.authorisation.updateMany({
          where: { id: authorisationId, pendingRefreshToken: { not: null } },
          data,
        })
      ).count === 1
    )
  },

  readRefreshToken: async (consentId) => {
    const row = await db.prisma.consent.findUniqueOrThrow({
      where: { id: consentId },
      select: { refreshToken: true, tokenVersion: true },
    })
    return {
      token: db.vault.open(row.refreshToken, tokenContext(consentId, row.tokenVersion)),
      version: row.tokenVersion,
    }
  },

  storeRotated: async ({ consentId, authorisationId, version, token, now }) =>
    db.prisma.$transaction(async (tx) => {
      const consent = await lockConsent(tx, consentId)
      if (consent === undefined) return false
      if (await replaceToken(tx, db.vault, consent, version, token, now)) return true
      await storePendingToken(tx, db.vault, authorisationId, token, consent.credentialsId)
      return false
    }),

  requeueCode: async (claim, at, code) =>
    written(
      await moveAll(db.prisma, 'authorisation', 'code_received', {
        from: ['exchanging'],
        where: { id: claim.id, fencingToken: claim.fencingToken },
        data: { ...released, nextActionAt: at.toJSDate(), errorCode: code, pollCount: { increment: 1 } },
      }),
    ),
  schedulePoll: async (claim, at, code) =>
    update(db, claim, ['verifying', 'in_doubt'], {
      nextActionAt: at.toJSDate(),
      errorCode: code,
      pollCount: { increment: 1 },
    }),
  scheduleAttempt: async (claim, at) =>
    update(db, claim, ['code_received', 'verifying', 'in_doubt'], { nextActionAt: at.toJSDate() }),

  markUnknown: async (claim, at, code, now) =>
    db.prisma.$transaction(async (tx) => {
      const { consent } = await lockClaimedAuthorisation(tx, claim)
      // Polls from here on are made after the stored token was replaced. If the pending token works then, it is valid
      // even after that change, and may replace the stored token of this version.
      const since = code === 'token-changed' ? { tokenVersion: consent.tokenVersion } : {}
      // The code may have been used, so it is deleted: nothing can ever send it again.
      const count = await moveAll(tx, 'authorisation', 'in_doubt', {
        orAlready: code === 'token-changed',
        where: { id: claim.id },
        data: {
          ...since,
          nextActionAt: at.toJSDate(),
          errorCode: code,
          pollCount: 0,
          code: null,
          verifier: null,
          queuedUntil: null,
        },
      })
      written(count)
      await appendEvent(tx, consent.id, {
        type: 'authorisation.in-doubt',
        at: now,
        actor: 'system',
        reason: code,
        data: { authorisation_id: claim.id },
      })
    }),

  closeUnrenewed: async (claim, as, code, now, ask) =>
    db.prisma.$transaction(async (tx) => closeUnrenewed(tx, claim, { as, code, now, ask })),
  commitRenewal: async (claim, renewed) => db.prisma.$transaction(async (tx) => commitRenewal(db, tx, claim, renewed)),
})

/** Keeps the token as pending with the attempt if the attempt is open; a closed attempt is not polled any more. */
const storePendingToken = async (
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

const released = { leaseUntil: null, queuedUntil: null } as const

/** A single write under the claim, which changes no status and releases the lease. Throws StaleClaim. */
const update = async (
  db: Database,
  claim: { id: string; fencingToken: number },
  during: string[],
  data: Parameters<Transaction['authorisation']['updateMany']>[0]['data'],
): Promise<void> => {
  const { count } = await db.prisma.authorisation.updateMany({
    where: { id: claim.id, fencingToken: claim.fencingToken, status: { in: during } },
    data: { ...data, ...released },
  })
  written(count)
}

const written = (count: number): void => {
  if (count === 0) throw new StaleClaim()
}
