// The ledger of messages: the intent to send is committed before a message is handed to the channel, and the outcome
// after it. A message that may have been taken is never sent again.
import type { DateTime } from 'luxon'
import { IN_DOUBT_DELAY } from '../domain/in-progress.ts'
import type { Notification as NotificationRow } from '../generated/prisma/client.ts'
import { StaleClaim } from '../errors.ts'
import type { Database, Transaction } from './database.ts'
import { appendEvent } from './events.ts'
import { lockConsent, lockRenewal, released } from './locks.ts'
import { moveAll, moveOne } from './moves.ts'
import type { Claim, Notifications, SendingStart } from './port.ts'
import { instant, toNotification } from './rows.ts'
import { getView } from './views.ts'

export const notifications = (db: Database): Notifications => ({
  getNotification: async (id) => {
    const row = await db.prisma.notification.findUnique({ where: { id } })
    const view = row === null ? undefined : await getView(db, row.consentId, row.renewalId)
    return row === null || view === undefined ? undefined : { notification: toNotification(row), view }
  },

  // Decided under the consent's lock: no sending begins after a renewal, a stop or the arrival of a code.
  beginSending: async (claim, now, messagesPerHour) =>
    db.prisma.$transaction(async (tx): Promise<SendingStart> => {
      const { consentStatus, renewalStatus, sameCycle, row } = await lockNotification(tx, claim)
      // A newer message or a stop has cancelled this message since the job read it, which is not an error.
      if (row.status !== 'pending') return { kind: 'not-wanted', reason: `the message is ${row.status}` }
      if (consentStatus !== 'active' || renewalStatus !== 'open' || !sameCycle)
        return { kind: 'not-wanted', reason: `the consent is ${consentStatus}, its renewal ${renewalStatus}` }
      const doubtful = { status: 'in_doubt', codeReceivedAt: { gt: now.minus(IN_DOUBT_DELAY).toJSDate() } }
      const inFlight = await tx.authorisation.count({
        where: {
          renewalId: row.renewalId,
          OR: [{ status: { in: ['code_received', 'exchanging', 'verifying'] } }, doubtful],
        },
      })
      if (inFlight > 0) return { kind: 'in-flight' }
      if (!(await reserveInHour(tx, now, messagesPerHour))) return { kind: 'cap-reached' }
      await moveOne(tx, 'notification', row, 'sending', {
        data: { sendingAt: now.toJSDate(), attempts: { increment: 1 } },
      })
      await appendEvent(tx, row.consentId, {
        type: 'message.sending',
        at: now,
        actor: 'system',
        data: { rung: row.rung, notification_id: row.id },
      })
      return { kind: 'reserved' }
    }),

  settleSending: async (claim, result, now, code) =>
    db.prisma.$transaction(async (tx) => {
      const { row } = await lockNotification(tx, claim)
      await moveOne(tx, 'notification', row, result, {
        data: {
          nextActionAt: null,
          ...released,
          errorCode: code ?? null,
          ...(result === 'sent' ? { sentAt: now.toJSDate() } : {}),
        },
      })
      await appendEvent(tx, row.consentId, {
        type: `message.${result}`,
        at: now,
        actor: 'system',
        reason: code,
        data: { rung: row.rung, notification_id: row.id },
      })
      // The consent is evaluated again, so that its stored reason says that its user has no usable address; lists show
      // this.
      if (code === 'no-channel') {
        await tx.consent.updateMany({
          where: { id: row.consentId, status: 'active', cycle: row.cycle },
          data: { nextActionAt: now.toJSDate() },
        })
      }
    }),

  // The place in the hour's cap is given back in the transaction that ends `sending`: only once, and not at all if the
  // process dies before.
  reschedule: async (claim, at, { tried, code }) =>
    db.prisma.$transaction(async (tx) => {
      const [before] = await tx.$queryRaw<{ status: string; sending_at: Date | null }[]>`
        SELECT status, sending_at FROM notifications WHERE id = ${claim.id}::uuid FOR UPDATE`
      const reservedAt = before?.status === 'sending' ? before.sending_at : null
      const count = await moveAll(tx, 'notification', 'pending', {
        from: ['sending'],
        orAlready: true,
        where: { id: claim.id, fencingToken: claim.fencingToken },
        data: {
          nextActionAt: at.toJSDate(),
          errorCode: code ?? null,
          ...released,
          ...(tried ? {} : { sendingAt: null }),
          ...(tried || reservedAt === null ? {} : { attempts: { decrement: 1 } }),
        },
      })
      if (count === 0) throw new StaleClaim()
      if (reservedAt !== null) await giveBackInHour(tx, instant(reservedAt))
    }),

  cancel: async (claim, now, reason) =>
    db.prisma.$transaction(async (tx) => {
      const { row, consentStatus } = await lockNotification(tx, claim)
      if (row.status !== 'pending') throw new StaleClaim()
      // The channel put the message off, and meanwhile the consent was paused or quarantined. The message then
      // comes back with the consent, like the messages that were `pending` when the consent was stopped.
      const errorCode = consentStatus === 'paused' || consentStatus === 'quarantined' ? 'consent-suspended' : null
      await moveOne(tx, 'notification', row, 'cancelled', {
        data: { nextActionAt: null, ...released, errorCode },
      })
      await appendEvent(tx, row.consentId, {
        type: 'message.cancelled',
        at: now,
        actor: 'system',
        reason,
        data: { rung: row.rung, notification_id: row.id },
      })
    }),

  reviveFailed: async (claim, now) => {
    const count = await moveAll(db.prisma, 'notification', 'pending', {
      from: ['failed'],
      where: { id: claim.id, fencingToken: claim.fencingToken },
      data: { nextActionAt: now.toJSDate(), errorCode: null, attempts: 0 },
    })
    if (count === 0) throw new StaleClaim()
  },
})

