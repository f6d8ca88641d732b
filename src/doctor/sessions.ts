// Checks the database sessions that the program gets: the schema of its tables, whether a pooler lends the session,
// whether it is encrypted. Also shows settings of the role or the database that the program overrides.
import { TLSSocket } from 'node:tls'
import { isLoopback } from '../loopback.ts'
import { type Client, isPooled, placeOf } from '../postgres/client.ts'
import { FIRST_SCHEMA } from '../postgres/session.ts'
import type { Secret } from '../secret.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** The settings, among those that session.ts sets, that people change with ALTER ROLE and ALTER DATABASE. */
const OVERRIDDEN = [
  'timezone',
  'datestyle',
  'intervalstyle',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'search_path',
]

interface AboutSession {
  readonly schema: string | null
  readonly replica: boolean
  readonly there: boolean | null
  readonly may_use: boolean | null
  readonly settings: readonly string[]
}

export const sessionFindings = async (client: Client, url: Secret): Promise<Finding[]> => {
  const { address } = placeOf(url)
  const { rows } = await client.query<AboutSession>(
    `SELECT schema, current_setting('session_replication_role') = 'replica' AS replica,
       (SELECT true FROM pg_namespace WHERE nspname = schema) AS there,
       (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = schema) AS may_use,
       ARRAY(SELECT DISTINCT unnest(setconfig) FROM pg_db_role_setting
         WHERE setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
           AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS settings
     FROM (SELECT coalesce($1, ${FIRST_SCHEMA}) AS schema) AS ours`,
    [address.schema ?? null],
  )
  const { schema = null, there = null, may_use: mayUse = null, settings = [], replica = false } = rows[0] ?? {}
  const overridden = settings.filter(
    (setting) =>
      OVERRIDDEN.includes((setting.split('=')[0] ?? '').toLowerCase()) &&
      (address.schema !== undefined || !setting.startsWith('search_path')),
  )
  const lent = isPooled(url)
    ? 'through a pooler, each transaction with settings of its own'
    : 'directly, in UTC and with settings of its own'
  const remark =
    overridden.length === 0
      ? ''
      : `; the role or database says ${overridden.toSorted().join(', ')}, which does not matter`
  // session_replication_role changes what a statement does, and only a superuser may set it, so the program cannot
  // override it.
  const sessions = replica
    ? fail(
        'sessions',
        'session_replication_role is replica: no trigger guards the events, and none gets into the feed',
        'ALTER ROLE … RESET session_replication_role as a superuser (or ALTER DATABASE, ALTER SYSTEM); then ' +
          'run: reconsent migrate',
      )
    : ok('sessions', `${lent}${remark}`)
  return [aboutSchema({ schema, there, mayUse }, address.schema), sessions, aboutTls(client, url)]
}

const aboutSchema = (
  { schema, there, mayUse }: { schema: string | null; there: boolean | null; mayUse: boolean | null },
  said: string | undefined,
): Finding => {
  if (schema === null)
    return fail(
      'schema',
      "the role's search_path names none that exists and that it may use",
      'name one by ?schema= in DATABASE_URL, then run: reconsent migrate',
    )
  const name = `${schema}, by ${said === undefined ? 'the search_path of the role' : '?schema= of DATABASE_URL'}`
  if (there !== true) return fail('schema', `${name}: it is not there`, 'run: reconsent migrate')
  return mayUse === true
    ? ok('schema', name)
    : fail(
        'schema',
        `${name}: the role may not use it`,
        'run reconsent migrate with the role that owns it in MIGRATE_DATABASE_URL',
      )
}

const aboutTls = (client: Client, url: Secret): Finding => {
  const { tls, host } = placeOf(url).address
  const { stream } = client.connection
  if (!(stream instanceof TLSSocket)) {
    // A host that begins with a slash is the folder of a Unix socket.
    return host.startsWith('/') || isLoopback(host)
      ? ok('database tls', 'none, and none needed on this machine')
      : warn(
          'database tls',
          'none: what is asked and answered can be read on the way',
          'add sslmode=verify-full (and sslrootcert) to DATABASE_URL',
        )
  }
  const version = stream.getProtocol() ?? 'TLS'
  if (tls.verifies === 'host') return ok('database tls', `${version}, certificate and host name verified`)
  if (tls.verifies === 'chain') return ok('database tls', `${version}, certificate verified, its host name not`)
  return warn(
    'database tls',
    `${version}, but nobody checks whose certificate it is`,
    'say sslmode=verify-full, with sslrootcert for an authority of your own',
  )
}
