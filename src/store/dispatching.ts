// Dispatch and claim: which worker may work on which record. Leases and dispatch marks use the database's clock, so
// that processes whose clocks differ agree; whether a record is due depends on the caller's clock.
import { Duration } from 'luxon'
import { TransientError } from '../errors.ts'
import { Prisma } from '../generated/prisma/client.ts'
import type { Dispatch } from '../records.ts'
import { later } from './columns.ts'
import type { Database } from './database.ts'
import { factsOf } from './facts.ts'
import { isId } from './ids.ts'
import { type FoundRow, keepFacts } from './kept-facts.ts'
import { moveSql } from './moves.ts'
import type { Claim, Dispatching } from './port.ts'
import { recordTables } from './record-tables.ts'
import { instant } from './rows.ts'

const expiring = moveSql('authorisation', 'expired', { alias: 'authorisations' })

/** A record that changes at every try is one that others work on: the job is tried again. */
const CLAIM_TRIES = 5

const free = Prisma.raw(
  '(queued_until IS NULL OR queued_until <= clock_timestamp()) AND (lease_until IS NULL OR lease_until <= ' +
    'clock_timestamp())',
)

interface DispatchRow {
  readonly id: string
  readonly dispatch_no: number
}

export const dispatching = ({ sql }: Database): Omit<Dispatching, 'purgeAnswers' | 'purgeWebhookTries'> => ({
  // SKIP LOCKED: any number of schedulers can sweep at the same time, and each gets different rows. The dispatch count
  // is part of the job id, so that no job id is used twice. An array, not a join: a plan for any LIMIT would join by
  // reading the whole table.
  dispatchDue: async (kind, now, limit, queuedFor) => {
    const { name, open } = recordTables[kind]
    const rows = await sql.$queryRaw<(DispatchRow & { next_action_at: Date })[]>`
      WITH due AS MATERIALIZED (
        SELECT id FROM ${name}
        WHERE ${open} AND next_action_at <= ${now.toJSDate()} AND ${free}
        ORDER BY next_action_at
        LIMIT ${limit}
        FOR UPDATE SKIP LOCKED
      )
      UPDATE ${name} SET queued_until = ${later(queuedFor)}, dispatch_no = dispatch_no + 1
      WHERE id = ANY(ARRAY(SELECT id FROM due))
      RETURNING id, dispatch_no, next_action_at`
    return rows.toSorted((a, b) => a.next_action_at.getTime() - b.next_action_at.getTime()).map(toDispatch)
  },

  dispatchOne: async (kind, id, queuedFor) => {
    const { name, open } = recordTables[kind]
    const rows = await sql.$queryRaw<DispatchRow[]>`
      UPDATE ${name} SET queued_until = ${later(queuedFor)}, dispatch_no = dispatch_no + 1
      WHERE id = ${id}::uuid AND ${open} AND ${free}
      RETURNING id, dispatch_no`
    return rows.map(toDispatch)[0]
  },

  // Removes only the mark of this dispatch: a later dispatch of the row has another number.
  undispatch: async (kind, dispatched) => {
    const ids = dispatched.map(({ id }) => id)
    const numbers = dispatched.map(({ dispatchNo }) => dispatchNo)
    await sql.$executeRaw`
      UPDATE ${recordTables[kind].name} AS row SET queued_until = NULL
      FROM unnest(${ids}::uuid[], ${numbers}::int[]) AS mine (id, dispatch_no)
      WHERE row.id = mine.id AND row.dispatch_no = mine.dispatch_no`
  },

  // Each claim raises the fencing token: the worker that held the record before, perhaps suspended or cut off, can no
  // longer write. The same statement reads the facts, as they were when it began. If the record was changed since (the
  // statement then waited for its lock), `seen` no longer matches, and the claim is made again, with newer facts.
  claim: async (kind, id, lease) => {
    if (!isId(id)) return { kind: 'missing' }
    const { name } = recordTables[kind]
    const { select, read } = factsOf[kind]
    for (let tries = 0; tries < CLAIM_TRIES; tries += 1) {
      const claimed = await sql.$queryRaw<FoundRow[]>`
        WITH seen AS (SELECT xmin FROM ${name} WHERE id = ${id}::uuid), claimed AS (
          UPDATE ${name} AS row
          SET fencing_token = fencing_token + 1, lease_until = ${later(lease)}, queued_until = NULL
          FROM seen
          WHERE row.id = ${id}::uuid AND row.xmin = seen.xmin
            AND (row.lease_until IS NULL OR row.lease_until <= clock_timestamp())
          RETURNING row.*, row.xmin
        ), facts AS (${select(Prisma.raw('claimed'))})
        SELECT facts.*, claimed.fencing_token FROM facts, claimed`
      const [row] = claimed
      if (row !== undefined) {
        const claim = { kind, id, fencingToken: row['fencing_token'] as number }
        keepFacts(claim, row)
        return { kind: 'claimed', claim, facts: () => read(row) }
      }
      const [held] = await sql.$queryRaw<{ lease_until: Date | null; is_held: boolean }[]>`
        SELECT lease_until, coalesce(lease_until > clock_timestamp(), false) AS is_held
        FROM ${name} WHERE id = ${id}::uuid`
      if (held === undefined) return { kind: 'missing' }
      if (held.is_held && held.lease_until !== null) return { kind: 'held', until: instant(held.lease_until) }
    }
    throw new TransientError('database-unavailable')
  },

  release: async (claim: Claim, queuedFor) => {
    const mark = queuedFor === undefined ? Prisma.raw('queued_until') : later(queuedFor)
    const released = await sql.$executeRaw`
      UPDATE ${recordTables[claim.kind].name} SET queued_until = ${mark}, lease_until = NULL
      WHERE id = ${claim.id}::uuid AND fencing_token = ${claim.fencingToken}`
    return released === 1
  },

  expireAttempts: async (now, limit) => sql.$executeRaw`
    WITH stale AS MATERIALIZED (
      SELECT id FROM authorisations WHERE ${expiring.allowed} AND next_action_at <= ${now.toJSDate()}
      ORDER BY next_action_at LIMIT ${limit} FOR UPDATE SKIP LOCKED
    )
    UPDATE authorisations AS row
    SET ${expiring.sets}, next_action_at = NULL, link = NULL, verifier = CASE WHEN renewals.status IN ('open',
      'lapsed') THEN row.verifier END
    FROM stale, renewals WHERE row.id = stale.id AND renewals.id = row.renewal_id`,

  findStuckCodes: async (receivedBefore, now, limit) => {
    const rows = await sql.$queryRaw<{ id: string }[]>`
      SELECT id FROM authorisations
      WHERE status = 'code_received' AND code_received_at <= ${receivedBefore.toJSDate()} AND next_action_at <=
        ${now.toJSDate()}
        AND (lease_until IS NULL OR lease_until <= clock_timestamp())
      ORDER BY code_received_at LIMIT ${limit}`
    return rows.map(({ id }) => id)
  },

  // Changes the record only if its lease is free: the job that failed may never have had the lease (its claim failed),
  // and the worker that has it is still at work. The fencing token is raised as by a claim, so that a worker whose
  // lease ran out cannot overwrite the date.
  rescheduleRecord: async (kind, id, { now, retryAt, urgentRetryAt, urgentFor }, code) => {
    if (!isId(id)) return
    const { name, open, isUrgent, urgentSince } = recordTables[kind]
    const urgentUntil = Prisma.sql`${urgentSince} + make_interval(secs => ${urgentFor.as('seconds')}::float8)`
    await sql.$executeRaw`
      UPDATE ${name} SET fencing_token = fencing_token + 1, error_code = ${code}, lease_until = NULL,
        queued_until = NULL, next_action_at = greatest(next_action_at,
        CASE WHEN ${isUrgent} AND ${urgentUntil} > ${now.toJSDate()}::timestamptz
          THEN least(${urgentRetryAt.toJSDate()}::timestamptz, ${urgentUntil})
          ELSE ${retryAt.toJSDate()}::timestamptz END)
      WHERE id = ${id}::uuid AND ${open} AND (lease_until IS NULL OR lease_until <= clock_timestamp())`
  },

  recordSweep: async () => {
    await sql.$executeRaw`
      INSERT INTO sweeps (name, last_good_at) VALUES ('sweep', clock_timestamp())
      ON CONFLICT (name) DO UPDATE SET last_good_at = clock_timestamp()`
  },

  sinceLastSweep: async () => {
    const rows = await sql.$queryRaw<{ seconds: number }[]>`
      SELECT extract(epoch FROM clock_timestamp() - last_good_at)::float8 AS seconds FROM sweeps WHERE name = 'sweep'`
    return rows[0] === undefined ? undefined : Duration.fromObject({ seconds: rows[0].seconds })
  },

  countDue: async (kind, now) => {
    const { name, open } = recordTables[kind]
    const rows = await sql.$queryRaw<{ due: string }[]>`
      SELECT count(*) AS due FROM ${name} WHERE ${open} AND next_action_at <= ${now.toJSDate()}`
    return Number(rows[0]?.due ?? 0)
  },
})

const toDispatch = (row: DispatchRow): Dispatch => ({ id: row.id, dispatchNo: row.dispatch_no })
