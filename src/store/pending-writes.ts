// The writes of one transaction or step that nobody has to wait for: they are collected and sent as one statement. A
// transaction sends them before its next statement that reads or counts, and before its commit; a step sends all at its
// end, and only if what it has read is still so.
import { Prisma } from '../generated/prisma/client.ts'
import { assignments, insertion, type RowKind, tableOf } from './columns.ts'
import type { HashedEvent } from './event-hash.ts'

type WrittenEvent = HashedEvent & { readonly hash: string }

export interface PendingWrites {
  insert(kind: RowKind, id: string, row: object): void
  /**
   * Changes one record, whose lock we hold. `from`: the statuses of which it must have one by then, so that the
   * statement itself refuses any other transition.
   */
  change(kind: RowKind, id: string, changes: object, from?: readonly string[]): void
  event(event: WrittenEvent): void
  /** A statement that touches no record of the writes above. */
  also(statement: Prisma.Sql): void
  /** The same, and it must write one row: if it writes none, the step is refused. */
  alsoOne(statement: Prisma.Sql): void
  isEmpty(): boolean
  /** What has been collected since the last call, as one statement; undefined if there is nothing. */
  take(): PendingStatement | undefined
  /**
   * The same, which is refused with STEP_REFUSED, and writes nothing, if one of these rows is not as it was read. With
   * `returnsRecords` its row has the changed records as `records`, and as `version` the `xmin` that they have now.
   */
  takeIfUnchanged(seen: readonly SeenRow[], returnsRecords: boolean): Prisma.Sql
}

/** A row that was read without a lock. */
export interface SeenRow {
  readonly kind: RowKind
  readonly id: string
  /** Its `xmin`: the transaction that wrote it as it was read. */
  readonly version: string
}

/** How the statement of a step begins, and no other. */
export const STEP_BEGINS = 'WITH unchanged AS'

/** SQLSTATE 40001, serialization_failure: what refuse_step() of the migrations raises. */
export const STEP_REFUSED = '40001'

export interface PendingStatement {
  readonly text: Prisma.Sql
  /**
   * Its only row has a number, `must_0` and so on, for each write that must write one row: a change that names statuses
   * writes none where the record has none of them.
   */
  readonly guarded: number
}

interface Change {
  readonly kind: RowKind
  readonly id: string
  readonly changes: Record<string, unknown>
  readonly from: readonly string[] | undefined
}

const isStep = (value: unknown): value is { increment?: number; decrement?: number } =>
  typeof value === 'object' &&
  value !== null &&
  (Object.hasOwn(value, 'increment') || Object.hasOwn(value, 'decrement'))

/** Two changes of one record in a row: the later values count, and steps add up. */
const merged = (earlier: Record<string, unknown>, later: object): Record<string, unknown> => {
  const all = { ...earlier }
  for (const [field, value] of Object.entries(later)) {
    if (value === undefined) continue
    const before = earlier[field]
    if (!isStep(value) || before === undefined) all[field] = value
    else if (typeof before === 'number') all[field] = before + stepOf(value)
    else if (isStep(before)) all[field] = { increment: stepOf(before) + stepOf(value) }
    else throw new Error(`${field} is counted up from a value that is no number`)
  }
  return all
}

const stepOf = ({ increment = 0, decrement = 0 }: { increment?: number; decrement?: number }): number =>
  increment - decrement

const statusList = (from: readonly string[]): Prisma.Sql =>
  Prisma.raw(`AND status IN (${from.map((status) => `'${status}'`).join(', ')})`)

interface Part {
  readonly text: Prisma.Sql
  /** The kind of the one record that it changes. */
  readonly changes?: RowKind
}

interface Collected {
  /** Each must write one row. */
  readonly musts: readonly Part[]
  readonly others: readonly Part[]
}

