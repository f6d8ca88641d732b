// Row locks of another transaction, held as long as a test wants: a race becomes a step that the test waits for, not
// luck.
import pg from 'pg'
import { expect, inject, onTestFinished } from 'vitest'
import type { Database } from '../../src/store/database.ts'

/** Runs the statement in a separate transaction and leaves it open until `commit`, or until the test ends. */
export const holdLocks = async (
  { prisma }: Pick<Database, 'prisma'>,
  statement: string,
  values: readonly unknown[],
) => {
  const [row] = await prisma.$queryRaw<{ name: string }[]>`SELECT current_database() AS name`
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${row?.name ?? ''}`
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  onTestFinished(async () => client.end())
  await client.query('BEGIN')
  await client.query(statement, [...values])
  const waiting = async (): Promise<number> => {
    // Without this, PostgreSQL shows a transaction the same snapshot of the activity until its end.
    await client.query('SELECT pg_stat_clear_snapshot()')
    const { rows } = await client.query<{ waiting: number }>(`
      SELECT count(DISTINCT pid)::int AS waiting FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE NOT granted AND datname = current_database()`)
    return rows[0]?.waiting ?? 0
  }
  return {
    /** Resolves when this number of sessions of this database wait for a lock. */
    untilWaiting: async (sessions: number): Promise<void> =>
      expect.poll(waiting, { timeout: 10_000, interval: 20 }).toBe(sessions),
    commit: async (): Promise<void> => void (await client.query('COMMIT')),
  }
}
