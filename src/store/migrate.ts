// Applies prisma/migrations in order, without the engine that Prisma downloads. Records them in Prisma's own table with
// the same checksums, so that `prisma migrate deploy` and this runner can both be used on one database.
import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Client, escapeIdentifier, inTransaction, placeOf, withConnection } from '../postgres/client.ts'
import { FIRST_SCHEMA, searchPathOf } from '../postgres/session.ts'
import { DatabaseTrouble, NO_SCHEMA } from '../postgres/trouble.ts'
import { Secret } from '../secret.ts'

// The key of the advisory lock, any fixed number: of two runners on one database, the second waits.
const MIGRATION_LOCK = 7_206_351_905

const LEDGER = `
CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id" VARCHAR(36) PRIMARY KEY NOT NULL,
    "checksum" VARCHAR(64) NOT NULL,
    "finished_at" TIMESTAMPTZ,
    "migration_name" VARCHAR(255) NOT NULL,
    "logs" TEXT,
    "rolled_back_at" TIMESTAMPTZ,
    "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "applied_steps_count" INTEGER NOT NULL DEFAULT 0
)`

interface Migration {
  readonly name: string
  readonly sql: string
  readonly checksum: string
}

export const shippedFolder = fileURLToPath(new URL('../../prisma/migrations/', import.meta.url))

/** The migrations that this program ships, oldest first. */
export const readMigrations = async (folder = shippedFolder): Promise<Migration[]> => {
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(folder, name, 'migration.sql'), 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

/**
 * Brings a database up to date, with one transaction for each migration; returns the names of those applied now. Throws
 * if a migration was altered or has failed. The tables go into `schema`, else into the schema that the address names,
 * else into the first schema of the session's search_path; a missing schema is created.
 */
export const migrate = async (url: Secret | string, folder = shippedFolder, schema?: string): Promise<string[]> => {
  const address = typeof url === 'string' ? new Secret(url) : url
  const shipped = await readMigrations(folder)
  const into = schema ?? placeOf(address).address.schema
  return withConnection(address, { applicationName: 'reconsent migrate', schema: into }, async (client) => {
    const applied: string[] = []
    // Applies one migration after the other until none is pending. Which one is next is read under the same lock under
    // which it is applied.
    for (;;) {
      const name = await inTransaction(client, async () => applyNext(client, shipped, into))
      if (name === undefined) return applied
      applied.push(name)
    }
  })
}

const applyNext = async (
  client: Client,
  shipped: readonly Migration[],
  schema: string | undefined,
): Promise<string | undefined> => {
  // The lock belongs to the transaction, not to the session: a pooler lends the session to other clients, and a lock of
  // the session with it.
  await client.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
  await prepareSchema(client, schema)
  await client.query(LEDGER)
  const applied = await appliedMigrations(client)
  const next = shipped.find((migration) => isPending(migration, applied))
  if (next !== undefined) await apply(client, next)
  return next?.name
}

interface TargetSchema {
  readonly name: string | null
  readonly role: string
  readonly there: boolean
  readonly may_make: boolean
  /** NULL if the schema does not exist. */
  readonly may_fill: boolean | null
}
const NO_SCHEMA_FOUND: TargetSchema = { name: null, role: '', there: false, may_make: false, may_fill: null }

/**
 * Creates the schema only if it is missing, because CREATE SCHEMA requires a right on the database even with IF NOT
 * EXISTS. The rest of the transaction uses only this schema.
 */
const prepareSchema = async (client: Client, schema: string | undefined): Promise<void> => {
  const { rows } = await client.query<TargetSchema>(
    `SELECT name, current_user::text AS role, there, has_database_privilege(current_database(), 'CREATE') AS may_make,
       CASE WHEN there THEN has_schema_privilege(name, 'USAGE') AND has_schema_privilege(name, 'CREATE') END AS may_fill
     FROM (SELECT coalesce($1, ${FIRST_SCHEMA}) AS name) AS asked,
       LATERAL (SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = name) AS there) AS found`,
    [schema ?? null],
  )
  const { name, role, there, may_make: mayMake, may_fill: mayFill } = rows[0] ?? NO_SCHEMA_FOUND
  if (name === null) throw new DatabaseTrouble(NO_SCHEMA)
  const [shown, by] = [JSON.stringify(name), JSON.stringify(role)]
  if (mayFill === false) {
    throw new DatabaseTrouble(
      `the role ${by} may not create tables in the schema ${shown} (since PostgreSQL 15, not in "public" ` +
        'either): name another by ?schema= in DATABASE_URL, name the role that owns it in MIGRATE_DATABASE_URL, ' +
        'or GRANT USAGE, CREATE ON SCHEMA to it',
    )
  }
  if (!there && !mayMake)
    throw new DatabaseTrouble(
      `the schema ${shown} is not there, and the role ${by} may not create it: CREATE SCHEMA … AUTHORIZATION ` +
        'this role, as an administrator',
    )
  if (!there) await client.query(`CREATE SCHEMA ${escapeIdentifier(name)}`)
  await client.query(`SET LOCAL search_path TO ${searchPathOf(name)}`)
}

const appliedMigrations = async (client: Client): Promise<Map<string, { checksum: string; finished: boolean }>> => {
  const { rows } = await client.query<{ migration_name: string; checksum: string; finished: boolean }>(
    'SELECT migration_name, checksum, finished_at IS NOT NULL AS finished FROM "_prisma_migrations" WHERE ' +
      'rolled_back_at IS NULL',
  )
  return new Map(rows.map((row) => [row.migration_name, { checksum: row.checksum, finished: row.finished }]))
}

const isPending = (migration: Migration, applied: Map<string, { checksum: string; finished: boolean }>): boolean => {
  const before = applied.get(migration.name)
  if (before === undefined) return true
  if (!before.finished)
    throw new Error(
      `migration ${migration.name} began earlier and did not finish: repair it, then mark it in _prisma_migrations`,
    )
  if (before.checksum !== migration.checksum)
    throw new Error(`migration ${migration.name} was altered after it had been applied`)
  return false
}

const apply = async (client: Client, migration: Migration): Promise<void> => {
  try {
    await client.query(migration.sql)
    await client.query(
      'INSERT INTO "_prisma_migrations" (id, checksum, finished_at, migration_name, applied_steps_count) ' +
        'VALUES ($1, $2, now(), $3, 1)',
      [randomUUID(), migration.checksum, migration.name],
    )
  } catch (error) {
    throw new Error(`migration ${migration.name} failed: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}
