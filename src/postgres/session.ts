// What a session of ours is told, whatever server, database and role say by themselves (postgresql.conf, ALTER
// DATABASE, ALTER ROLE): each setting here can change what a statement means, or end one that should go on. Names and
// texts alone; connects to nothing.

export interface Session {
  readonly applicationName: string
  /** The only one that unqualified names are looked for in; undefined: the search_path that the session came with. */
  readonly schema: string | undefined
  /** The longest a statement may take, and a transaction may wait for its client; 0: no limit. Milliseconds. */
  readonly statementMs: number
  readonly idleInTransactionMs: number
}

/**
 * Where a session's unqualified names lead: the first schema of its search_path that exists, that the role may use, and
 * that is not PostgreSQL's own. Unlike current_schema(): some put pg_catalog first, to be safe from tables named like
 * its. NULL when there is none. An expression of SQL.
 */
export const FIRST_SCHEMA = `(SELECT name::text FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (name,
  place)
  WHERE name !~ '^pg_|^information_schema$' ORDER BY place LIMIT 1)`

type Settings = Readonly<Record<string, string>>

/**
 * PgBouncer keeps these apart for each of its clients when they come as startup parameters; it refuses most others by
 * default.
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
  // First: the session's own may be short.
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
 * Read committed is what the claims and fences are written for: they look again at a row that another transaction has
 * just changed.
 */
const betweenTransactions: Settings = {
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  idle_session_timeout: '0',
}

/**
 * PostgreSQL takes any name with a dot in it; a pooler that would drop our settings refuses this one, even where it is
 * told to ignore the usual ones (`ignore_startup_parameters`), and so is found out.
 */
const MARKER = 'reconsent.session'

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
/** `pg_temp` unless named comes first: temporary tables that others left in a lent session would hide ours. */
export const searchPathOf = (schema: string): string => `${quoted(schema)}, pg_temp`
const searchPath = ({ schema }: Session): Settings =>
  schema === undefined ? {} : { search_path: searchPathOf(schema) }
/** PostgreSQL 17 and later know it. */
const newer = (major: number | undefined): Settings =>
  major !== undefined && major >= 17 ? { transaction_timeout: '0' } : {}

/** For a session that is ours alone: everything, at no cost, in the message that opens it. */
export const startupOfOwn = (session: Session, major: number | undefined): Settings => ({
  [MARKER]: 'own',
  ...tracked(session),
  ...inTransactions(session),
  ...betweenTransactions,
  ...searchPath(session),
  ...newer(major),
})

/** For a session that a pooler lends. */
export const startupOfLent = tracked

const setting = ([name, value]: readonly [string, string]): string =>
  name === 'search_path' ? `${name} TO ${value}` : `${name} TO '${value.replaceAll("'", "''")}'`

/**
 * Opens a transaction on a session that others use in turn: whatever they left is set anew, for this transaction alone,
 * in the same round trip. No word of it takes a snapshot, so that SET TRANSACTION may still follow.
 */
export const beginOnLent = (session: Session, major: number | undefined): string => {
  const local = Object.entries({ ...inTransactions(session), ...newer(major), ...searchPath(session) }).map(setting)
  // What another application acts as, or looks in, must not be ours.
  const defaults = ['role TO DEFAULT', ...(session.schema === undefined ? ['search_path TO DEFAULT'] : [])]
  return (
    'BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE; ' +
    [...local, ...defaults].map((one) => `SET LOCAL ${one}`).join('; ')
  )
}

/** The same for a whole session, where a pooler gives it to us until we end it. */
export const settingsOfKept = (session: Session, major: number | undefined): string =>
  Object.entries({ ...inTransactions(session), ...betweenTransactions, ...searchPath(session), ...newer(major) })
    .map((one) => `SET ${setting(one)}`)
    .concat('SET role TO DEFAULT')
    .join('; ')
