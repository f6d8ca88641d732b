// Gives committed events their places in the feed, in batches. The program writes `event_positions` only here; the
// events themselves do not change.
import { withConnection } from '../postgres/client.ts'
import { Secret } from '../secret.ts'
import type { Database } from './database.ts'
import { feedChain, NO_HASH } from './event-hash.ts'
import type { Statements } from './statements.ts'

/**
 * The batch size for a read of the feed that does not wait for the scheduler: more than a page, and done in a fraction
 * of a second.
 */
const BATCH_OF_READER = 2_000

// The first key of the advisory lock. The second key is the table's oid, so that another Reconsent in another schema of
// the same database does not share the lock.
const SEQUENCER_LOCK = 1_720_635

/**
 * Takes up to `most` notes of waiting events and gives those events their places. Returns how many notes were taken:
 * fewer than `most` means that none is left; also 0 while another process is sequencing. If there is nothing to do,
 * this costs one cheap statement.
 */
export const sequenceEvents = async (db: Database, most = BATCH_OF_READER): Promise<number> => {
  const [found] = await db.sql.$queryRaw<{ any: boolean }[]>`SELECT EXISTS (SELECT FROM unsequenced_events) AS any`
  if (found?.any !== true) return 0
  return db.transaction(async (tx) => sequenceBatch(tx, most))
}

// Two sequencers at the same time would compute the same positions. The second would wait at the primary key and then
// fail, so batches commit one after the other, and a reader never goes past a batch that is still to be committed. The
// advisory lock only spares the second sequencer that work. The lock belongs to the transaction, not to the session,
// because a pooler may lend the session. The last position is read by a separate statement, whose snapshot is taken
// after the lock.
const sequenceBatch = async (tx: Statements, most: number): Promise<number> => {
  const [lock] = await tx.$queryRaw<
    { mine: boolean }[]
  >`SELECT pg_try_advisory_xact_lock(${SEQUENCER_LOCK}::int, 'event_positions'::regclass::oid::int) AS mine`
  if (lock?.mine !== true) return 0
  const { notes, events } = await takeWaiting(tx, most)
  if (events.length > 0) await place(tx, events)
  return notes
}

const place = async (tx: Statements, events: readonly WaitingEvent[]): Promise<void> => {
  const [last] = await tx.$queryRaw<
    { position: string; chain: string }[]
  >`SELECT position, chain FROM event_positions ORDER BY position DESC LIMIT 1`
  const chains: string[] = []
  for (const { hash } of events) chains.push(feedChain(chains.at(-1) ?? last?.chain ?? NO_HASH, hash))
  await tx.$executeRaw`
    INSERT INTO event_positions (position, consent_id, seq, chain)
    SELECT ${last?.position ?? '0'}::bigint + place, consent_id, seq, chain
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
 * A note says that a consent has events up to a certain number. All of its events up to that number that come after its
 * last event with a position get their positions now. So a superfluous note does no harm (a restore may bring notes
 * twice), and no event gets a place before an earlier event of its consent. Otherwise the events are in the order in
 * which they were written, by the server's clock, because after a restore the numbers of transactions and sequences are
 * those of another server.
 */
const takeWaiting = async (tx: Statements, most: number): Promise<{ notes: number; events: WaitingEvent[] }> => {
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
 * Adds a note for each event that has neither a position nor a note; returns how many. Such events are left by a
 * restore or a replication that omitted tables or disabled the trigger. Reads all events. Needs the owner's role, and
 * runs after the migrations.
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
