// Checks that the database is reachable, of a usable version, migrated and writable by our role, and that its clock is
// right.
import { type Client, withConnection } from '../postgres/client.ts'
import { DatabaseTrouble, troubleOf } from '../postgres/trouble.ts'
import type { Secret } from '../secret.ts'
import { readMigrations } from '../store/migrate.ts'
import { ABOUT_CONNECTED_ROLE, type AboutRole, tableRights } from '../store/rights.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { sessionFindings } from './sessions.ts'

const OLDEST_POSTGRES = 140_000
/**
 * Leases use the database's clock, but whether something is due depends on ours: a minute of difference makes messages
 * a minute early or late.
 */
const SKEW_WARNS_MS = 5_000
const SKEW_FAILS_MS = 60_000

/** Runs queries on a separate connection; rejects when it cannot connect. */
export const withClient = async <T>(url: Secret, work: (client: Client) => Promise<T>): Promise<T> =>
  withConnection(url, { applicationName: 'reconsent doctor', connectMs: 5_000, statementMs: 60_000 }, work)

/** "could not be used", with a code and our own words, because messages of the driver may contain the address. */
export const unusable = (error: unknown): string => {
  if (error instanceof DatabaseTrouble) return `could not be used: ${error.message}`
  const { code, name } = error as { code?: unknown; name?: unknown }
  const codeOfError = typeof code === 'string' ? code : undefined
  const trouble = troubleOf(error)
  if (trouble === undefined) return `could not be used (${codeOfError ?? String(name)})`
  const shown = trouble.code ?? codeOfError
  return `could not be used${shown === undefined ? '' : ` (${shown})`}: ${trouble.words}`
}

/** Yields findings; returns whether the tables can be used. */
export async function* databaseFindings(url: Secret): AsyncGenerator<Finding, boolean> {
  try {
    const { findings, isUsable } = await withClient(url, async (client) => {
      const about = [...(await aboutServer(client)), ...(await sessionFindings(client, url))]
      const migrations = await aboutMigrations(client)
      const rights = migrations.level === 'ok' ? await aboutRights(client) : []
      return { findings: [...about, migrations, ...rights], isUsable: migrations.level === 'ok' }
    })
    yield* findings
    return isUsable
  } catch (error) {
    yield fail(
      'database',
      unusable(error),
      'check DATABASE_URL, that PostgreSQL runs, and that this machine may reach it',
    )
    return false
  }
}

const aboutServer = async (client: Client): Promise<Finding[]> => {
  const before = Date.now()
  const { rows } = await client.query<{ version: string; number: string; encoding: string; now: Date }>(
    `SELECT current_setting('server_version') AS version, current_setting('server_version_num') AS number,
       current_setting('server_encoding') AS encoding, clock_timestamp() AS now`,
  )
  const row = rows[0]
  if (row === undefined) return []
  // The server read its clock about half-way through the round trip.
  const skew = Math.abs(row.now.getTime() - (before + Date.now()) / 2)
  const version =
    Number(row.number) >= OLDEST_POSTGRES
      ? ok('database', `PostgreSQL ${row.version}`)
      : fail('database', `PostgreSQL ${row.version} is too old`, 'use PostgreSQL 14 or later')
  const advice = 'let both machines take their time from NTP'
  const seconds = `${(skew / 1000).toFixed(1)} s between this machine and the database`
  const clock =
    skew >= SKEW_FAILS_MS
      ? fail('clock', seconds, advice)
      : skew >= SKEW_WARNS_MS
        ? warn('clock', seconds, advice)
        : ok('clock', 'this machine and the database agree')
  // SQL_ASCII stores every byte unchanged, and therefore UTF-8 as well.
  if (['UTF8', 'SQL_ASCII'].includes(row.encoding)) return [version, clock]
  const lacking = `${row.encoding}: a name with letters that it lacks cannot be stored`
  return [version, fail('encoding', lacking, "dump it, create it again with ENCODING 'UTF8', restore it"), clock]
}

const aboutMigrations = async (client: Client): Promise<Finding> => {
  const shipped = await readMigrations()
  const { rows: ledger } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`,
  )
  const advice = 'run: reconsent migrate'
  if (ledger[0]?.there !== true) return fail('migrations', 'none is applied', advice)
  const { rows: applied } = await client.query<{ migration_name: string; checksum: string; finished: boolean }>(
    'SELECT migration_name, checksum, finished_at IS NOT NULL AS finished FROM "_prisma_migrations" WHERE ' +
      'rolled_back_at IS NULL',
  )
  const broken = applied.find((row) => !row.finished)
  if (broken !== undefined)
    return fail(
      'migrations',
      `${broken.migration_name} began and did not finish`,
      'repair it, then mark it in _prisma_migrations',
    )
  const missing = shipped.filter(({ name }) => !applied.some((row) => row.migration_name === name))
  if (missing.length > 0) return fail('migrations', `missing: ${missing.map(({ name }) => name).join(', ')}`, advice)
  const altered = shipped.find(({ name, checksum }) =>
    applied.some((row) => row.migration_name === name && row.checksum !== checksum),
  )
  if (altered !== undefined)
    return fail(
      'migrations',
      `${altered.name} is not the one that was applied`,
      'run the program that the database was migrated with',
    )
  const newer = applied.filter((row) => !shipped.some(({ name }) => name === row.migration_name))
  if (newer.length > 0)
    return warn(
      'migrations',
      `the database has ${newer.length} that this program does not know`,
      'bring this program up to date',
    )
  return ok('migrations', `all ${shipped.length} applied`)
}

const aboutRights = async (client: Client): Promise<Finding[]> => {
  const needed = Object.entries(tableRights).flatMap(([table, rights]) => rights.map((right) => ({ table, right })))
  const { rows } = await client.query<{ name: string }>(
    'SELECT DISTINCT name FROM unnest($1::text[], $2::text[]) AS needed (name, privilege) WHERE NOT ' +
      'has_table_privilege(quote_ident(name), privilege) ORDER BY name',
    [needed.map(({ table }) => table), needed.map(({ right }) => right)],
  )
  const advice =
    'run reconsent migrate with the role that owns the tables in MIGRATE_DATABASE_URL: it grants this one what it needs'
  if (rows.length > 0)
    return [fail('rights', `the role lacks rights on ${rows.map(({ name }) => name).join(', ')}`, advice)]
  const { rows: about } = await client.query<AboutRole>(ABOUT_CONNECTED_ROLE)
  return about[0]?.rewrites === true
    ? [
        warn(
          'rights',
          'the role can rewrite events: only a trigger guards them',
          'give the program a role of its own; the owner belongs in MIGRATE_DATABASE_URL alone',
        ),
      ]
    : [ok('rights', 'as needed; events can be read and added, not changed')]
}
