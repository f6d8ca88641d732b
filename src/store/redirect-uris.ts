// The redirect URIs to which banks send users back, over all open consents: production may not allow one that a company
// imported earlier.
import type { Database } from './database.ts'

/** How many open consents (also paused and quarantined ones) have a redirect URI that is not https. */
export const countPlainCallbacks = async ({ sql }: Database): Promise<number> => {
  const [row] = await sql.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM consents WHERE redirect_uri !~* '^https://' AND status IN ('active', 'paused',
      'quarantined')`
  return row?.count ?? 0
}

/** Each redirect URI of open consents, and how many consents have it. A company has few redirect URIs. */
export const listCallbacks = async ({ sql }: Database): Promise<readonly { redirectUri: string; consents: number }[]> =>
  sql.$queryRaw`
    SELECT redirect_uri AS "redirectUri", count(*)::int AS consents FROM consents WHERE status IN ('active', 'paused',
      'quarantined')
    GROUP BY redirect_uri ORDER BY redirect_uri`
