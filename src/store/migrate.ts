// Applies prisma/migrations in order, without Prisma's downloaded engine. Writes Prisma's own ledger table with the same checksums,
// so that `prisma migrate deploy` and this runner may take turns on one database.
import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

// Any fixed number: two runners on one database take turns.
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

/** The migrations this program ships, oldest first. */
export const readMigrations = async (folder = shippedFolder): Promise<Migration[]> => {
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(folder, name, 'migration.sql'), 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

/** Brings a database up to date, one transaction a migration; returns the names applied now. Throws on an altered or failed one. */
export const migrate = async (databaseUrl: string, folder = shippedFolder): Promise<string[]> => {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'reconsent migrate' })
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK])
    await client.query(LEDGER)
    const applied = await appliedMigrations(client)
    const pending = (await readMigrations(folder)).filter((migration) => isPending(migration, applied))
    for (const migration of pending) await apply(client, migration)
    return pending.map((migration) => migration.name)
  } finally {
    await client.end()
  }
}

const appliedMigrations = async (client: pg.Client): Promise<Map<string, { checksum: string; finished: boolean }>> => {
  const { rows } = await client.query<{ migration_name: string; checksum: string; finished: boolean }>(
    'SELECT migration_name, checksum, finished_at IS NOT NULL AS finished FROM "_prisma_migrations" WHERE rolled_back_at IS NULL',
  )
  return new Map(rows.map((row) => [row.migration_name, { checksum: row.checksum, finished: row.finished }]))
}

const isPending = (migration: Migration, applied: Map<string, { checksum: string; finished: boolean }>): boolean => {
  const before = applied.get(migration.name)
  if (before === undefined) return true
  if (!before.finished) throw new Error(`migration ${migration.name} began earlier and did not finish: repair it, then mark it in _prisma_migrations`)
  if (before.checksum !== migration.checksum) throw new Error(`migration ${migration.name} was altered after it had been applied`)
  return false
}

const apply = async (client: pg.Client, migration: Migration): Promise<void> => {
  await client.query('BEGIN')
  try {
    await client.query(migration.sql)
    await client.query(
      `INSERT INTO "_prisma_migrations" (id, checksum, finished_at, migration_name, applied_steps_count) VALUES ($1, $2, now(), $3, 1)`,
      [randomUUID(), migration.checksum, migration.name],
    )
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw new Error(`migration ${migration.name} failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
