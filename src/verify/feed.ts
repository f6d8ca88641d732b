// The feed of events: its positions have no gap, each names a different event, and their chain follows from the
// events in this order. Every event without a position is noted as waiting for one, and does not wait long while a
// scheduler runs.
import type { Duration } from 'luxon'
import type { Transaction } from '../store/database.ts'
import { feedChain, NO_HASH } from '../store/event-hash.ts'
import { type Found, invariants, MAX_LISTED, listViolations, type Violation } from './violation.ts'

const PAGE = 5_000
/** Longer than any transaction of ours: the note's time is when the event was written, not when it was committed. */
const LATE_SECONDS = 300

interface PlaceRow {
  readonly position: bigint
  readonly consent_id: string
  readonly seq: number
  readonly chain: string
  readonly hash: string | null
}

export const checkFeed = async (
  tx: Transaction,
  { sweepInterval }: { sweepInterval?: Duration | undefined },
): Promise<Violation[]> => [
  ...listViolations(invariants.events, await notNoted(tx)),
  ...listViolations(invariants.events, await leftOut(tx)),
  ...listViolations(invariants.events, sweepInterval === undefined ? [] : await waitingForLong(tx)),
  ...listViolations(invariants.events, await walkPlaces(tx)),
]

// tgtype: 4 INSERT; tgenabled: O(rigin) or A(lways) fires in ordinary sessions.
const notNoted = async (tx: Transaction): Promise<Found[]> => tx.$queryRaw<Found[]>`
  SELECT 'table events' AS record, 'the trigger that notes them for the feed is missing or switched off' AS what
  WHERE NOT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = 'events'::regclass AND tgname = 'events_are_sequenced' AND tgenabled IN ('O', 'A')
      AND tgtype & 4 = 4)`

const leftOut = async (tx: Transaction): Promise<Found[]> => tx.$queryRaw<Found[]>`
  SELECT 'consents ' || event.consent_id AS record, 'event ' || event.seq ||
    ' is left out of the feed: reconsent migrate adds it' AS what
  FROM events AS event
  WHERE NOT EXISTS (
      SELECT FROM event_positions AS place WHERE place.consent_id = event.consent_id AND place.seq = event.seq)
    AND NOT EXISTS (
      SELECT FROM unsequenced_events AS noted WHERE noted.consent_id = event.consent_id AND noted.seq >= event.seq)
  LIMIT ${MAX_LISTED + 1}`

// Events may wait in a database on which no scheduler runs. A sweep after the event was noted shows that a scheduler
// did run.
const waitingForLong = async (tx: Transaction): Promise<Found[]> => tx.$queryRaw<Found[]>`
  SELECT 'consents ' || consent_id AS record, 'event ' || seq || ' has waited for its place in the feed since ' ||
    to_char(added_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') AS what
  FROM unsequenced_events
    JOIN sweeps ON sweeps.name = 'sweep' AND last_good_at > added_at + make_interval(secs => ${LATE_SECONDS})
  LIMIT ${MAX_LISTED + 1}`

/** Reports only the first break, because all later ones follow from it. */
const walkPlaces = async (tx: Transaction): Promise<Found[]> => {
  let [last, chain] = [0n, NO_HASH]
  for (;;) {
    const page = await tx.$queryRaw<PlaceRow[]>`
      SELECT place.position, place.consent_id, place.seq, place.chain, event.hash
      FROM event_positions AS place
        LEFT JOIN events AS event ON event.consent_id = place.consent_id AND event.seq = place.seq
      WHERE place.position > ${last} ORDER BY place.position LIMIT ${PAGE}`
    for (const row of page) {
      chain = feedChain(chain, row.hash ?? '')
      const what = breakAt(row, last, chain)
      if (what !== undefined) return [{ record: `event_positions ${row.position}`, what }]
      last = row.position
    }
    if (page.length < PAGE) return []
  }
}

const breakAt = (
  { position, consent_id: consent, seq, hash, chain }: PlaceRow,
  last: bigint,
  expected: string,
): string | undefined => {
  if (position !== last + 1n) return `the place before it is ${last}`
  if (hash === null) return `its event is gone: ${seq} of consents ${consent}`
  return chain === expected
    ? undefined
    : `event ${seq} of consents ${consent} is not what was placed here, or has others before it: the chain does ` +
        'not follow'
}
