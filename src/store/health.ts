// Whether the database is there and has the tables that this release needs.
import type { Database } from './database.ts'
import { readMigrations } from './migrate.ts'

/** Names of shipped migrations that the database does not have. Rejects when the database cannot be asked. */
export const missingMigrations = async ({ prisma }: Database): Promise<string[]> => {
  const shipped = await readMigrations()
  const ledger = await prisma.$queryRaw<
    { there: boolean }[]
  >`SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`
  if (ledger[0]?.there !== true) return shipped.map(({ name }) => name)
  const rows = await prisma.$queryRaw<{ migration_name: string }[]>`
    SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`
  const applied = new Set(rows.map((row) => row.migration_name))
  return shipped.filter(({ name }) => !applied.has(name)).map(({ name }) => name)
}
