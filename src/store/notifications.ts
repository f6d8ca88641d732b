// The message ledger: reserved before anything is handed over, settled after, never reserved twice.
import type { DateTime } from 'luxon'
import { IN_DOUBT_DELAY } from '../domain/in-progress.ts'
import { checkNotificationTransition } from '../domain/lifecycle.ts'
import type { NotificationStatus } from '../domain/model.ts'
import type { Notification as NotificationRow } from '../generated/prisma/client.ts'
import { type Database, type Transaction, fenced, overtaken } from './database.ts'
import { appendEvent } from './events.ts'
import { lockConsent, lockRenewal } from './locks.ts'
import type { Claim, Notifications, SendingStart } from './port.ts'
import { instant, toNotification } from './rows.ts'
import { getView } from './views.ts'

export const notifications = (db: Database): Notifications => ({
  getNotification: async (id) => {
    const row = await db.prisma.notification.findUnique({ where: { id } })
    const view = row === null ? undefined : await getView(db, row.consentId, row.renewalId)
    return row === null || view === undefined ? undefined : { notification: toNotification(row), view }
  },

  // Under the consent's lock: no message is reserved after a renewal, a stop or a code that came in.
  beginSending: async (claim, now, messagesPerHour) => {
    let answer: SendingStart = { kind: 'not-wanted', reason: 'another worker took over' }
    await fenced(db, async (tx) => {
      const { consentStatus, renewalStatus, sameCycle, row } = await lockNotification(tx, claim)
      if (row.status !== 'pending') {
        // A newer message or a stop cancelled it between the look and now: nobody's mistake.
        answer = { kind: 'not-wanted', reason: `the message is ${row.status}` }
        return
      }
      if (consentStatus !== 'active' || renewalStatus !== 'open' || !sameCycle) {
        answer = { kind: 'not-wanted', reason: `the consent is ${consentStatus}, its renewal ${renewalStatus}` }
        return
      }
      const doubtful = { status: 'unknown', codeReceivedAt: { gt: now.minus(IN_DOUBT_DELAY).toJSDate() } }
      const inFlight = await tx.authorisation.count({
        where: {
          renewalId: row.renewalId,
          OR: [{ status: { in: ['code_received', 'exchanging', 'verifying'] } }, doubtful],
        },
      })
      if (inFlight > 0) {
        answer = { kind: 'in-flight' }
        return
      }
      if (!(await reserveInHour(tx, now, messagesPerHour))) {
        answer = { kind: 'cap-reached' }
        return
      }
      await tx.notification.update({
        where: { id: claim.id },
        data: { status: 'sending', sendingAt: now.toJSDate(), attempts: { increment: 1 } },
      })
      await appendEvent(tx, row.consentId, {
        type: 'message.sending',
        at: now,
        actor: 'system',
        data: { rung: row.rung, notification_id: row.id },
      })
      answer = { kind: 'reserved' }
    })
    return answer
  },

  settleSending: async (claim, result, now, code) =>
    fenced(db, async (tx) => {
      const { row } = await lockNotification(tx, claim)
      checkNotificationTransition(row.status as NotificationStatus, result)
      await tx.notification.update({
        where: { id: claim.id },
        data: {
          status: result,
          nextActionAt: null,
          leaseUntil: null,
          queuedUntil: null,
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
      // The consent is looked at again, so that what is known of its user now stands on it and in every list.
      if (code === 'no-channel') {
        await tx.consent.updateMany({
          where: { id: row.consentId, status: 'active', cycle: row.cycle },
          data: { nextActionAt: now.toJSDate() },
        })
      }
    }),

  // The place in the hour is given back by whoever ends `sending`, with it: once, and not at all by a process that dies
  // before.
  reschedule: async (claim, at, { tried, code }) =>
    fenced(db, async (tx) => {
      const [before] = await tx.$queryRaw<{ status: string; sending_at: Date | null }[]>`
        SELECT status, sending_at FROM notifications WHERE id = ${claim.id}::uuid FOR UPDATE`
      const reservedAt = before?.status === 'sending' ? before.sending_at : null
      const { count } = await tx.notification.updateMany({
        where: { id: claim.id, epoch: claim.epoch, status: { in: ['pending', 'sending'] } },
        data: {
          status: 'pending',
          nextActionAt: at.toJSDate(),
          errorCode: code ?? null,
          leaseUntil: null,
          queuedUntil: null,
          ...(tried ? {} : { sendingAt: null }),
          ...(tried || reservedAt === null ? {} : { attempts: { decrement: 1 } }),
        },
      })
      if (count !== 1) overtaken()
      if (reservedAt !== null) await giveBackInHour(tx, instant(reservedAt))
    }),

  cancel: async (claim, now, reason) =>
    fenced(db, async (tx) => {
      const { row, consentStatus } = await lockNotification(tx, claim)
      if (row.status !== 'pending') overtaken()
      // Put off by the mail server into a pause: it comes back with the consent, as those do that the pause found
      // waiting.
      const errorCode = consentStatus === 'paused' || consentStatus === 'quarantined' ? 'on-hold' : null
      await tx.notification.update({
        where: { id: claim.id },
        data: { status: 'cancelled', nextActionAt: null, leaseUntil: null, queuedUntil: null, errorCode },
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
    const { count } = await db.prisma.notification.updateMany({
      where: { id: claim.id, epoch: claim.epoch, status: 'failed' },
      data: { status: 'pending', nextActionAt: now.toJSDate(), errorCode: null, attempts: 0 },
    })
    return count === 1
  },
})

/** The claimed row with what decides over it, locked in order. */
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
  if (row === null || consent === undefined || renewal === undefined || row.epoch !== claim.epoch) return overtaken()
  return { row, consentStatus: consent.status, renewalStatus: renewal.status, sameCycle: consent.cycle === row.cycle }
}

const clockHour = (at: DateTime): Date => at.toUTC().startOf('hour').toJSDate()

/**
 * One of this clock hour's messages; false when the cap is reached. The row's lock makes concurrent senders count one
 * by one.
 */
const reserveInHour = async (tx: Transaction, now: DateTime, cap: number): Promise<boolean> => {
  const hour = clockHour(now)
  const rows = await tx.$queryRaw<unknown[]>`
    INSERT INTO message_hours AS row (hour, used) SELECT ${hour}, 1 WHERE ${cap} > 0
    ON CONFLICT (hour) DO UPDATE SET used = row.used + 1 WHERE row.used < ${cap}
    RETURNING used`
  return rows.length === 1
}

/** For a message that certainly did not leave: back into the hour it was reserved in, which may be over. */
const giveBackInHour = async (tx: Transaction, reservedAt: DateTime): Promise<void> => {
  await tx.$executeRaw`UPDATE message_hours SET used = used - 1 WHERE hour = ${clockHour(reservedAt)} AND used > 0`
}
