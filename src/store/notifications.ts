// The ledger of messages: the intent to send is committed before anything of a message leaves, and the outcome after
// it. A message that may have been taken is not sent again, but once where its worker died.
import type { DateTime } from 'luxon'
import { backFromBankBy, findInFlight, inDoubtUntil } from '../domain/in-progress.ts'
import type { Consent as ConsentRow, Notification as NotificationRow } from '../generated/prisma/client.ts'
import { type ErrorCode, StaleClaim } from '../errors.ts'
import { isUnsettled } from './authorisation-row.ts'
import { changeRecord, find, update } from './tables.ts'
import type { Database } from './database.ts'
import { appendEvent } from './events.ts'
import { forgetFacts } from './kept-facts.ts'
import { lockClaimedMessage, type LockedMessage, released } from './locks.ts'
import { giveBackInHour, lookForPlace, reserveInHour, reserveRepeat } from './message-hours.ts'
import { moveAll, moveOne } from './moves.ts'
import type { Notifications, SendingStart } from './port.ts'
import { instant, toAuthorisation } from './rows.ts'
import type { Statements } from './statements.ts'

export const notifications = (db: Database): Notifications => ({
  placeInHour: lookForPlace(db),

  // Decided under the consent's lock: no sending begins after a renewal, a stop or the arrival of a code.
  beginSending: async (claim, now, messagesPerHour) =>
    db.step(async (tx): Promise<SendingStart> => {
      const locked = await lockClaimedMessage(tx, claim, { goesOn: true })
      const { message: row, consent } = locked
      // A newer message or a stop has cancelled this message since the job read it, which is not an error.
      if (row.status !== 'pending') return { kind: 'not-wanted', reason: `the message is ${row.status}` }
      const obstacle = await findObstacle(tx, locked, now)
      if (obstacle !== undefined) return obstacle
      if (!(await reserveInHour(tx, now, messagesPerHour))) return { kind: 'cap-reached' }
      await moveOne(tx, 'notification', row, 'sending', {
        data: { sendingAt: now.toJSDate(), handedOverAt: null, attempts: { increment: 1 } },
      })
      await appendEvent(tx, consent, {
        type: 'message.sending',
        at: now,
        actor: 'system',
        data: { rung: row.rung, notification_id: row.id },
      })
      return { kind: 'reserved' }
    }),

  // The same lock and the same questions as above. `repeatedAt` is read under the lock, so that of two workers that
  // both found the message only one repeats it; the database itself refuses a second value.
  beginRepeat: async (claim, now, messagesPerHour) =>
    db.transaction(async (tx): Promise<SendingStart> => {
      const locked = await lockClaimedMessage(tx, claim)
      const { message: row, consent } = locked
      if (row.status !== 'sending') return { kind: 'not-wanted', reason: `the message is ${row.status}` }
      if (row.repeatedAt !== null) return { kind: 'not-wanted', reason: 'it was repeated once' }
      if (consent.status === 'paused' || consent.status === 'quarantined')
        return { kind: 'in-flight', reason: `the consent is ${consent.status}` }
      if (await hasLaterMessage(tx, row)) return { kind: 'not-wanted', reason: 'a later message was made since' }
      const obstacle = await findObstacle(tx, locked, now)
      if (obstacle !== undefined) return obstacle
      if (!(await reserveInHour(tx, now, messagesPerHour))) return { kind: 'cap-reached' }
      if (!(await reserveRepeat(tx, now))) {
        await giveBackInHour(tx, now)
        return { kind: 'repeats-reached' }
      }
      await changeRecord(tx, 'notification', row.id, { repeatedAt: now.toJSDate(), attempts: { increment: 1 } })
      await appendEvent(tx, consent, {
        type: 'message.repeated',
        at: now,
        actor: 'system',
        reason: 'its worker died while it was being sent',
        data: { rung: row.rung, notification_id: row.id },
      })
      return { kind: 'reserved' }
    }),

  // Only while the message is being sent: the answer may be stored before this write comes through.
  recordHandedOver: async (claim, now) => {
    forgetFacts(claim)
    const count = await update(
      db.sql,
      'notification',
      { id: claim.id, fencingToken: claim.fencingToken, status: 'sending' },
      { handedOverAt: now.toJSDate() },
    )
    return count === 1
  },

  settleSending: async (claim, result, now, why = {}) =>
    db.step(async (tx) => {
      const { consent, message: row } = await lockClaimedMessage(tx, claim)
      // The first call was committed and only its acknowledgement was lost.
      if (row.status === result) return
      await endMessage(tx, consent, row, result, now, why)
    }),

  failUnbegun: async (claim, now, code, messagesPerHour) =>
    db.transaction(async (tx) => {
      const { consent, message: row } = await lockClaimedMessage(tx, claim)
      // As above. A stop or a newer message that has cancelled the message meanwhile has the last word.
      if (row.status === 'failed') return 'failed'
      if (row.status !== 'pending') throw new StaleClaim()
      if (!(await reserveInHour(tx, now, messagesPerHour))) return 'cap-reached'
      await endMessage(tx, consent, row, 'failed', now, { code })
      return 'failed'
    }),

  // The place in the hour's cap is given back in the transaction that ends `sending`: only once, and not at all if the
  // process dies before.
  reschedule: async (claim, at, { tried, code }) =>
    db.transaction(async (tx) => {
      const [before] = await tx.$queryRaw<{ status: string; sending_at: Date | null }[]>`
        SELECT status, sending_at FROM notifications WHERE id = ${claim.id}::uuid FOR UPDATE`
      const wasBegun = before?.status === 'sending'
      const reservedAt = wasBegun ? before.sending_at : null
      const count = await moveAll(tx, 'notification', 'pending', {
        from: ['sending'],
        orAlready: true,
        where: { id: claim.id, fencingToken: claim.fencingToken },
        data: {
          nextActionAt: at.toJSDate(),
          errorCode: code ?? null,
          ...released,
          ...(tried ? {} : { sendingAt: null }),
          // A try is counted when it is begun; one that the server ended before that is counted here.
          ...(tried === wasBegun ? {} : { attempts: tried ? { increment: 1 } : { decrement: 1 } }),
        },
      })
      if (count === 0) throw new StaleClaim()
      if (reservedAt !== null) await giveBackInHour(tx, instant(reservedAt))
    }),

  postponeRepeat: async (claim, at, { tried, code }) => {
    const count = await update(
      db.sql,
      'notification',
      { id: claim.id, fencingToken: claim.fencingToken, status: 'sending' },
      {
        nextActionAt: at.toJSDate(),
        errorCode: code ?? null,
        ...released,
        ...(tried ? { attempts: { increment: 1 } } : {}),
      },
    )
    if (count === 0) throw new StaleClaim()
  },

  cancel: async (claim, now, reason) =>
    db.transaction(async (tx) => {
      const { consent, message: row } = await lockClaimedMessage(tx, claim)
      if (row.status !== 'pending') throw new StaleClaim()
      // The channel put the message off, and meanwhile the consent was paused or quarantined. The message then
      // comes back with the consent, like the messages that were `pending` when the consent was stopped.
      const isSuspended = consent.status === 'paused' || consent.status === 'quarantined'
      const errorCode = isSuspended ? 'consent-suspended' : null
      await moveOne(tx, 'notification', row, 'cancelled', {
        data: { nextActionAt: null, ...released, errorCode },
      })
      await appendEvent(tx, consent, {
        type: 'message.cancelled',
        at: now,
        actor: 'system',
        reason,
        data: { rung: row.rung, notification_id: row.id },
      })
    }),

  reviveFailed: async (claim, now) => {
    const count = await moveAll(db.sql, 'notification', 'pending', {
      from: ['failed'],
      where: { id: claim.id, fencingToken: claim.fencingToken },
      data: { nextActionAt: now.toJSDate(), errorCode: null, attempts: 0 },
    })
    if (count === 0) throw new StaleClaim()
    forgetFacts(claim)
  },
})

