// Writes a batch of imported rows in one transaction, by a handful of statements. Idempotent: the same batch a second
// time finds nothing to change and writes nothing.
import type { Policy } from '../domain/policy.ts'
import type { ImportRow, Imports, RowResult } from './administration-port.ts'
import type { Database } from './database.ts'
import { classify } from './database-errors.ts'
import { startBatch } from './import-batch.ts'
import { closeCycles, lockForImport, reviveUnreached, writeConsents, writeEvents } from './import-writes.ts'

/** Includes the wait for locks that others hold on a busy system. */
const BATCH_TIMEOUT_MS = 120_000
const TRIES = 5

export const imports = (db: Database, policy: Policy): Imports => ({
  importBatch: async (rows, options) => {
    for (let tried = 1; ; tried += 1) {
      try {
        return await writeBatch(db, policy, rows, options)
      } catch (error) {
        // After a collision the batch is tried again: another import, or a renewal by full authentication, has created
        // or locked one of these connections at the same moment.
        if (tried >= TRIES || !isCollision(error)) throw error
      }
    }
  },
})

const writeBatch = async (
  db: Database,
  policy: Policy,
  rows: readonly ImportRow[],
  options: Parameters<Imports['importBatch']>[1],
): Promise<RowResult[]> =>
  db.prisma.$transaction(
    async (tx) => {
      const ours = await lockForImport(tx, {
        credentialsIds: rows.map((row) => row.credentialsId),
        superseded: rows.flatMap((row) => row.supersedes ?? []),
      })
      const batch = startBatch({ vault: db.vault, policy, ours, ...options })
      const results = rows.map((row) => batch.take(row))
      const now = options.now.toJSDate()
      await writeConsents(tx, batch.changed())
      await closeCycles(tx, batch.repaired(), 'repaired', now)
      await closeCycles(tx, batch.superseded(), 'cancelled', now)
      for (const [channel, ids] of batch.readdressed()) await reviveUnreached(tx, channel, ids, now)
      await writeEvents(tx, batch.events())
      return results
    },
    { timeout: BATCH_TIMEOUT_MS, maxWait: BATCH_TIMEOUT_MS },
  )

/** Another transaction has locked the same rows, or taken the same unique key first. */
const isCollision = (error: unknown): boolean => ['conflict', 'duplicate-key'].includes(classify(error) ?? '')
