// In which schema our tables are, before there are any: the address says it, or else the session of the program's own
// role does.
import { type Client, placeOf, withConnection } from '../postgres/client.ts'
import { FIRST_SCHEMA } from '../postgres/session.ts'
import { DatabaseTrouble, NO_SCHEMA } from '../postgres/trouble.ts'
import type { Secret } from '../secret.ts'

/**
 * The schemas that a search_path names, in order, as PostgreSQL reads it: unquoted names in lower case, `$user` for the
 * role, without PostgreSQL's own.
 */
const namesIn = (path: string, role: string): string[] =>
  [...path.matchAll(/"((?:[^"]|"")*)"|([^,\s]+)/g)]
    .map(([, quoted, plain = '']) => quoted?.replaceAll('""', '"') ?? plain.toLowerCase())
    .map((name) => (name === '$user' ? role : name))
    .filter((name) => !/^(?:$|pg_|information_schema$)/.test(name))

/**
 * Where `migrate` must put the tables, so that the program finds them. Undefined where the owner's own session decides:
 * one role for both finds no schema (which `migrate` says), or the program's role cannot be asked (it may not exist
 * yet). That one's search_path may name a schema that is still to be made or granted. Throws a DatabaseTrouble where it
 * names none at all.
 */
export const schemaToMigrate = async (appUrl: Secret, ownerUrl: Secret): Promise<string | undefined> => {
  const { schema: said, user } = placeOf(appUrl).address
  if (said !== undefined) return said
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
 * Whether `public` holds an installation of ours while the tables are about to go elsewhere: releases before this one
 * ignored ?schema=, so these may be the tables that are meant.
 */
export const isLeftInPublic = async (
  ownerUrl: Secret,
  schema: string | undefined,
  checksum: string,
): Promise<boolean> => {
  if (schema === undefined || schema === 'public') return false
  return askOwner(ownerUrl, async (client) => {
    // Not by to_regclass: it fails on a schema that the role may not use.
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
