// The records that the loop works on, as columns of SQL. Only texts: the statements are run elsewhere.
import type { Duration } from 'luxon'
import {
  type Authorisation,
  type Consent,
  type Notification,
  Prisma,
  type Renewal,
} from '../generated/prisma/client.ts'

/** The data of a write that changes no status. Only moves.ts changes a status, by the tables of transitions. */
export interface NoStatus {
  readonly status?: never
}

export interface Rows {
  readonly consent: Consent
  readonly renewal: Renewal
  readonly authorisation: Authorisation
  readonly notification: Notification
}
export type RowKind = keyof Rows

const fieldsOf: { readonly [Kind in RowKind]: readonly (keyof Rows[Kind] & string)[] } = {
  consent: Object.values(Prisma.ConsentScalarFieldEnum),
  renewal: Object.values(Prisma.RenewalScalarFieldEnum),
  authorisation: Object.values(Prisma.AuthorisationScalarFieldEnum),
  notification: Object.values(Prisma.NotificationScalarFieldEnum),
}

export const tableOf = {
  consent: Prisma.raw('consents'),
  renewal: Prisma.raw('renewals'),
  authorisation: Prisma.raw('authorisations'),
  notification: Prisma.raw('notifications'),
} as const satisfies Record<RowKind, Prisma.Sql>

const columnNames = new Map<string, string>()

/** A column's name, as the schema maps its field. */
export const columnOf = (field: string): string => {
  const known = columnNames.get(field)
  if (known !== undefined) return known
  const name = field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  columnNames.set(field, name)
  return name
}

type JsonRow = Readonly<Record<string, unknown>>
interface ReadField {
  readonly field: string
  readonly column: string
  /** What JSON does not have. */
  readonly read: ((text: string) => unknown) | undefined
}

const instantOf = (text: string): Date => new Date(text)
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.slice('\\x'.length), 'hex'))

const readerOf = (field: string): ReadField['read'] => {
  if (/(?:At|Until|After)$/.test(field)) return instantOf
  return field === 'stateHash' ? bytesOf : undefined
}

const fieldsIn = (kind: RowKind): readonly ReadField[] =>
  fieldsOf[kind].map((field) => ({ field, column: columnOf(field), read: readerOf(field) }))

const readFields: Readonly<Record<RowKind, readonly ReadField[]>> = {
  consent: fieldsIn('consent'),
  renewal: fieldsIn('renewal'),
  authorisation: fieldsIn('authorisation'),
  notification: fieldsIn('notification'),
}

/**
 * A whole record as one column, for a SELECT in which its table has this alias; `recordIn` finds it in the result. As
 * JSON, because a driver that reads some fifty columns one by one takes longer than the rest of the statement.
 */
export const allOf = (alias: string): Prisma.Sql => Prisma.raw(`to_json(${alias}) AS "${alias}"`)

/** The record in a row that was selected by `allOf` with this alias; undefined where an outer join found none. */
export const recordIn = <Kind extends RowKind>(kind: Kind, alias: string, row: JsonRow): Rows[Kind] | undefined => {
  const json = row[alias] as JsonRow | null
  return json === null ? undefined : recordOf(kind, json)
}

/** The records in a list of whole rows (`json_agg`), by which one statement brings them with others; null: none. */
export const recordsIn = <Kind extends RowKind>(kind: Kind, list: unknown): Rows[Kind][] =>
  ((list ?? []) as readonly JsonRow[]).map((json) => recordOf(kind, json))

const recordOf = <Kind extends RowKind>(kind: Kind, json: JsonRow): Rows[Kind] => {
  const record: Record<string, unknown> = {}
  for (const { field, column, read } of readFields[kind]) {
    const value = json[column]
    // A renamed column, after an update that this process has missed.
    if (value === undefined) throw new Error(`a row of the database without the column ${column}`)
    record[field] = read !== undefined && typeof value === 'string' ? read(value) : value
  }
  return record as unknown as Rows[Kind]
}

type Step<Value> = Value extends number ? { readonly increment: number } | { readonly decrement: number } : never

/**
 * New values of fields, or SQL for them; a number may also be counted up or down. A field that is undefined stays as it
 * is.
 */
export type Changes<Kind extends RowKind> = {
  readonly [Field in keyof Rows[Kind]]?: Rows[Kind][Field] | Step<Rows[Kind][Field]> | Prisma.Sql | undefined
} & NoStatus

/** An instant after this time by the database's clock. */
export const later = (duration: Duration): Prisma.Sql =>
  Prisma.sql`clock_timestamp() + make_interval(secs => ${duration.as('seconds')}::float8)`

/** Which records: every field must have this value, one of these, or another than this. */
export type Which<Kind extends RowKind> = {
  readonly [Field in keyof Rows[Kind]]?:
    | Rows[Kind][Field]
    | { readonly in: readonly Rows[Kind][Field][] }
    | { readonly not: Rows[Kind][Field] }
}

const UUIDS = new Set(['id', 'consentId', 'renewalId', 'supersededById'])

const isGiven = ([, value]: [string, unknown]): boolean => value !== undefined
const has = <Name extends string>(value: unknown, name: Name): value is Record<Name, never> =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)

/** The assignments of an UPDATE. */
export const assignments = (changes: object): Prisma.Sql =>
  Prisma.join(
    Object.entries(changes)
      .filter(isGiven)
      .map(([field, value]: [string, unknown]) => {
        const column = Prisma.raw(columnOf(field))
        if (has(value, 'increment')) return Prisma.sql`${column} = ${column} + ${value.increment}::int`
        if (has(value, 'decrement')) return Prisma.sql`${column} = ${column} - ${value.decrement}::int`
        return Prisma.sql`${column} = ${value}`
      }),
  )

/** The condition of an UPDATE. */
export const conditions = (which: object): Prisma.Sql =>
  Prisma.join(
    Object.entries(which)
      .filter(isGiven)
      .map(([field, value]: [string, unknown]) => {
        const column = Prisma.raw(columnOf(field))
        const type = Prisma.raw(UUIDS.has(field) ? '::uuid' : '')
        if (value === null) return Prisma.sql`${column} IS NULL`
        if (has(value, 'in'))
          return Prisma.sql`${column} = ANY(${value.in}${Prisma.raw(UUIDS.has(field) ? '::uuid[]' : '')})`
        if (has(value, 'not')) return Prisma.sql`${column} IS DISTINCT FROM ${value.not}${type}`
        return Prisma.sql`${column} = ${value}${type}`
      }),
    ' AND ',
  )

/** The INSERT of a record. A field that is not given gets the column's default. */
export const insertion = (kind: RowKind, row: object): Prisma.Sql => {
  const given = Object.entries(row).filter(isGiven)
  const names = Prisma.raw(given.map(([field]) => columnOf(field)).join(', '))
  const values = Prisma.join(given.map(([, value]: [string, unknown]) => value))
  return Prisma.sql`INSERT INTO ${tableOf[kind]} (${names}) VALUES (${values})`
}
