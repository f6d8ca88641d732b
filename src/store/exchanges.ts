// The exchange of a code and its proof, step by step. An exchange is fenced by the fencing token of its attempt, not of
// the consent. The tokens that it brings are in attempt-tokens.ts.
import { acceptsCode } from '../domain/lifecycle.ts'
import { StaleClaim } from '../errors.ts'
import { attemptTokens } from './attempt-tokens.ts'
import { openCell } from './authorisation-row.ts'
import type { Database, Transaction } from './database.ts'
import { appendEvent } from './events.ts'
import { lockClaimedAuthorisation, released } from './locks.ts'
import { moveAll, moveOne } from './moves.ts'
import type { Exchanges, ExchangeStart } from './port.ts'
import { closeUnrenewed, commitRenewal } from './settlement.ts'
import { toAuthorisation, toConsent, toRenewal } from './rows.ts'

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

  ...attemptTokens(db),

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

  markInDoubt: async (claim, at, code, now) =>
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

  closeUnrenewed: async (claim, as, code, now, notify) =>
    db.prisma.$transaction(async (tx) => closeUnrenewed(tx, claim, { as, code, now, notify })),
  commitRenewal: async (claim, renewed) => db.prisma.$transaction(async (tx) => commitRenewal(db, tx, claim, renewed)),
})

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
