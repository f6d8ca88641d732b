// The exchange of a code and its proof, step by step. An exchange is fenced by the fencing token of its attempt, not of
// the consent. The tokens that it brings are in attempt-tokens.ts.
import { DATE_SHOWN_WITHIN } from '../domain/backoff.ts'
import { blocksExchange } from '../domain/in-progress.ts'
import { acceptsCode } from '../domain/lifecycle.ts'
import { StaleClaim } from '../errors.ts'
import { clearAccessToken } from './access-cache.ts'
import { attemptTokens } from './attempt-tokens.ts'
import { openCell } from './authorisation-row.ts'
import { type Changes } from './columns.ts'
import { changeRecord, update } from './tables.ts'
import type { Database } from './database.ts'
import { factsOf } from './facts.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { appendEvent } from './events.ts'
import { type FoundRow, keepFacts } from './kept-facts.ts'
import { lockClaimedAuthorisation, otherAttempts, released } from './locks.ts'
import { moveAll, moveOne } from './moves.ts'
import { isoText } from './next-cycle.ts'
import type { Exchanges, ExchangeStart } from './port.ts'
import { closeUnrenewed, commitRenewal } from './settlement.ts'
import { instant, toAuthorisation } from './rows.ts'
import type { Statements } from './statements.ts'

export const exchanges = (db: Database): Exchanges => ({
  getAttempt: async (claim) => {
    const { select, read } = factsOf.authorisation
    const [row] = await db.sql.$queryRaw<FoundRow[]>`
      ${select(Prisma.raw('authorisations'))} WHERE attempt.id = ${claim.id}::uuid`
    if (row === undefined) return undefined
    keepFacts(claim, row)
    return read(row)
  },

  // The intent is committed before the code is sent: after a crash, the status `exchanging` says that the code may have
  // been used.
  beginExchange: async (claim, now) =>
    db.step(async (tx): Promise<ExchangeStart | 'refreshing' | undefined> => {
      const locked = await lockClaimedAuthorisation(tx, claim, { goesOn: true })
      const { consent, renewal, authorisation } = locked
      const { status, code, verifier } = authorisation
      if (status !== 'code_received' || code === null || verifier === null) throw new StaleClaim()
      if (!acceptsCode(consent, renewal)) return undefined
      // Only one code of a consent is sent at a time. The partial unique index on `exchanging` is a second safeguard.
      const others = await otherAttempts(tx, locked)
      if (others.some((other) => blocksExchange(toAuthorisation(other), now))) return undefined
      if (consent.refreshingUntil !== null && (await isAhead(tx, consent.refreshingUntil))) return 'refreshing'
      const callNo = consent.tokenCallNo === 0 ? 0 : consent.tokenCallNo + 1
      if (callNo > 0) await changeRecord(tx, 'consent', consent.id, { tokenCallNo: callNo })
      await clearAccessToken(tx, consent)
      await moveOne(tx, 'authorisation', authorisation, 'exchanging', {
        data: { exchangeStartedAt: now.toJSDate(), tokenVersion: consent.tokenVersion },
      })
      await appendEvent(tx, consent, {
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
        callNo,
      }
    }),

  ...attemptTokens(db),

  requeueCode: async (claim, at, code) =>
    written(
      await moveAll(db.sql, 'authorisation', 'code_received', {
        from: ['exchanging'],
        where: { id: claim.id, fencingToken: claim.fencingToken },
        data: { ...released, nextActionAt: at.toJSDate(), errorCode: code, pollCount: { increment: 1 } },
      }),
    ),
  schedulePoll: async (claim, at, code) =>
    updateClaimed(db, claim, ['verifying', 'in_doubt', 'awaiting_date'], {
      nextActionAt: at.toJSDate(),
      errorCode: code,
      pollCount: { increment: 1 },
    }),
  scheduleAttempt: async (claim, at) =>
    updateClaimed(db, claim, ['code_received', 'verifying', 'in_doubt', 'awaiting_date'], {
      nextActionAt: at.toJSDate(),
    }),

  markInDoubt: async (claim, at, code, now) =>
    db.transaction(async (tx) => {
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
      await appendEvent(tx, consent, {
        type: 'authorisation.in-doubt',
        at: now,
        actor: 'system',
        reason: code,
        data: { authorisation_id: claim.id },
      })
    }),

  awaitDate: async (claim, until, code, now) =>
    db.step(async (tx) => {
      const { consent, authorisation } = await lockClaimedAuthorisation(tx, claim)
      // The access token expires within the hour: every poll from here on begins with a refresh.
      await moveOne(tx, 'authorisation', authorisation, 'awaiting_date', {
        data: { ...released, nextActionAt: until.toJSDate(), errorCode: code, pollCount: 0, accessToken: null },
      })
      const cameAt = instant(authorisation.codeReceivedAt ?? authorisation.issuedAt)
      await appendEvent(tx, consent, {
        type: 'authorisation.awaiting-date',
        at: now,
        actor: 'system',
        reason: code,
        data: { authorisation_id: claim.id, awaited_until: isoText(cameAt.plus(DATE_SHOWN_WITHIN)) },
      })
    }),

  closeUnrenewed: async (claim, as, code, now, notify) =>
    db.transaction(async (tx) => closeUnrenewed(tx, claim, { as, code, now, notify })),
  commitRenewal: async (claim, renewed) => db.step(async (tx) => commitRenewal(db, tx, claim, renewed)),
})

/** A single write under the claim, which changes no status and releases the lease. Throws StaleClaim. */
const updateClaimed = async (
  db: Database,
  claim: { id: string; fencingToken: number },
  during: string[],
  data: Changes<'authorisation'>,
): Promise<void> => {
  const count = await update(
    db.sql,
    'authorisation',
    { id: claim.id, fencingToken: claim.fencingToken, status: { in: during } },
    { ...data, ...released },
  )
  written(count)
}

/** Whether the instant is still to come, by the database's clock, as for every lease. */
const isAhead = async (tx: Statements, until: Date): Promise<boolean> => {
  const [row] = await tx.$queryRaw<{ ahead: boolean }[]>`SELECT ${until}::timestamptz > clock_timestamp() AS ahead`
  return row?.ahead === true
}

const written = (count: number): void => {
  if (count === 0) throw new StaleClaim()
}
