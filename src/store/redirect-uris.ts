// Where banks send users back to, across all consents: what a company imported once may not be what production allows.
import type { Database } from './database.ts'

/** How many open consents (paused and quarantined ones too) have a callback that is not https. */
export const countPlainCallbacks = async ({ prisma }: Database): Promise<number> => {
  const [row] = await prisma.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM consents WHERE redirect_uri !~* '^https://' AND status IN ('active', 'paused',
      'quarantined')`
  return row?.count ?? 0
}

/** Every redirect_uri of open consents, and how many have it: a company has few. */
export const listCallbacks = async ({
  prisma,
}: Database): Promise<readonly { redirectUri: string; consents: number }[]> =>
  prisma.$queryRaw`
    SELECT redirect_uri AS "redirectUri", count(*)::int AS consents FROM consents WHERE status IN ('active', 'paused',
      'quarantined')
    GROUP BY redirect_uri ORDER BY redirect_uri`
