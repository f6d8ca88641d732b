// Databases that release 0.1.0 itself wrote in other zones than UTC, and for each the same consents recorded in UTC,
// which shows the true instants. How they were made: release-0-1-0/README.md.
import { readFile, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { DateTime } from 'luxon'
import pg from 'pg'
import { inject } from 'vitest'
import { migrate } from '../../src/store/migrate.ts'
import { earlierMigrations } from '../setup/earlier-migrations.ts'

type Row = Record<string, unknown>
type Tables = Readonly<Record<string, readonly Row[]>>

export interface Recorded {
  readonly zones: readonly string[]
  readonly end: DateTime
  readonly tables: Tables
  readonly inUtc: Tables
}

export const recordings = ['new-york', 'kolkata', 'london', 'chatham', 'mixed'] as const
export type RecordingName = (typeof recordings)[number]

export const readRecorded = async (name: RecordingName): Promise<Recorded> => {
  const text = gunzipSync(await readFile(new URL(`release-0-1-0/${name}.json.gz`, import.meta.url))).toString('utf8')
  const { zones, end, tables, inUtc } = JSON.parse(text) as {
    zones: string[]
    end: string
    tables: Tables
    inUtc: Tables
  }
  return { zones, end: DateTime.fromISO(end, { zone: 'utc' }), tables, inUtc }
}

const MIGRATIONS_THEN = ['20261123000000_init', '20261123010000_event_chain', '20261123020000_reading_indexes']

/** Puts the recorded tables into a database with that release's schema, then migrates it; returns its address. */
export const loadRecorded = async ({ tables }: Recorded, { zone }: { zone?: string } = {}): Promise<string> => {
  const url = new URL(inject('postgresUrl'))
  const name = `test_${randomBytes(6).toString('hex')}`
  await run(
    url.href,
    `CREATE DATABASE ${name}`,
    ...(zone === undefined ? [] : [`ALTER DATABASE ${name} SET timezone TO '${zone}'`]),
  )
  url.pathname = `/${name}`
  const folder = await earlierMigrations(MIGRATIONS_THEN)
  await migrate(url.href, folder)
  await rm(folder, { recursive: true })
  for (const [table, rows] of Object.entries(tables)) {
    // Inserted without it, because a consent's successor may come later in the table.
    const columns = Object.keys(rows[0] ?? {}).filter((column) => column !== 'superseded_by_id')
    if (columns.length === 0) continue
    const insert =
      `INSERT INTO ${table} (${columns.join(', ')}) SELECT ${columns.join(', ')} FROM ` +
      `jsonb_populate_recordset(NULL::${table}, $1::jsonb)`
    await run(url.href, [insert, [JSON.stringify(rows)]])
  }
  for (const { id, superseded_by_id: by } of tables['consents'] ?? [])
    if (by != null) await run(url.href, ['UPDATE consents SET superseded_by_id = $1 WHERE id = $2', [by, id]])
  await migrate(url.href)
  return url.href
}

export const run = async (url: string, ...statements: (string | [string, unknown[]])[]): Promise<Row[]> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    let rows: Row[] = []
    for (const statement of statements) {
      const result =
        typeof statement === 'string' ? await client.query<Row>(statement) : await client.query<Row>(...statement)
      rows = result.rows
    }
    return rows
  } finally {
    await client.end()
  }
}

export const readTables = async (url: string): Promise<Tables> => {
  const found: Record<string, Row[]> = {}
  for (const table of [
    'consents',
    'renewals',
    'authorisations',
    'notifications',
    'events',
    'message_hours',
    'provider_failures',
    'open_circuits',
  ]) {
    found[table] = (await run(url, `SELECT to_jsonb(t) AS row FROM ${table} AS t`)).map(({ row }) => row as Row)
  }
  return found
}

/** Every instant under a name that is the same in both recordings: `cred-renews event 3 at`. */
export const instantsOf = (tables: Tables): Map<string, string> => {
  const consents = tables['consents'] ?? []
  const nameOf = new Map<unknown, string>()
  for (const { id, credentials_id: credentialsId } of consents)
    if (String(credentialsId).startsWith('cred-')) nameOf.set(id, String(credentialsId))
  for (const { id, superseded_by_id: by } of consents)
    if (by != null) nameOf.set(by, `${nameOf.get(id) ?? '?'} successor`)
  const events = (tables['events'] ?? []).toSorted((a, b) => Number(a['seq']) - Number(b['seq']))
  const orderOf = new Map<unknown, number>()
  const counted = new Map<unknown, number>()
  for (const { consent_id: consentId, data } of events) {
    const id = (data as Row)['authorisation_id']
    if (id === undefined || orderOf.has(id)) continue
    counted.set(consentId, (counted.get(consentId) ?? 0) + 1)
    orderOf.set(id, counted.get(consentId) ?? 0)
  }
  const names: Record<string, (row: Row) => string> = {
    consents: ({ id }) => nameOf.get(id) ?? '?',
    renewals: ({ consent_id: id, cycle }) => `${nameOf.get(id)} cycle ${String(cycle)}`,
    authorisations: ({ consent_id: of, id }) => `${nameOf.get(of)} authorisation ${orderOf.get(id)}`,
    notifications: ({ consent_id: id, cycle, rung }) => `${nameOf.get(id)} message ${String(cycle)} ${String(rung)}`,
    events: ({ consent_id: id, seq, type }) => `${nameOf.get(id)} event ${String(seq)} ${String(type)}`,
  }
  const found = new Map<string, string>()
  for (const [table, name] of Object.entries(names)) {
    for (const row of tables[table] ?? []) {
      for (const [column, value] of Object.entries(row)) {
        if (/_at$|^at$/.test(column) && typeof value === 'string')
          found.set(`${name(row)} ${column}`, new Date(value).toISOString())
      }
    }
  }
  return found
}

/** Each consent's event types, joined in one text. */
export const eventTypesOf = (tables: Tables): Map<string, string> => {
  const found = new Map<string, string>()
  for (const name of instantsOf(tables).keys()) {
    const [, consent = '', seq = '', type = ''] = /^(.*) event (\d+) (\S+) at$/.exec(name) ?? []
    if (seq !== '') found.set(consent, `${found.get(consent) ?? ''} ${type}`)
  }
  return found
}
