// The settings of our sessions, whatever the server, database and role set themselves (postgresql.conf, ALTER DATABASE,
// ALTER ROLE). Each setting here can change what a statement means, or end a statement that should go on. Only names
// and texts; connects to nothing.

export interface Session {
  readonly applicationName: string
  /**
   * The only schema in which unqualified names are looked up; undefined for the search_path that the session came with.
   */
  readonly schema: string | undefined
  /**
   * The longest that a statement may take, and that a transaction may wait for its client; 0: no limit. Milliseconds.
   */
  readonly statementMs: number
  readonly idleInTransactionMs: number
}

/**
 * An SQL expression for the schema to which a session's unqualified names lead: the first schema of its search_path
 * that exists, that the role may use, and that is not one of PostgreSQL's own. current_schema() is not used, because
 * some operators put pg_catalog first, to be safe from tables with the names of its tables. NULL when there is no such
 * schema.
 */
export const FIRST_SCHEMA = `(SELECT name::text
  FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (name, place)
  WHERE name !~ '^pg_|^information_schema$' ORDER BY place LIMIT 1)`

type Settings = Readonly<Record<string, string>>

/**
 * PgBouncer keeps these settings separate for each of its clients when they are startup parameters; it refuses most
 * other startup parameters by default.
 */
const tracked = ({ applicationName }: Session): Settings => ({
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  application_name: applicationName,
})

export const INTERVAL_STYLE = 'iso_8601'

const inTransactions = ({ statementMs, idleInTransactionMs }: Session): Settings => ({
  // This setting comes first, because the session's own timeout may be too short for the others.
  statement_timeout: String(statementMs),
  exit_on_error: 'off',
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  IntervalStyle: INTERVAL_STYLE,
  extra_float_digits: '1',
  bytea_output: 'hex',
  xmlbinary: 'base64',
  array_nulls: 'on',
  transform_null_equals: 'off',
  row_security: 'on',
  check_function_bodies: 'on',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: String(idleInTransactionMs),
})

/**
 * The claims and fences are written for read committed: they look again at a row that another transaction has just
 * changed.
 */
const betweenTransactions: Settings = {
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  idle_session_timeout: '0',
}

/**
 * PostgreSQL accepts any setting with a dot in its name. A pooler that would drop our settings refuses this one, even
 * when it is configured to ignore the usual ones (`ignore_startup_parameters`); so it is detected.
 */
const MARKER = 'reconsent.session'

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
/**
 * PostgreSQL searches `pg_temp` first unless it is named. Temporary tables that other clients left in a lent session
 * would then hide ours.
 */
export const searchPathOf = (schema: string): string => `${quoted(schema)}, pg_temp`
const searchPath = ({ schema }: Session): Settings =>
  schema === undefined ? {} : { search_path: searchPathOf(schema) }
/** Known to PostgreSQL 17 and later only. */
const newer = (major: number | undefined): Settings =>
  major !== undefined && major >= 17 ? { transaction_timeout: '0' } : {}

/**
 * Startup parameters for a session that is ours alone: all settings, at no cost, in the message that opens the session.
 */
export const startupOfOwn = (session: Session, major: number | undefined): Settings => ({
  [MARKER]: 'own',
  ...tracked(session),
  ...inTransactions(session),
  ...betweenTransactions,
  ...searchPath(session),
  ...newer(major),
})

/** Startup parameters for a session that a pooler lends. */
export const startupOfLent = tracked

const setting = ([name, value]: readonly [string, string]): string =>
  name === 'search_path' ? `${name} TO ${value}` : `${name} TO '${value.replaceAll("'", "''")}'`

/**
 * Opens a transaction on a session that other clients use in turn. In the same round trip it sets everything that they
 * may have changed, for this transaction only. None of these statements takes a snapshot, so that SET TRANSACTION may
 * still follow.
 */
export const beginOnLent = (session: Session, major: number | undefined): string => {
  const local = Object.entries({ ...inTransactions(session), ...newer(major), ...searchPath(session) }).map(setting)
  // A role or search_path that another application left in the session must not apply to us.
  const defaults = ['role TO DEFAULT', ...(session.schema === undefined ? ['search_path TO DEFAULT'] : [])]
  return (
    'BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE; ' +
    [...local, ...defaults].map((assignment) => `SET LOCAL ${assignment}`).join('; ')
  )
}

/** The same settings for a whole session that a pooler gives to us until we end it. */
export const settingsOfKept = (session: Session, major: number | undefined): string =>
  Object.entries({ ...inTransactions(session), ...betweenTransactions, ...searchPath(session), ...newer(major) })
    .map((pair) => `SET ${setting(pair)}`)
    .concat('SET role TO DEFAULT')
    .join('; ')
