// The run's own record of writes: triggers note each claim and each later write with the process that made it. The
// record says which process holds a row now, and finds writes by a process whose fencing token had been overtaken.
// Exists only in the run's own database.
import type { Checked, Violation } from './checked.ts'
import { metWithin } from './obstacles.ts'
import type { Struck } from './struck.ts'

/** How the run itself asks the database. */
export type Sql = <Row>(text: string, values?: unknown[]) => Promise<Row[]>
interface Session {
  readonly sql: Sql
}

const TABLES = ['consents', 'authorisations', 'notifications'] as const

/**
 * Call this once as the owner, after the migrations. A claim raises the fencing token and sets a lease; any other write
 * that raises the fencing token only fences others off.
 */
export const recordWrites = async (sql: Sql): Promise<void> => {
  await sql(`
    CREATE TABLE chaos_writes (
      no bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, place text NOT NULL, row_id uuid NOT NULL, who
        text NOT NULL,
      is_claim boolean NOT NULL, was_leased boolean NOT NULL, token_before int NOT NULL, token_after int NOT NULL,
        status_before text NOT NULL, status_after text NOT NULL
    );
    CREATE INDEX ON chaos_writes (row_id, token_after);
    CREATE FUNCTION chaos_note_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO chaos_writes (at, place, row_id, who, is_claim, was_leased, token_before, token_after, status_before,
        status_after)
      VALUES (clock_timestamp(), TG_TABLE_NAME, NEW.id, current_setting('application_name'),
        NEW.fencing_token = OLD.fencing_token + 1 AND coalesce(NEW.lease_until > clock_timestamp(), false) AND
          NEW.status = OLD.status,
          OLD.lease_until IS NOT NULL, OLD.fencing_token, NEW.fencing_token, OLD.status, NEW.status);
      RETURN NULL;
    END $$`)
  for (const table of TABLES) {
    // Marks of the dispatch are not noted: they are unfenced by design and write nothing else.
    await sql(`CREATE TRIGGER chaos_notes_writes AFTER UPDATE ON ${table} FOR EACH ROW
      WHEN (OLD.fencing_token <> NEW.fencing_token OR OLD.status <> NEW.status OR
        OLD.lease_until IS DISTINCT FROM NEW.lease_until OR OLD.next_action_at IS DISTINCT FROM NEW.next_action_at)
      EXECUTE FUNCTION chaos_note_write()`)
  }
}

/** A record that a process holds now. */
export interface Holding {
  readonly place: (typeof TABLES)[number]
  readonly rowId: string
  readonly fencingToken: number
  readonly who: string
}

/**
 * Exchanges come first, then messages: their last write is certainly refused after a takeover, while a reauth job only
 * gives its lease back.
 */
export const holdingsNow = async ({ sql }: Session): Promise<Holding[]> => {
  const held = TABLES.map(
    (table) => `
    SELECT w.place, w.row_id AS "rowId", w.token_after AS "fencingToken", w.who
    FROM ${table} t JOIN chaos_writes w ON w.row_id = t.id AND w.token_after = t.fencing_token AND w.is_claim
    WHERE t.lease_until > clock_timestamp()`,
  )
  return sql<Holding>(
    `SELECT * FROM (${held.join(' UNION ALL ')}) AS held ORDER BY place <> 'authorisations', place <> ` +
      "'notifications' LIMIT 200",
  )
}

/**
 * Whether another process has claimed this record since. An operator's stop raises the fencing token as well, but is no
 * claim.
 */
export const isOvertaken = async ({ sql }: Session, { place, rowId, fencingToken, who }: Holding): Promise<boolean> => {
  const rows = await sql(
    'SELECT FROM chaos_writes WHERE place = $1 AND row_id = $2 AND is_claim AND token_before = $3 AND who <> ' +
      '$4 LIMIT 1',
    [place, rowId, fencingToken, who],
  )
  return rows.length > 0
}

export interface ForeignWrite {
  readonly place: string
  readonly row_id: string
  readonly who: string
  /** The process whose claim it was. */
  readonly holder: string
  /** False when the claim had been given back: then nobody may write under its fencing token, not even its holder. */
  readonly was_leased: boolean
  readonly fencingToken: number
  readonly status_before: string
  readonly status_after: string
  readonly at: Date
}

export interface Writes {
  readonly fenced: number
  readonly overtakings: number
  readonly foreign: readonly ForeignWrite[]
}

/**
 * Writes that kept the fencing token although another process held the claim, or although the claim had been given
 * back. Only the holder may write under a fencing token, and it gives the claim back with its last write. So a job that
 * was overtaken within its own process (by the timer of codes, say) is seen as well: one of the two jobs writes after
 * the claim was given back. A write that raises the fencing token (a claim, a stop, a closing) overtakes others and is
 * not a write by an overtaken process. Web processes hold no claims, so their writes are left out.
 */