/** Writes the last status of a locked message, and its event. */
const endMessage = async (
  tx: Statements,
  consent: ConsentRow,
  row: NotificationRow,
  result: 'sent' | 'uncertain' | 'failed',
  now: DateTime,
  { code, reason = code }: { readonly code?: ErrorCode; readonly reason?: string },
): Promise<void> => {
  await moveOne(tx, 'notification', row, result, {
    data: {
      nextActionAt: null,
      ...released,
      errorCode: code ?? null,
      // A try is counted when it is begun, or here.
      ...(row.status === 'pending' ? { attempts: { increment: 1 } } : {}),
      ...(result === 'sent' ? { sentAt: now.toJSDate() } : {}),
    },
  })
  await appendEvent(tx, consent, {
    type: `message.${result}`,
    at: now,
    actor: 'system',
    reason,
    data: { rung: row.rung, notification_id: row.id },
  })
  // The consent is evaluated again, so that its stored reason says that its user has no usable address; lists show
  // this.
  if (code === 'no-channel') {
    await update(
      tx,
      'consent',
      { id: row.consentId, status: 'active', cycle: row.cycle },
      { nextActionAt: now.toJSDate() },
    )
  }
}

/** What keeps a message of an active consent from being begun now; asked under the consent's lock. */
const findObstacle = async (
  tx: Statements,
  { message, consent, renewal, attempts: known }: LockedMessage,
  now: DateTime,
): Promise<SendingStart | undefined> => {
  if (consent.status !== 'active' || renewal.status !== 'open' || consent.cycle !== message.cycle)
    return { kind: 'not-wanted', reason: `the consent is ${consent.status}, its renewal ${renewal.status}` }
  // A statement of its own sees what was committed before we got the lock. What was read before is as good, but where a
  // poll may have put off its date: that alone changes an attempt and not its consent.
  const rows =
    known === undefined || known.some(isUnsettled) ? await find(tx, 'authorisation', { renewalId: renewal.id }) : known
  const attempts = rows.map(toAuthorisation)
  const unsettledUntil = inDoubtUntil(attempts)
  if (findInFlight(attempts) !== undefined || (unsettledUntil !== undefined && unsettledUntil > now))
    return { kind: 'in-flight', reason: 'a code of this cycle came in: its outcome comes first' }
  // The channel has connected and named the recipient since the job looked, which may take long.
  const backBy = backFromBankBy(attempts)
  return backBy !== undefined && backBy > now
    ? { kind: 'in-flight', reason: 'the user has gone to the bank: its outcome comes first' }
    : undefined
}

/** A later message cancels an older one only while that one is `pending`. */
const hasLaterMessage = async (tx: Statements, { renewalId, channel, createdAt }: NotificationRow): Promise<boolean> =>
  (await find(tx, 'notification', { renewalId, channel })).some(
    (other) => other.createdAt > createdAt && other.status !== 'cancelled' && other.status !== 'failed',
  )
