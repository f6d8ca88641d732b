// Syncs: a company sends its whole list in batches, and asks which of our consents were in none. Each function is part
// of the caller's transaction.
import { randomUUID } from 'node:crypto'
import { type DateTime, Duration } from 'luxon'
import type { Policy } from '../domain/policy.ts'
import { judgeSync } from '../domain/sync-verdict.ts'
import { administration } from './administration.ts'
import type { Request, SyncClosed } from './administration-port.ts'
import { within } from './answers.ts'
import { arrayText } from './consent-columns.ts'
import type { Database } from './database.ts'
import { isId } from './ids.ts'
import type { Statements } from './statements.ts'

/** One that nobody closes is forgotten after this time, and so is what a closed one was about. */
const LASTS = Duration.fromObject({ days: 7 })
/** So many are paused by one request: each is a change with its event, and a client does not wait for ever. */
const PAUSED_AT_ONCE = 1000

export const openSync = async (tx: Statements, now: DateTime): Promise<string> => {
  const id = randomUUID()
  await tx.$executeRaw`DELETE FROM syncs WHERE opened_at < ${now.minus(LASTS).toJSDate()}`
  await tx.$executeRaw`INSERT INTO syncs (id, opened_at) VALUES (${id}::uuid, ${now.toJSDate()})`
  return id
}

/** Notes connections as named; false if there is no such sync, or none that is open. Closing waits for this. */
export const noteInSync = async (tx: Statements, id: string, credentialsIds: readonly string[]): Promise<boolean> => {
  if (!isId(id)) return false
  const open = await tx.$queryRaw<object[]>`
    SELECT id FROM syncs WHERE id = ${id}::uuid AND closed_at IS NULL FOR SHARE`
  if (open.length === 0) return false
  await tx.$executeRaw`
    INSERT INTO sync_entries (sync_id, credentials_id)
    SELECT ${id}::uuid, named FROM unnest(${arrayText([...new Set(credentialsIds)].toSorted())}::text[]) AS named
    ON CONFLICT DO NOTHING`
  return true
}

interface SyncRow {
  readonly openedAt: Date
  readonly active: number | null
  readonly missing: number | null
}
interface MissingRow {
  readonly id: string
  readonly credentialsId: string
  readonly userId: string
}

/**
 * Closes the sync, or looks again at one that is closed: what was counted then decides whether anything may be paused.
 * Undefined if there is no such sync.
 */
export const closeSync = async (
  db: Database,
  tx: Statements,
  policy: Policy,
  id: string,
  { pause, ...request }: Request & { readonly pause: boolean },
): Promise<SyncClosed | undefined> => {
  if (!isId(id)) return undefined
  const [sync] = await tx.$queryRaw<SyncRow[]>`
    SELECT opened_at AS "openedAt", active, missing FROM syncs WHERE id = ${id}::uuid FOR UPDATE`
  if (sync === undefined) return undefined
  const counted =
    sync.active === null || sync.missing === null
      ? await countAndClose(tx, id, sync.openedAt, request.now)
      : { active: sync.active, missing: sync.missing }
  const { share, mayPause } = judgeSync(counted, policy.sync.pauseAtMost)
  const found = await findMissing(tx, id, sync.openedAt)
  const { pauseConsent } = administration(within(db, tx), policy)
  let paused = 0
  if (pause && mayPause)
    for (const consent of found) {
      const { kind } = await pauseConsent(consent.id, request)
      if (kind === 'done') paused += 1
    }
  const left = pause && mayPause ? (await countMissing(tx, id, sync.openedAt)).missing : found.length
  return { ...counted, share, mayPause, paused, left, consents: found }
}

/** A consent that was made after the sync was opened may be newer than the company's list. */
const countMissing = async (
  tx: Statements,
  id: string,
  openedAt: Date,
): Promise<{ active: number; missing: number }> => {
  const [counts] = await tx.$queryRaw<{ active: number; missing: number }[]>`
    SELECT count(*)::int AS active, (count(*) FILTER (WHERE entry.sync_id IS NULL))::int AS missing
    FROM consents AS consent LEFT JOIN sync_entries AS entry
      ON entry.sync_id = ${id}::uuid AND entry.credentials_id = consent.credentials_id
    WHERE consent.status = 'active' AND consent.created_at < ${openedAt}`
  return counts ?? { active: 0, missing: 0 }
}

const countAndClose = async (tx: Statements, id: string, openedAt: Date, now: DateTime) => {
  const { active, missing } = await countMissing(tx, id, openedAt)
  await tx.$executeRaw`
    UPDATE syncs SET closed_at = ${now.toJSDate()}, active = ${active}::int, missing = ${missing}::int
    WHERE id = ${id}::uuid`
  return { active, missing }
}

/** In the order of ids, in which an import locks them, too. */
const findMissing = async (tx: Statements, id: string, openedAt: Date): Promise<MissingRow[]> =>
  tx.$queryRaw<MissingRow[]>`
    SELECT consent.id, consent.credentials_id AS "credentialsId", consent.user_id AS "userId"
    FROM consents AS consent
    WHERE consent.status = 'active' AND consent.created_at < ${openedAt} AND NOT EXISTS (
      SELECT FROM sync_entries AS entry
      WHERE entry.sync_id = ${id}::uuid AND entry.credentials_id = consent.credentials_id)
    ORDER BY consent.id LIMIT ${PAUSED_AT_ONCE}::int`