export const pendingWrites = (): PendingWrites => {
  const inserts = new Map<string, { kind: RowKind; row: Record<string, unknown> }>()
  const changes = new Map<string, Change>()
  const events: WrittenEvent[] = []
  const others: Prisma.Sql[] = []
  const ones: Prisma.Sql[] = []

  const collect = (): Collected => {
    const all = [...changes.values()]
    const collected = {
      musts: [...all.filter(({ from }) => from !== undefined).map(changeOf), ...ones.map(partOf)],
      others: [
        ...[...inserts.values()].map(({ kind, row }) => partOf(insertion(kind, row))),
        ...all.filter(({ from }) => from === undefined).map(changeOf),
        ...others.map(partOf),
        ...(events.length === 0 ? [] : [partOf(eventsOf(events))]),
      ],
    }
    inserts.clear()
    changes.clear()
    events.length = 0
    others.length = 0
    ones.length = 0
    return collected
  }

  return {
    insert: (kind, id, row) => void inserts.set(id, { kind, row: merged({}, row) }),
    change: (kind, id, given, from) => {
      const made = inserts.get(id)
      if (made !== undefined) {
        inserts.set(id, { kind, row: merged(made.row, given) })
        return
      }
      const before = changes.get(id)
      changes.set(id, { kind, id, changes: merged(before?.changes ?? {}, given), from: before?.from ?? from })
    },
    event: (event) => void events.push(event),
    also: (statement) => void others.push(statement),
    alsoOne: (statement) => void ones.push(statement),
    isEmpty: () => inserts.size + changes.size + events.length + others.length + ones.length === 0,
    take: () => {
      const { musts, others: rest } = collect()
      const [only] = rest
      if (musts.length === 0 && rest.length <= 1) return only && { text: only.text, guarded: 0 }
      const counts = musts.map((_, at) => `(SELECT count(*)::int FROM must_${at}) AS must_${at}`)
      const text = Prisma.sql`WITH ${named({ musts, others: rest })} SELECT ${Prisma.raw(counts.join(', ') || '1')}`
      return { text, guarded: musts.length }
    },
    takeIfUnchanged: (seen, returnsRecords) => {
      const collected = collect()
      // CASE asks in this order, and before anything after it: the rows are locked before anything is written.
      const unfit = [
        'NOT EXISTS (SELECT FROM unchanged)',
        ...collected.musts.map((_, at) => `NOT EXISTS (SELECT FROM must_${at})`),
      ]
      const whens = unfit.map((condition) => `WHEN ${condition} THEN refuse_step()`).join(' ')
      const records = returnsRecords ? recordsOf(collected) : Prisma.empty
      return Prisma.sql`${Prisma.raw(STEP_BEGINS)} (${lockOf(seen)}), ${named(collected, returnsRecords)}
        SELECT CASE ${Prisma.raw(whens)} ELSE 0 END ${records}`
    },
  }
}

const partOf = (text: Prisma.Sql): Part => ({ text })

const named = ({ musts, others }: Collected, returnsRecords = false): Prisma.Sql =>
  Prisma.join([
    ...musts.map((part, at) => {
      const returned = (returnsRecords && returningOf(part)) || Prisma.raw('RETURNING 1')
      return Prisma.sql`${Prisma.raw(`must_${at}`)} AS (${part.text} ${returned})`
    }),
    ...others.map((part, at) => {
      const returned = (returnsRecords && returningOf(part)) || Prisma.empty
      return Prisma.sql`${Prisma.raw(`part_${at}`)} AS (${part.text} ${returned})`
    }),
  ])

const returningOf = ({ changes }: Part): Prisma.Sql | undefined =>
  changes && Prisma.sql`RETURNING to_json(${tableOf[changes]}) AS record`

/** What `named` returns of the records that are changed, and the transaction that has changed them. */
const recordsOf = ({ musts, others }: Collected): Prisma.Sql => {
  const namesOf = (parts: readonly Part[], name: string): readonly string[] =>
    parts.flatMap(({ changes }, at) => (changes === undefined ? [] : [`(SELECT record FROM ${name}_${at})`]))
  const names = [...namesOf(musts, 'must'), ...namesOf(others, 'part')]
  return Prisma.raw(`, json_build_array(${names.join(', ')}) AS records, pg_current_xact_id()::xid::text AS version`)
}

/** Locks the rows, in this order, and finds a row if each is as it was read: whoever has to wait compares then. */
const lockOf = (seen: readonly SeenRow[]): Prisma.Sql => {
  if (seen.length === 0) throw new Error('a step that writes without having read a record')
  const names = seen.map(({ kind }, at) => Prisma.raw(`${kind}_${at}`))
  const tables = seen.map(({ kind }, at) => Prisma.sql`${tableOf[kind]} AS ${names[at]}`)
  const conditions = seen.map(
    ({ id, version }, at) => Prisma.sql`${names[at]}.id = ${id}::uuid AND ${names[at]}.xmin = ${version}::xid`,
  )
  return Prisma.sql`SELECT FROM ${Prisma.join(tables)} WHERE ${Prisma.join(conditions, ' AND ')}
    FOR NO KEY UPDATE OF ${Prisma.join(names)}`
}

const changeOf = ({ kind, id, changes, from }: Change): Part => ({
  text: Prisma.sql`UPDATE ${tableOf[kind]} SET ${assignments(changes)} WHERE id = ${id}::uuid ${
    from === undefined ? Prisma.empty : statusList(from)
  }`,
  changes: kind,
})

const eventsOf = (events: readonly WrittenEvent[]): Prisma.Sql => {
  const rows = events.map(
    ({ consentId, seq, type, at, actor, reason, data, hash }) =>
      Prisma.sql`(${consentId}::uuid, ${seq}::int, ${type}::text, ${at}::timestamptz, ${actor}::text, ${reason}::text,
        ${JSON.stringify(data)}::jsonb, ${hash}::text)`,
  )
  return Prisma.sql`
    INSERT INTO events (consent_id, seq, type, at, actor, reason, data, hash) VALUES ${Prisma.join(rows)}`
}
