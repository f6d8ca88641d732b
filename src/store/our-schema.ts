// In which schema our tables are, before there are any: the address says it, or else the session of the program's own
// role does.
import { placeOf, withConnection } from '../postgres/client.ts'
import type { Secret } from '../secret.ts'

/** The names of a search_path in order, unquoted; `"$user"` is the role. */
const namesIn = (path: string, role: string): string[] =>
  [...path.matchAll(/"((?:[^"]|"")*)"|([^,\s]+)/g)].map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '').map((name) => (name === '$user' ? role : name))

/**
 * Where `migrate` must put the tables, so that the program finds them: undefined where the owner's own session decides,
 * because both are one role or the program's cannot be asked (it may not exist yet). Its search_path may name a schema
 * that is still to be made or granted.
 */
export const schemaToMigrate = async (appUrl: Secret, ownerUrl: Secret): Promise<string | undefined> => {
  const said = placeOf(appUrl).address.schema
  if (said !== undefined || placeOf(appUrl).address.user === placeOf(ownerUrl).address.user) return said
  const path = await withConnection(appUrl, { applicationName: 'reconsent migrate', connectMs: 5_000 }, async (client) => {
    const { rows } = await client.query<{ path: string; role: string }>(`SELECT current_setting('search_path') AS path, current_user::text AS role`)
    return namesIn(rows[0]?.path ?? '', rows[0]?.role ?? '')
  }).catch(() => undefined)
  if (path === undefined) return undefined
  return withConnection(ownerUrl, { applicationName: 'reconsent migrate' }, async (client) => {
    const { rows } = await client.query<{ name: string }>('SELECT nspname AS name FROM pg_namespace WHERE nspname = ANY ($1)', [path])
    const there = rows.map(({ name }) => name)
    return path.find((name) => there.includes(name)) ?? path[0]
  })
}

/**
 * Whether `public` holds an installation of ours while the tables are about to go elsewhere: releases before this one ignored ?schema=, so
 * these may be the tables that are meant.
 */
export const isLeftInPublic = async (ownerUrl: Secret, schema: string | undefined, checksum: string): Promise<boolean> => {
  if (schema === undefined || schema === 'public') return false
  return withConnection(ownerUrl, { applicationName: 'reconsent migrate' }, async (client) => {
    // Not by to_regclass: it fails on a schema that the role may not use.
    const { rows } = await client.query<{ schema: string }>(
      `SELECT nspname AS schema FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
       WHERE relname = '_prisma_migrations' AND nspname IN ('public', $1)`,
      [schema],
    )
    if (rows.length !== 1 || rows[0]?.schema !== 'public') return false
    const found = await client.query('SELECT FROM public._prisma_migrations WHERE checksum = $1', [checksum]).catch(() => undefined)
    return (found?.rowCount ?? 0) > 0
  })
}