export const readWrites = async ({ sql }: Session): Promise<Writes> => {
  const foreign = await sql<ForeignWrite>(`
    SELECT w.place, w.row_id, w.who, c.who AS holder, w.was_leased, w.token_before AS "fencingToken", w.status_before,
      w.status_after, w.at
    FROM chaos_writes w JOIN chaos_writes c ON c.row_id = w.row_id AND c.token_after = w.token_before AND c.is_claim
    WHERE w.token_after = w.token_before AND w.who LIKE 'worker-%' AND c.who LIKE 'worker-%' AND (w.who <> c.who OR NOT
      w.was_leased) ORDER BY w.no`)
  const [row] = await sql<{ fenced: string; overtakings: string }>(`
    SELECT count(*) FILTER (WHERE NOT is_claim) AS fenced, count(*) FILTER (WHERE is_claim AND EXISTS (
      SELECT FROM chaos_writes c WHERE c.row_id = w.row_id AND c.is_claim AND c.token_after = w.token_before AND c.who
        <> w.who
        AND NOT EXISTS (SELECT FROM chaos_writes e WHERE e.row_id = w.row_id AND e.no > c.no AND e.no < w.no))) AS
          overtakings
    FROM chaos_writes w`)
  return { fenced: Number(row?.fenced ?? 0), overtakings: Number(row?.overtakings ?? 0), foreign }
}

/** Another process claimed a record whose last claim was `holder`'s. */
export interface Takeover {
  readonly row_id: string
  readonly holder: string
  readonly at: Date
}

/**
 * All takeovers, whether or not `holder` still held the record. Where a stop or a closing raised the fencing token in
 * between, the claim takes over from nobody.
 */
export const readTakeovers = async ({ sql }: Session): Promise<Takeover[]> =>
  sql<Takeover>(`
  SELECT w.row_id, c.who AS holder, w.at FROM chaos_writes w
    JOIN chaos_writes c ON c.place = w.place AND c.row_id = w.row_id AND c.is_claim AND c.token_after = w.token_before
    WHERE w.is_claim AND w.who <> c.who ORDER BY w.no`)

/** A token response in hand is stored whoever holds the claim by then: without it the connection would be lost. */
const isTokenResponse = ({ place, status_before: from, status_after: to }: ForeignWrite): boolean =>
  place === 'authorisations' && to === 'verifying' && ['exchanging', 'in_doubt', 'awaiting_date'].includes(from)

/**
 * Messages that are not yet begun are cancelled under the lock of their consent, without a claim: a worker that holds
 * such a message finds it no longer pending.
 */
const isCancelling = ({ place, status_before: from, status_after: to }: ForeignWrite): boolean =>
  place === 'notifications' && from === 'pending' && to === 'cancelled'

/** The time of one statement and the next. */
const LOST_BEFORE_MS = 5_000

/**
 * A holder whose last write was committed, but whose answer was cut off (not only late), writes the outcome once more
 * under its own fencing token: nobody had taken the record over.
 */
const isUnheard = ({ who, holder, was_leased: wasLeased, at }: ForeignWrite, log: readonly Struck[]): boolean =>
  who === holder &&
  !wasLeased &&
  metWithin(log, ['database'], { from: at.getTime() - LOST_BEFORE_MS, to: at.getTime() }).length > 0

export const judgeWrites = ({ fenced, overtakings, foreign }: Writes, log: readonly Struck[]): Checked => {
  const unheard = foreign.filter((one) => isUnheard(one, log)).length
  const excepted = foreign.filter(isTokenResponse)
  const violations = foreign
    .filter((one) => !isTokenResponse(one) && !isCancelling(one) && !isUnheard(one, log))
    .map((one): Violation => ({
      invariant: 11,
      record: `${one.place} ${one.row_id}`,
      what:
        `${one.who} wrote ${one.status_before} → ${one.status_after} at ${one.at.toISOString()} under fencing token ` +
        `${one.fencingToken}, which ${one.holder} ${one.was_leased ? 'held' : 'had given back'}`,
    }))
  return {
    invariant: 11,
    says: 'no write of an overtaken fencing token succeeds',
    looked: fenced,
    violations,
    notes: [
      `${overtakings} records were claimed while another process still held them`,
      ...(excepted.length === 0
        ? []
        : [`${excepted.length} token responses in hand were stored by the overtaken, as they must be`]),
      ...(unheard === 0
        ? []
        : [`${unheard} second writes by a holder that had not heard of its first: the database was failing`]),
    ],
  }
}