/**
 * Locks the message of the claim, after its consent and renewal, and returns what decides whether it may be sent.
 * Throws StaleClaim, which rolls the transaction back.
 */
const lockNotification = async (
  tx: Transaction,
  claim: Claim,
): Promise<{ row: NotificationRow; consentStatus: string; renewalStatus: string; sameCycle: boolean }> => {
  const found = await tx.notification.findUnique({
    where: { id: claim.id },
    select: { consentId: true, renewalId: true },
  })
  const consent = found === null ? undefined : await lockConsent(tx, found.consentId)
  const renewal = found === null ? undefined : await lockRenewal(tx, found.renewalId)
  await tx.$queryRaw`SELECT 1 FROM notifications WHERE id = ${claim.id}::uuid FOR UPDATE`
  const row = await tx.notification.findUnique({ where: { id: claim.id } })
  if (row === null || consent === undefined || renewal === undefined || row.fencingToken !== claim.fencingToken)
    throw new StaleClaim()
  return { row, consentStatus: consent.status, renewalStatus: renewal.status, sameCycle: consent.cycle === row.cycle }
}

const clockHour = (at: DateTime): Date => at.toUTC().startOf('hour').toJSDate()

/**
 * Takes one of this clock hour's places; false if the cap is reached. The lock of the hour's row makes concurrent
 * senders count one after the other.
 */
const reserveInHour = async (tx: Transaction, now: DateTime, cap: number): Promise<boolean> => {
  const hour = clockHour(now)
  const rows = await tx.$queryRaw<unknown[]>`
    INSERT INTO message_hours AS row (hour, used) SELECT ${hour}, 1 WHERE ${cap} > 0
    ON CONFLICT (hour) DO UPDATE SET used = row.used + 1 WHERE row.used < ${cap}
    RETURNING used`
  return rows.length === 1
}

/**
 * Gives back the place of a message that was certainly not taken, in the clock hour in which it was reserved; that hour
 * may be over.
 */
const giveBackInHour = async (tx: Transaction, reservedAt: DateTime): Promise<void> => {
  await tx.$executeRaw`UPDATE message_hours SET used = used - 1 WHERE hour = ${clockHour(reservedAt)} AND used > 0`
}
