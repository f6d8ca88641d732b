// Every setting that an operator, a platform or another application may have made for a role or a database, all at
// once: each alone changes the meaning of a statement, or ends a statement that should go on.
import { asOwner, createAppRole } from '../setup/roles.ts'

export const awkwardSettings: Readonly<Record<string, string>> = {
  TimeZone: 'America/New_York',
  DateStyle: 'SQL, DMY',
  IntervalStyle: 'sql_standard',
  client_encoding: 'LATIN1',
  extra_float_digits: '-15',
  bytea_output: 'escape',
  xmlbinary: 'hex',
  standard_conforming_strings: 'off',
  array_nulls: 'off',
  transform_null_equals: 'on',
  default_transaction_isolation: 'serializable',
  default_transaction_read_only: 'on',
  default_transaction_deferrable: 'on',
  row_security: 'off',
  exit_on_error: 'on',
  lock_timeout: '1ms',
  statement_timeout: '1ms',
  idle_in_transaction_session_timeout: '1ms',
  idle_session_timeout: '1ms',
}

/** An additional setting for PostgreSQL 17 and later. */
const newer = { transaction_timeout: '1ms' }

export const settle = async (
  ownerUrl: string,
  whose: string,
  over: Readonly<Record<string, string>> = awkwardSettings,
): Promise<void> => {
  const { rows } = await asOwner(ownerUrl, `SELECT current_setting('server_version_num')::int >= 170000 AS newer`)
  const all = Object.entries({
    ...over,
    ...(over === awkwardSettings && (rows as { newer: boolean }[])[0]?.newer === true ? newer : {}),
  })
  await asOwner(
    ownerUrl,
    ...all.map(([name, value]) => `ALTER ${whose} SET ${name} TO ${name === 'search_path' ? value : `'${value}'`}`),
  )
}

/** The application's role with its rights and every awkward setting. */
export const createAwkwardRole = async (ownerUrl: string): Promise<string> => {
  const url = await createAppRole(ownerUrl)
  await settle(ownerUrl, `ROLE ${new URL(url).username}`)
  return url
}
