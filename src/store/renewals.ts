// The writes of a reauth job. Each is fenced by the fencing token of its claim: a worker whose claim is stale changes
// nothing.
import type { DateTime, Duration } from 'luxon'
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import type { NextDate } from '../domain/apply-step.ts'
import type { ConsentStatus, Notification, Renewal } from '../domain/model.ts'
import type { ErrorCode } from '../errors.ts'
import { isTerminal } from '../domain/lifecycle.ts'
import { WAITING_FOR_A_TOKEN } from '../domain/token-rejection.ts'
import { clearAccessToken } from './access-cache.ts'
import { authorisationRow, clearVerifiers } from './authorisation-row.ts'
import { later } from './columns.ts'
import { changeRecord, insert } from './tables.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { lockClaimedConsent, released } from './locks.ts'
import { moveAll, moveAny, moveOne } from './moves.ts'
import type { Renewals } from './port.ts'
import { noteTokenUse } from './refresh-token.ts'
import { notificationRow, renewalRow, withoutFailure } from './rows.ts'
import type { Statements } from './statements.ts'

export const renewals = (db: Database): Renewals => ({
  commitStep: async (claim, step, queuedFor) =>
    db.step(async (tx) => {
      const consent = await lockClaimedConsent(tx, claim)
      if (step.opens) await openCycle(tx, consent, step.renewal)
      if (step.authorisation !== undefined) {
        const of = { consentId: consent.id, renewalId: step.renewal.id }
        await insert(tx, 'authorisation', authorisationRow(db.vault, { ...step.authorisation, ...of }))
        await changeRecord(tx, 'renewal', step.renewal.id, { route: step.authorisation.route })
        const { tokenUse } = step.authorisation
        if (tokenUse !== undefined) await noteTokenUse(tx, db.vault, consent, tokenUse)
        await appendEvent(tx, consent, {
          type: 'link.made',
          at: step.now,
          actor: 'system',
          reason: step.reason,
          data: { authorisation_id: step.authorisation.id, route: step.authorisation.route },
        })
      }
      for (const message of step.messages) await queueMessage(tx, consent, message, step.reason, queuedFor)
      await changeRecord(tx, 'consent', consent.id, {
        ...released,
        ...withoutFailure,
        nextActionAt: step.next.at.toJSDate(),
        nextActionReason: step.next.reason,
        updatedAt: step.now.toJSDate(),
      })
      return step.messages.map(({ id }) => ({ id, dispatchNo: FIRST_DISPATCH }))
    }),

  scheduleConsent: async (claim, at, reason) =>
    db.step(async (tx) => {
      const consent = await lockClaimedConsent(tx, claim)
      await changeRecord(tx, 'consent', consent.id, {
        ...released,
        nextActionAt: at.toJSDate(),
        nextActionReason: reason,
      })
    }),

  backOff: async (claim, { now, until, code, counts, outages, detail }) =>
    db.step(async (tx) => {
      const consent = await lockClaimedConsent(tx, claim)
      await changeRecord(tx, 'consent', consent.id, {
        ...released,
        failedAttempts: counts ? { increment: 1 } : consent.failedAttempts,
        outages: outages ?? consent.outages,
        lastErrorCode: code,
        retryAfter: until.toJSDate(),
        nextActionAt: until.toJSDate(),
        nextActionReason: `backing off after ${code}`,
        updatedAt: now.toJSDate(),
      })
      // An outage of hours gives one event, not one for each try, because events are kept for years.
      if (!counts && consent.lastErrorCode === code) return
      await appendEvent(tx, consent, {
        type: 'link.failed',
        at: now,
        actor: 'system',
        reason: detail ?? code,
        data: { code, counts },
      })
    }),

  backOffRejected: async (claim, { now, until, isOwn, tells, detail }) =>
    db.step(async (tx) => {
      const consent = await lockClaimedConsent(tx, claim)
      const code = 'token-rejected' satisfies ErrorCode
      await changeRecord(tx, 'consent', consent.id, {
        ...released,
        failedAttempts: { increment: 1 },
        outages: 0,
        lastErrorCode: code,
        retryAfter: until.toJSDate(),
        nextActionAt: until.toJSDate(),
        nextActionReason: isOwn ? WAITING_FOR_A_TOKEN : `backing off after ${code}`,
        ...(tells ? { tokenRejectedAt: now.toJSDate() } : {}),
        updatedAt: now.toJSDate(),
      })
      // Of a first rejection, which may be a fault of ours, the history says only that no link was made; of the daily
      // tries afterwards it says nothing.
      if (consent.lastErrorCode !== code && !isOwn)
        await appendEvent(tx, consent, {
          type: 'link.failed',
          at: now,
          actor: 'system',
          reason: detail,
          data: { code, counts: true },
        })
      if (tells) await appendEvent(tx, consent, { type: 'token.rejected', at: now, actor: 'system', reason: detail })
    }),

  closeByRule: async (claim, as, now, reason) =>
    db.transaction(async (tx) => {
      const consent = await lockClaimedConsent(tx, claim)
      await closeConsent(tx, consent, { as, now })
      await appendEvent(tx, consent, { type: `consent.${as}`, at: now, actor: 'system', reason })
    }),
})

