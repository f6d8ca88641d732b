// Checks a database against the promises that can be read from it. Reads one snapshot in a read-only transaction, so it
// is safe on a running system, however long it takes. Pages and caps bound its memory.
import type { DateTime, Duration } from 'luxon'
import type { KeyRing } from '../crypto/key-ring.ts'
import type { Database, Transaction } from '../store/database.ts'
import { checkCells, checkKeyIds } from './cells.ts'
import { checkEvents } from './events.ts'
import { checkFeed } from './feed.ts'
import { checkGuard } from './guard.ts'
import { checkDates, checkIntents, checkMessages, checkSuccesses } from './rows.ts'
import type { Violation } from './violation.ts'

export type { Violation }

export interface VerifyOptions {
  readonly now: DateTime
  /** Time between two sweeps. When given, open rows that are overdue by more than two intervals are violations. */
  readonly sweepInterval?: Duration | undefined
  /** Also decrypts every stored secret; needs the keys in `db.vault`. */
  readonly deep?: boolean | undefined
  /** When given, secrets whose key is not among these are violations. */
  readonly keys?: KeyRing | undefined
  /**
   * Whether the application is configured with another role than the one that owns the tables. If not, the role's right
   * to rewrite events is a violation only when it does not own them.
   */
  readonly hasOwnRole?: boolean | undefined
}

/** A large database takes hours; the snapshot is given up after a day. */
const MAX_MS = 24 * 3_600_000

/** Rejects when the database cannot be read. */
export const verify = async (db: Database, options: VerifyOptions): Promise<Violation[]> => {
  const checks: ((tx: Transaction) => Promise<Violation[]>)[] = [
    async (tx) => checkDates(tx, options),
    async (tx) => (options.keys === undefined ? [] : checkKeyIds(tx, options.keys)),
    async (tx) => (options.deep === true ? checkCells(tx, db.vault) : []),
    checkSuccesses,
    checkMessages,
    checkIntents,
    checkEvents,
    async (tx) => checkFeed(tx, options),
    async (tx) => checkGuard(tx, options),
  ]
  return db.prisma.$transaction(
    async (tx) => {
      await tx.$executeRaw`SET TRANSACTION READ ONLY`
      const found: Violation[] = []
      for (const check of checks) found.push(...(await check(tx)))
      return found.toSorted((a, b) => a.invariant - b.invariant)
    },
    { isolationLevel: 'RepeatableRead', timeout: MAX_MS, maxWait: 30_000 },
  )
}
