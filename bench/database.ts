// The PostgreSQL server of a run: a fresh database for each side, and what the server has done for it.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { type EmbeddedDatabase, startEmbeddedPostgres } from '../simulator/embedded/postgres.ts'
import { cpuMsWithChildren, parentOf } from './processes.ts'

export interface DatabaseServer {
  /** Of the postmaster and all its processes, also those that have ended; in milliseconds. */
  cpuMs(): Promise<number>
  create(): Promise<SideDatabase>
  stop(): Promise<void>
}

export interface Work {
  /** Transactions that ended by a commit, statements without BEGIN included, of this database. */
  readonly commits: number
  /** Transactions that wrote something, of the whole server. */
  readonly writes: number
}

/** One statement, whatever its values, on one line. */
export interface Statement {
  readonly text: string
  readonly calls: number
  /** The time that the server took for all its calls, in milliseconds. */
  readonly ms: number
  /** Whether it concerns the queue's own tables. */
  readonly isOfQueue: boolean
}

export interface SideDatabase {
  readonly url: string
  /** A connection of the bench's own. What it does is not counted. */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
  /** Everything that this database has done since it was made, without what the bench did by `query`. */
  work(): Promise<Work>
  /** Counts statements from now on. */
  resetStatements(): Promise<void>
  /**
   * All but BEGIN, COMMIT and the like, the most called first. `queue` is a regular expression that a statement of the
   * queue's own contains.
   */
  statements(queue: string | undefined): Promise<readonly Statement[]>
  /** Writes everything out, so that no side pays for what was written before its time. */
  checkpoint(): Promise<void>
  drop(): Promise<void>
}

/** Marks the bench's own statements, so that they are not counted. */
const OWN = '/* bench */ '

/**
 * A server of its own, durable, with `synchronous_commit` on, as PostgreSQL comes, but for `settings`. Nothing of it is
 * left when this process ends, however it ends.
 */
export const startDatabaseServer = async (settings: Readonly<Record<string, string>> = {}): Promise<DatabaseServer> => {
  const server = await startEmbeddedPostgres({
    durable: true,
    settings: { shared_preload_libraries: 'pg_stat_statements', ...settings },
  })
  const postmaster = await postmasterOf(server)
  return {
    cpuMs: async () => cpuMsWithChildren(postmaster),
    create: async () => createDatabase(server),
    stop: async () => server.stop(),
  }
}

const withClient = async <Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

const postmasterOf = async ({ url }: EmbeddedDatabase): Promise<number> =>
  withClient(url, async (client) => {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    return parentOf(rows[0]?.pid ?? 0)
  })

const createDatabase = async (server: EmbeddedDatabase): Promise<SideDatabase> => {
  const name = `bench_${randomBytes(4).toString('hex')}`
  await withClient(server.url, async (client) => client.query(`CREATE DATABASE ${name}`))
  const url = new URL(server.url)
  url.pathname = `/${name}`
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  let own = 0
  const query: SideDatabase['query'] = async <Row extends pg.QueryResultRow>(
    text: string,
    values: readonly unknown[] = [],
  ) => {
    own += 1
    return (await client.query<Row>(`${OWN}${text}`, [...values])).rows
  }
  await query('CREATE EXTENSION pg_stat_statements')
  return {
    url: url.href,
    query,
    work: async () => {
      // Each connection reports its counts when it is idle, at most once a second; this one at once.
      await query('SELECT pg_stat_force_next_flush()')
      const [row] = await query<{ commits: string; next: string }>(
        `SELECT xact_commit AS commits, pg_snapshot_xmax(pg_current_snapshot()) AS next
         FROM pg_stat_database WHERE datname = current_database()`,
      )
      // The statement that reads the counts is not yet among them.
      return { commits: Number(row?.commits) - (own - 1), writes: Number(row?.next) }
    },
    resetStatements: async () => void (await query('SELECT pg_stat_statements_reset()')),
    statements: async (queue) =>
      query<Statement & pg.QueryResultRow>(
        `SELECT regexp_replace(query, '\\s+', ' ', 'g') AS text, calls::int, total_exec_time AS ms,
           coalesce(query ~* $1, false) AS "isOfQueue"
         FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
         WHERE datname = current_database() AND query NOT LIKE '${OWN}%'
           AND query !~* '^\\s*(BEGIN|START TRANSACTION|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)'
         ORDER BY calls DESC`,
        [queue ?? null],
      ),
    checkpoint: async () => void (await query('CHECKPOINT')),
    drop: async () => {
      await client.end()
      await withClient(server.url, async (admin) => admin.query(`DROP DATABASE ${name} WITH (FORCE)`))
    },
  }
}
