// Reads whole consents with everything that belongs to them, a page at a time, as JSON: in JSON, instants carry their
// offset whatever the session's time zone is. Reads no secret and changes nothing.
import type { Transaction } from '../store/database.ts'
import { FIRST_ID } from '../store/ids.ts'

/** A row, keyed by column name. */
export type Row = Readonly<Record<string, unknown>>

export interface StoredConsent {
  readonly consent: Row
  readonly renewals: readonly Row[]
  readonly authorisations: readonly Row[]
  readonly notifications: readonly Row[]
  readonly events: readonly Row[]
  /** Events of the consents that this one superseded by full authentication, one list per consent. */
  readonly eventsBefore: readonly (readonly Row[])[]
}

export type Reader = Pick<Transaction, '$queryRawUnsafe'>

export const textOf = (row: Row, column: string): string => (typeof row[column] === 'string' ? row[column] : '')
export const numberOf = (row: Row, column: string): number => Number(row[column] ?? 0)
/** Undefined for NULL. */
export const instantOf = (row: Row, column: string): number | undefined =>
  typeof row[column] === 'string' ? Date.parse(row[column]) : undefined
export const dataOf = (event: Row): Row =>
  typeof event['data'] === 'object' && event['data'] !== null ? (event['data'] as Row) : {}

const SECRETS = `'{refresh_token,verifier,link,code,access_token,pending_refresh_token,state_hash}'::text[]`

const rowsOf = async (
  tx: Reader,
  table: string,
  condition: string,
  values: readonly (readonly string[])[],
): Promise<Row[]> => {
  const found = await tx.$queryRawUnsafe<{ row: Row }[]>(
    `SELECT to_jsonb(found) - ${SECRETS} AS row FROM ${table} AS found WHERE ${condition}`,
    ...values,
  )
  return found.map(({ row }) => row)
}

/** Ids of the consents that follow an id, or of the first ones, in their order. */
export const idsAfter = async (tx: Reader, after: string | undefined, limit: number): Promise<string[]> => {
  const rows = await tx.$queryRawUnsafe<{ id: string }[]>(
    'SELECT id::text FROM consents WHERE id > $1::uuid ORDER BY id LIMIT $2::int',
    after ?? FIRST_ID,
    limit,
  )
  return rows.map(({ id }) => id)
}

const CHILDREN = ['renewals', 'authorisations', 'notifications'] as const

export const readConsents = async (tx: Reader, ids: readonly string[]): Promise<StoredConsent[]> => {
  const ofThese = 'consent_id = ANY($1::uuid[])'
  const consents = await rowsOf(tx, 'consents', 'id = ANY($1::uuid[]) ORDER BY id', [ids])
  const events = await rowsOf(tx, 'events', `${ofThese} ORDER BY consent_id, seq`, [ids])
  const [renewals, authorisations, notifications] = [
    new Map<string, Row[]>(),
    new Map<string, Row[]>(),
    new Map<string, Row[]>(),
  ]
  const children = { renewals, authorisations, notifications }
  for (const table of CHILDREN) {
    for (const row of await rowsOf(tx, table, `${ofThese} ORDER BY id`, [ids]))
      add(children[table], textOf(row, 'consent_id'), row)
  }
  const own = new Map<string, Row[]>()
  for (const event of events) add(own, textOf(event, 'consent_id'), event)
  const before = await readBefore(tx, events)
  return consents.map((consent) => {
    const id = textOf(consent, 'id')
    const supersedes = (own.get(id) ?? []).flatMap((event) => dataOf(event)['supersedes'] ?? []).map(String)
    return {
      consent,
      renewals: renewals.get(id) ?? [],
      authorisations: authorisations.get(id) ?? [],
      notifications: notifications.get(id) ?? [],
      events: own.get(id) ?? [],
      eventsBefore: supersedes.map((credentialsId) => before.get(credentialsId) ?? []),
    }
  })
}

/**
 * Events of superseded consents, keyed by credentials_id. The successor's events name the consent that it superseded.
 */
const readBefore = async (tx: Reader, events: readonly Row[]): Promise<Map<string, Row[]>> => {
  const named = events.flatMap((event) => dataOf(event)['supersedes'] ?? []).map(String)
  const found = new Map<string, Row[]>()
  if (named.length === 0) return found
  const consents = await rowsOf(tx, 'consents', 'credentials_id = ANY($1::text[])', [named])
  const credentialsOf = new Map(consents.map((row) => [textOf(row, 'id'), textOf(row, 'credentials_id')]))
  const rows = await rowsOf(tx, 'events', 'consent_id = ANY($1::uuid[]) ORDER BY consent_id, seq', [
    [...credentialsOf.keys()],
  ])
  for (const event of rows) add(found, credentialsOf.get(textOf(event, 'consent_id')) ?? '', event)
  return found
}

const add = <Value>(map: Map<string, Value[]>, key: string, value: Value): void => {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
