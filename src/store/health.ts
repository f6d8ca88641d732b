// Whether the database can be reached and has the tables that this release needs.
import type { Database } from './database.ts'
import { readMigrations } from './migrate.ts'

/**
 * The names of the shipped migrations that are not applied to the database. Rejects when the database cannot be
 * queried.
 */
export const missingMigrations = async ({ sql }: Database): Promise<string[]> => {
  const shipped = await readMigrations()
  const ledger = await sql.$queryRaw<
    { there: boolean }[]
  >`SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`
  if (ledger[0]?.there !== true) return shipped.map(({ name }) => name)
  const rows = await sql.$queryRaw<{ migration_name: string }[]>`
    SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`
  const applied = new Set(rows.map((row) => row.migration_name))
  return shipped.filter(({ name }) => !applied.has(name)).map(({ name }) => name)
}