const openCycle = async (tx: Statements, consent: ConsentRow, renewal: Renewal): Promise<void> => {
  await insert(tx, 'renewal', { ...renewalRow(renewal), openedBy: 'system', previousExpiresAt: consent.expiresAt })
  await appendEvent(tx, consent, {
    type: 'renewal.opened',
    at: renewal.openedAt,
    actor: 'system',
    reason: renewal.reason,
    data: { cycle: renewal.cycle },
  })
}

/** A record's dispatch count begins at 0. */
const FIRST_DISPATCH = 1

const queueMessage = async (
  tx: Statements,
  consent: ConsentRow,
  message: Notification,
  reason: string,
  queuedFor: Duration,
): Promise<void> => {
  const { id, renewalId, rung, channel, createdAt } = message
  // An older message of the same channel that was never sent (the channel was unavailable) says nothing that this one
  // does not, so it is cancelled: two at once would annoy the user. Other channels keep theirs: one of this very step
  // may be among them.
  await moveAny(tx, 'notification', 'cancelled', { where: { renewalId, channel }, data: withoutDate })
  const dispatched = { queuedUntil: later(queuedFor), dispatchNo: FIRST_DISPATCH }
  await insert(tx, 'notification', { ...notificationRow(message), ...dispatched })
  await appendEvent(tx, consent, {
    type: 'message.queued',
    at: createdAt,
    actor: 'system',
    reason,
    data: { rung, notification_id: id },
  })
}

const withoutDate = { nextActionAt: null } as const

/**
 * Cancels the consent's messages that are still `pending`. The worker that is sending one now (`sending`) settles it.
 */
export const cancelMessages = async (tx: Statements, consentId: string): Promise<void> => {
  await moveAny(tx, 'notification', 'cancelled', { where: { consentId }, data: withoutDate })
}

/**
 * Marks messages that a pause or a quarantine has cancelled. The ledger never gets a second message for the same rung,
 * so without this mark the user would never get a message for it.
 */
const SUSPENDED = 'consent-suspended' satisfies ErrorCode
const holdMessages = async (tx: Statements, consentId: string): Promise<void> => {
  await moveAny(tx, 'notification', 'cancelled', {
    where: { consentId },
    data: { ...withoutDate, errorCode: SUSPENDED },
  })
}

/**
 * Makes messages `pending` again that a pause or a quarantine has cancelled. Whether such a message, or a later one, is
 * still wanted is decided when its job runs.
 */
export const reviveMessages = async (tx: Statements, renewalId: string, now: DateTime): Promise<void> => {
  await moveAny(tx, 'notification', 'pending', {
    from: ['cancelled'],
    where: { renewalId, errorCode: SUSPENDED },
    data: {
      nextActionAt: now.toJSDate(),
      errorCode: null,
      ...released,
      fencingToken: { increment: 1 },
    },
  })
}

/**
 * Makes a consent inactive: it gets no next date and its pending messages are cancelled. Also closes its open cycle,
 * unless the consent is only paused or quarantined. Raises the fencing token, so that a worker that has the consent
 * claimed writes nothing more. Callers hold the consent's lock and write the event.
 */
export const closeConsent = async (
  tx: Statements,
  consent: ConsentRow,
  { as, now, supersededById }: { as: Exclude<ConsentStatus, 'active'>; now: DateTime; supersededById?: string },
): Promise<void> => {
  await moveOne(tx, 'consent', consent, as, {
    data: {
      ...released,
      nextActionAt: null,
      nextActionReason: null,
      fencingToken: { increment: 1 },
      updatedAt: now.toJSDate(),
      ...(supersededById === undefined ? {} : { supersededById }),
    },
  })
  await clearAccessToken(tx, consent)
  // A paused or quarantined consent keeps its cycle, and its messages can be revived: both continue with the consent.
  if (as === 'paused' || as === 'quarantined') {
    await holdMessages(tx, consent.id)
    return
  }
  await cancelMessages(tx, consent.id)
  // By itself: the renewal may have been closed as renewed in this very step.
  await moveAll(tx, 'renewal', as === 'lapsed' ? 'lapsed' : 'cancelled', {
    where: { consentId: consent.id },
    data: { closedAt: now.toJSDate() },
  })
  if (isTerminal({ status: as })) await clearVerifiers(tx, { consentId: consent.id })
}

/**
 * Makes a consent active with the next date `next`, clears its failures and raises the fencing token. Callers hold the
 * consent's lock and write the event.
 */
export const reopenConsent = async (
  tx: Statements,
  consent: ConsentRow,
  now: DateTime,
  next: NextDate,
): Promise<void> => {
  await moveOne(tx, 'consent', consent, 'active', {
    orAlready: true,
    data: {
      ...released,
      ...withoutFailure,
      nextActionAt: next.at.toJSDate(),
      nextActionReason: next.reason,
      fencingToken: { increment: 1 },
      updatedAt: now.toJSDate(),
    },
  })
}
