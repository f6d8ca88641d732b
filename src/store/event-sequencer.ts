// Gives committed events their place in the feed, in batches. The only writer of `event_positions`; events themselves
// stay as they are.
import { withConnection } from '../postgres/client.ts'
import { Secret } from '../secret.ts'
import type { Database, Transaction } from './database.ts'
import { feedChain, NO_HASH } from './event-hash.ts'

/** For a reader that cannot wait for the scheduler: more than a page, and over in a fraction of a second. */
const BATCH_OF_READER = 2_000

// With the table's own number as the second key: another Reconsent in another schema of the same database is not in the
// way.
const SEQUENCER_LOCK = 1_720_635

/**
 * Takes up to `most` notes of events that wait, and answers how many there were: fewer means that none is left. 0 as
 * well while another process is at it. With nothing to do it is one cheap statement.
 */
export const sequenceEvents = async (db: Database, most = BATCH_OF_READER): Promise<number> => {
  const [found] = await db.prisma.$queryRaw<{ any: boolean }[]>`SELECT EXISTS (SELECT FROM unsequenced_events) AS any`
  if (found?.any !== true) return 0
  return db.prisma.$transaction(async (tx) => sequenceBatch(tx, most))
}

// Two at once would compute the same positions: the second waits at the primary key and fails, so that batches commit
// one after the other and a reader never passes one that is still to come. The lock only saves that work. It ends with
// the transaction: a pooler may lie between. What reads the last position is a statement of its own, whose snapshot is
// younger than the lock.
const sequenceBatch = async (tx: Transaction, most: number): Promise<number> => {
  const [lock] = await tx.$queryRaw<
    { mine: boolean }[]
  >`SELECT pg_try_advisory_xact_lock(${SEQUENCER_LOCK}::int, 'event_positions'::regclass::oid::int) AS mine`
  if (lock?.mine !== true) return 0
  const { notes, events } = await takeWaiting(tx, most)
  if (events.length > 0) await place(tx, events)
  return notes
}

const place = async (tx: Transaction, events: readonly WaitingEvent[]): Promise<void> => {
  const [last] = await tx.$queryRaw<
    { position: bigint; chain: string }[]
  >`SELECT position, chain FROM event_positions ORDER BY position DESC LIMIT 1`
  const chains: string[] = []
  for (const { hash } of events) chains.push(feedChain(chains.at(-1) ?? last?.chain ?? NO_HASH, hash))
  await tx.$executeRaw`
    INSERT INTO event_positions (position, consent_id, seq, chain)
    SELECT ${last?.position ?? 0n}::bigint + place, consent_id, seq, chain
    FROM unnest(${events.map((event) => event.consent_id)}::uuid[], ${events.map(({ seq }) => seq)}::int[],
      ${chains}::text[])
      WITH ORDINALITY AS batch (consent_id, seq, chain, place)`
}

interface WaitingEvent {
  readonly consent_id: string
  readonly seq: number
  readonly hash: string
}

/**
 * A note says that a consent has events up to that number; whatever of them has no position follows from the last one
 * that has. So a note too many does no harm (a restore may bring them twice), and no event comes before an earlier one
 * of its consent. Otherwise they are in the order in which they were written, by the server's clock: numbers of
 * transactions and sequences are another server's after a restore.
 */
const takeWaiting = async (tx: Transaction, most: number): Promise<{ notes: number; events: WaitingEvent[] }> => {
  const rows = await tx.$queryRaw<({ notes: number } & (WaitingEvent | { consent_id: null }))[]>`
    WITH taken AS (
      DELETE FROM unsequenced_events WHERE ctid = ANY(ARRAY(SELECT ctid FROM unsequenced_events LIMIT ${most}))
        RETURNING consent_id, seq, added_at
    ), noted AS (
      SELECT consent_id, max(seq) AS last FROM taken GROUP BY consent_id
    ), written AS (
      SELECT consent_id, seq, min(extract(epoch FROM added_at) * 1000000)::bigint AS at FROM taken GROUP BY consent_id,
        seq
    ), placed AS (
      SELECT event.consent_id, event.seq, event.hash,
        max(ARRAY[coalesce(written.at, 0), event.transaction_id, event.position]) OVER (PARTITION BY event.consent_id
          ORDER BY event.seq) AS place
      FROM noted
      CROSS JOIN LATERAL (SELECT coalesce(max(seq), 0) AS last FROM event_positions WHERE consent_id =
        noted.consent_id) AS known
      JOIN events AS event ON event.consent_id = noted.consent_id AND event.seq > known.last AND event.seq <= noted.last
      LEFT JOIN written ON written.consent_id = event.consent_id AND written.seq = event.seq
    )
    SELECT notes, consent_id, seq, hash FROM (SELECT count(*)::int AS notes FROM taken) AS counted LEFT JOIN placed ON
      true
    ORDER BY place, consent_id, seq`
  return { notes: rows[0]?.notes ?? 0, events: rows.filter((row) => row.consent_id !== null) }
}

/**
 * Notes the events that have neither a position nor a note, and answers how many: of a restore or a replication that
 * left tables out or switched the trigger off. Reads all events: with the owner's role, after the migrations.
 */
export const noteForgottenEvents = async (ownerUrl: Secret | string, schema?: string): Promise<number> =>
  withConnection(
    typeof ownerUrl === 'string' ? new Secret(ownerUrl) : ownerUrl,
    { applicationName: 'reconsent migrate', schema },
    async (client) => (await client.query(FORGOTTEN)).rowCount ?? 0,
  )

const FORGOTTEN = `
  INSERT INTO unsequenced_events (consent_id, seq)
  SELECT event.consent_id, event.seq FROM events AS event
  WHERE NOT EXISTS (SELECT FROM event_positions AS place WHERE place.consent_id = event.consent_id AND place.seq =
    event.seq)
    AND NOT EXISTS (SELECT FROM unsequenced_events AS noted WHERE noted.consent_id = event.consent_id AND noted.seq =
      event.seq)
  ORDER BY event.transaction_id, event.position`
