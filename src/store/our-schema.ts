// Finds the schema for our tables before there are any: the address names it, or else the session of the program's own
// role decides.
import { type Client, placeOf, withConnection } from '../postgres/client.ts'
import { FIRST_SCHEMA } from '../postgres/session.ts'
import { DatabaseTrouble, NO_SCHEMA } from '../postgres/trouble.ts'
import type { Secret } from '../secret.ts'

/**
 * The schemas that a search_path names, in order and read as PostgreSQL reads them: unquoted names in lower case,
 * `$user` as the role's name. PostgreSQL's own schemas are left out.
 */
const namesIn = (path: string, role: string): string[] =>
  [...path.matchAll(/"((?:[^"]|"")*)"|([^,\s]+)/g)]
    .map(([, quoted, plain = '']) => quoted?.replaceAll('""', '"') ?? plain.toLowerCase())
    .map((name) => (name === '$user' ? role : name))
    .filter((name) => !/^(?:$|pg_|information_schema$)/.test(name))

/**
 * The schema into which `migrate` must put the tables, so that the program finds them there: the one in the program's
 * address; else, of the search_path of the program's role, the first schema that exists, or the first of all, which may
 * still have to be created or granted. The session of the owner decides instead if both addresses have the same role,
 * or if the program's role cannot be asked (it may not exist yet). Undefined if the owner's session has no schema,
 * which `migrate` reports. Throws a DatabaseTrouble if the search_path of the program's role names no schema at all.
 */
export const schemaToMigrate = async (appUrl: Secret, ownerUrl: Secret): Promise<string | undefined> => {
  const { schema: named, user } = placeOf(appUrl).address
  if (named !== undefined) return named
  if (user === placeOf(ownerUrl).address.user) return askOwner(ownerUrl, firstSchema)
  const options = { applicationName: 'reconsent migrate', connectMs: 5_000 }
  const path = await withConnection(appUrl, options, async (client) => {
    const { rows } = await client.query<{ path: string; role: string }>(
      `SELECT current_setting('search_path') AS path, current_user::text AS role`,
    )
    return namesIn(rows[0]?.path ?? '', rows[0]?.role ?? '')
  }).catch(() => undefined)
  if (path === undefined) return askOwner(ownerUrl, firstSchema)
  const [first] = path
  if (first === undefined) throw new DatabaseTrouble(NO_SCHEMA)
  return askOwner(ownerUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'SELECT nspname AS name FROM pg_namespace WHERE nspname = ANY ($1)',
      [path],
    )
    const there = rows.map(({ name }) => name)
    return path.find((name) => there.includes(name)) ?? first
  })
}

const askOwner = async <T>(ownerUrl: Secret, work: (client: Client) => Promise<T>): Promise<T> =>
  withConnection(ownerUrl, { applicationName: 'reconsent migrate' }, work)

const firstSchema = async (client: Client): Promise<string | undefined> => {
  const { rows } = await client.query<{ schema: string | null }>(`SELECT ${FIRST_SCHEMA} AS schema`)
  return rows[0]?.schema ?? undefined
}

/**
 * Whether `public` contains an installation of ours while the tables are about to go into another schema. Earlier
 * releases ignored `?schema=`, so the operator may mean those tables.
 */
export const isLeftInPublic = async (
  ownerUrl: Secret,
  schema: string | undefined,
  checksum: string,
): Promise<boolean> => {
  if (schema === undefined || schema === 'public') return false
  return askOwner(ownerUrl, async (client) => {
    // to_regclass is not used, because it fails for a schema that the role may not use.
    const { rows } = await client.query<{ schema: string }>(
      `SELECT nspname AS schema FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
       WHERE relname = '_prisma_migrations' AND nspname IN ('public', $1)`,
      [schema],
    )
    if (rows.length !== 1 || rows[0]?.schema !== 'public') return false
    const found = await client
      .query('SELECT FROM public._prisma_migrations WHERE checksum = $1', [checksum])
      .catch(() => undefined)
    return (found?.rowCount ?? 0) > 0
  })
}
