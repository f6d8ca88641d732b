// What imports did before the field `supersedes` existed: the older of two consents of one user at one bank was closed,
// written as that release wrote it.
import type { DateTime } from 'luxon'
import type { Database } from '../../src/store/database.ts'
import { chainEvent } from '../../src/store/events.ts'
import { moveRow } from '../../src/store/moves.ts'
import { closeCycles, writeConsents, writeEvents } from '../../src/store/import-writes.ts'

export const closeByOldRule = async (
  db: Database,
  pairs: readonly (readonly [olderId: string, newerId: string])[],
  now: DateTime,
): Promise<void> =>
  db.prisma.$transaction(async (tx) => {
    const rows = new Map(
      (await tx.consent.findMany({ where: { id: { in: pairs.flat() } } })).map((row) => [row.id, row]),
    )
    const events = pairs.map(([olderId, newerId]) => {
      const [older, newer] = [rows.get(olderId), rows.get(newerId)]
      if (older === undefined || newer === undefined) throw new Error('no such consent')
      moveRow('consent', older, 'superseded')
      const event = chainEvent(older, {
        type: 'consent.superseded',
        at: now,
        actor: 'company',
        reason: 'a newer consent of the same user at the same bank was imported',
        data: { by: newer.credentialsId },
      })
      Object.assign(older, {
        fencingToken: older.fencingToken + 1,
        leaseUntil: null,
        queuedUntil: null,
        nextActionAt: null,
        nextActionReason: null,
        supersededById: newerId,
        updatedAt: now.toJSDate(),
        eventSeq: event.seq,
        eventHash: event.hash,
      })
      return event
    })
    await writeConsents(
      tx,
      pairs.flatMap(([olderId]) => rows.get(olderId) ?? []),
    )
    await closeCycles(
      tx,
      pairs.map(([olderId]) => olderId),
      'cancelled',
      now.toJSDate(),
    )
    await writeEvents(tx, events)
  })
