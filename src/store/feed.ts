// The feed of events: read by position, from a cursor that proves which events its reader has seen. Cursors of the
// release before this feed are translated to positions.
import type { Prisma } from '../generated/prisma/client.ts'
import { CursorUnknown } from '../errors.ts'
import type { FeedEvent } from './administration-port.ts'
import type { Database } from './database.ts'
import { sequenceEvents } from './event-sequencer.ts'
import { toEvent } from './rows.ts'

interface FeedRow {
  readonly consent_id: string
  readonly credentials_id: string
  readonly seq: number
  readonly type: string
  readonly at: Date
  readonly actor: string
  readonly reason: string | null
  readonly data: Prisma.JsonValue
  readonly hash: string
  readonly position: bigint
  readonly transaction_id: bigint
  readonly place: bigint
  readonly chain: string
}

/**
 * The events after the cursor. If the page is not full, committed events that still wait for their places get them and
 * the page is read again, so that the feed goes on while no scheduler runs.
 */
export const listFeed = async (db: Database, after: string | undefined, limit: number): Promise<FeedEvent[]> => {
  const start = await startOf(db, after)
  const page = await readFrom(db, start, limit)
  if (page.length === limit || (await sequenceEvents(db)) === 0) return page
  return readFrom(db, start, limit)
}

const readFrom = async ({ prisma }: Database, start: bigint, limit: number): Promise<FeedEvent[]> => {
  const rows = await prisma.$queryRaw<FeedRow[]>`
    SELECT event.*, consent.credentials_id, feed.position AS place, feed.chain
    FROM event_positions AS feed
    JOIN events AS event ON event.consent_id = feed.consent_id AND event.seq = feed.seq
    JOIN consents AS consent ON consent.id = feed.consent_id
    WHERE feed.position > ${start}
    ORDER BY feed.position
    LIMIT ${limit}`
  return rows.map((row) => ({
    ...toEvent({
      consentId: row.consent_id,
      seq: row.seq,
      type: row.type,
      at: row.at,
      actor: row.actor,
      reason: row.reason,
      data: row.data,
      hash: row.hash,
      position: row.position,
      transactionId: row.transaction_id,
    }),
    cursor: `${row.place}-${row.chain}`,
    credentialsId: row.credentials_id,
  }))
}

const CURSOR = /^(\d{1,18})-([0-9a-f]{16})$/
const OLD_CURSOR = /^(\d{1,18})\.(\d{1,18})$/

/** The position up to which a reader with this cursor has seen every event. */
const startOf = async (db: Database, cursor: string | undefined): Promise<bigint> => {
  if (cursor === undefined) return 0n
  const [, position, chain] = CURSOR.exec(cursor) ?? []
  if (position !== undefined && chain !== undefined) return startAt(db, BigInt(position), chain)
  const [, transaction, place] = OLD_CURSOR.exec(cursor) ?? []
  if (transaction !== undefined && place !== undefined) return startOfOld(db, BigInt(transaction), BigInt(place))
  throw new RangeError('a cursor is what an earlier event of the feed carried')
}

// The chain identifies all events up to the position, in their order. After a restore or a failover, another event may
// have the position, or other events may come before it; a reader that continued from there would miss those without
// notice.
const startAt = async ({ prisma }: Database, position: bigint, chain: string): Promise<bigint> => {
  const rows = await prisma.$queryRaw<
    { chain: string }[]
  >`SELECT chain FROM event_positions WHERE position = ${position}`
  if (rows[0]?.chain !== chain) throw new CursorUnknown('the feed has no event with this cursor')
  return position
}

/**
 * Translates a cursor of the release before, `<transaction>.<position>`; that release read the feed in the order of
 * these numbers. An event that its reader has not seen may have an earlier place in this feed, because it was committed
 * after events with higher numbers. The reader then starts again before that event, and sees some events twice. This
 * rarely concerns the events that the migration found, because it gave them their places in the old order.
 */
const startOfOld = async (db: Database, transaction: bigint, place: bigint): Promise<bigint> => {
  await sequenceEvents(db)
  const [start] = await db.prisma.$queryRaw<{ known: boolean; position: bigint }[]>`
    WITH known AS (
      SELECT min(feed.position) AS position, count(*) AS events
      FROM events AS event LEFT JOIN event_positions AS feed ON feed.consent_id = event.consent_id AND feed.seq =
        event.seq
      WHERE event.transaction_id = ${transaction} AND event.position = ${place}
    ), reached AS (
      SELECT coalesce(position, (SELECT max(position) FROM event_positions), 0) AS position FROM known
    ), unseen AS (
      SELECT min(feed.position) - 1 AS before
      FROM events AS event JOIN event_positions AS feed ON feed.consent_id = event.consent_id AND feed.seq = event.seq
      WHERE (event.transaction_id, event.position) > (${transaction}, ${place}) AND feed.position < (SELECT position
        FROM reached)
    )
    SELECT known.events > 0 AS known, least(reached.position, unseen.before) AS position FROM known, reached, unseen`
  if (start?.known !== true) throw new CursorUnknown('the feed has no event with this cursor')
  return start.position
}
