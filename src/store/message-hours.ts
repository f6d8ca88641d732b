// The cap on messages of a clock hour, and on repeated ones among them: one row an hour, in which all senders meet.
import type { DateTime } from 'luxon'
import { mostRepeats } from '../domain/repeat-decision.ts'
import { Prisma } from '../generated/prisma/client.ts'
import type { Database } from './database.ts'
import type { Notifications } from './port.ts'
import type { Statements } from './statements.ts'

const clockHour = (at: DateTime): Date => at.toUTC().startOf('hour').toJSDate()

const countsOf = async (on: Statements, hour: Date): Promise<{ used: number; repeated: number }> => {
  const rows = await on.$queryRaw<{ used: number; repeated: number }[]>`
    SELECT used, repeated FROM message_hours WHERE hour = ${hour}`
  return rows[0] ?? { used: 0, repeated: 0 }
}

/** That there is a place is believed for so long, so that not every message asks. */
const FREE_FOR_MS = 1_000

/** A look without a lock: whoever begins a message looks again. */
export const lookForPlace = ({ sql }: Database): Notifications['placeInHour'] => {
  let free: { readonly hour: number; readonly used: number; readonly until: number } | undefined
  return async (now, cap, isRepeat) => {
    const hour = clockHour(now)
    if (!isRepeat && free?.hour === hour.getTime() && free.used < cap && performance.now() < free.until) return 'free'
    const { used, repeated } = await countsOf(sql, hour)
    free = { hour: hour.getTime(), used, until: performance.now() + FREE_FOR_MS }
    if (used >= cap) return 'cap-reached'
    // The repetition itself is one of the messages that are begun.
    return isRepeat && repeated >= mostRepeats(used + 1) ? 'repeats-reached' : 'free'
  }
}

/**
 * Takes one of this clock hour's places; false if the cap is reached. The lock of the hour's row makes concurrent
 * senders count one after the other.
 */
export const reserveInHour = async (tx: Statements, now: DateTime, cap: number): Promise<boolean> => {
  const hour = clockHour(now)
  const statement = Prisma.sql`
    INSERT INTO message_hours AS row (hour, used) SELECT ${hour}, 1 WHERE ${cap}::int > 0
    ON CONFLICT (hour) DO UPDATE SET used = row.used + 1 WHERE row.used < ${cap}`
  // A step goes on as if there were a place; if there is none, it is refused, and asked again in a transaction.
  if (tx.seen === undefined) return (await tx.$executeRaw(statement)) === 1
  tx.pending?.alsoOne(statement)
  return true
}

/**
 * Counts a repeat of this clock hour, in which the repeat has a place already; false if no more are allowed. The place
 * holds the lock of the hour's row.
 */
export const reserveRepeat = async (tx: Statements, now: DateTime): Promise<boolean> => {
  const hour = clockHour(now)
  const { used, repeated } = await countsOf(tx, hour)
  if (repeated >= mostRepeats(used)) return false
  await tx.$executeRaw`UPDATE message_hours SET repeated = repeated + 1 WHERE hour = ${hour}`
  return true
}

/**
 * Gives back the place of a message that was certainly not taken, in the clock hour in which it was reserved; that hour
 * may be over.
 */
export const giveBackInHour = async (tx: Statements, reservedAt: DateTime): Promise<void> => {
  await tx.$executeRaw`UPDATE message_hours SET used = used - 1 WHERE hour = ${clockHour(reservedAt)} AND used > 0`
}
