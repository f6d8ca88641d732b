// All encrypted columns of the database: where they are, and which keys their values need.
import type { KeyRing } from '../crypto/key-ring.ts'
import { Prisma } from '../generated/prisma/client.ts'
import { authorisationCells } from './authorisation-row.ts'
import type { Statements } from './statements.ts'

export interface KeyUse {
  /** Empty for values that are not sealed. */
  readonly keyId: string
  readonly cells: number
}

/** A pool or one transaction. */
type Reader = Pick<Statements, '$queryRaw'>

/**
 * Which keys the stored values need, and how many values need each. Reads all values, which takes seconds for a million
 * consents.
 */
export const keysInUse = async (on: Reader): Promise<KeyUse[]> => {
  const columns = authorisationCells.map(
    (column) =>
      Prisma.sql`UNION ALL SELECT ${keyIdIn(column)} FROM authorisations WHERE ${Prisma.raw(column)} IS NOT NULL`,
  )
  const rows = await on.$queryRaw<{ key_id: string; cells: bigint | string }[]>`
    SELECT key_id, count(*) AS cells
    FROM (SELECT ${keyIdIn('refresh_token')} AS key_id FROM consents UNION ALL
      SELECT ${keyIdIn('candidate_token')} FROM consents WHERE candidate_token IS NOT NULL UNION ALL
      SELECT ${keyIdIn('access_token')} FROM access_tokens WHERE access_token IS NOT NULL
      UNION ALL SELECT ${keyIdIn('secret')} FROM webhook_secrets ${Prisma.join(columns, ' ')}
    ) AS cell
    GROUP BY key_id ORDER BY key_id`
  return rows.map((row) => ({ keyId: row.key_id, cells: Number(row.cells) }))
}

/** The keys that stored values need and the key ring does not have. */
export const missingKeys = async (on: Reader, keys: KeyRing): Promise<KeyUse[]> =>
  (await keysInUse(on)).filter(({ keyId }) => !keys.all.some(({ id }) => id === keyId))

/**
 * An SQL expression for the id of the key that a value is sealed with. Empty for a value that is not sealed: an
 * unencrypted token may contain full stops as well, and no part of it may be shown as a key id.
 */
export const keyIdOfCell = (column: string): string =>
  `coalesce(substring(${column} FROM '^v1[.]([A-Za-z0-9_-]{1,16})[.]'), '')`
/** The same for a query of Prisma. */
export const keyIdIn = (column: string): Prisma.Sql => Prisma.raw(keyIdOfCell(column))
