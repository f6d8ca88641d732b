// The encrypted column with a connection's latest access token. Whoever may end that token (a refresh, an exchange, a
// replaced refresh token, the end of the consent) clears it in the same write. A connection of which nobody has asked
// for an access token (token_call_no 0) has none to clear, and costs no statement.
import type { CellAddress } from '../crypto/envelope.ts'
import { Prisma } from '../generated/prisma/client.ts'
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import type { Statements } from './statements.ts'

/** The names are frozen: a value opens only under those that it was sealed with. `version` counts the values. */
export const accessCell = (consentId: string, version: number): CellAddress => ({
  table: 'access_tokens',
  column: 'access_token',
  rowId: consentId,
  version,
})

const clearing = (which: Prisma.Sql): Prisma.Sql =>
  Prisma.sql`UPDATE access_tokens SET access_token = NULL, ends_at = NULL WHERE ${which} AND access_token IS NOT NULL`

/** At most once for a consent in one step, since a statement writes a row once. */
export const clearAccessToken = async (
  tx: Statements,
  { id, tokenCallNo }: Pick<ConsentRow, 'id' | 'tokenCallNo'>,
): Promise<void> => {
  if (tokenCallNo === 0) return
  const statement = clearing(Prisma.sql`consent_id = ${id}::uuid`)
  if (tx.pending === undefined) await tx.$executeRaw(statement)
  else tx.pending.also(statement)
}

/** The same for many consents that an import closes. */
export const clearAccessTokens = async (
  tx: Pick<Statements, '$executeRaw'>,
  consentIds: readonly string[],
): Promise<void> => {
  if (consentIds.length > 0) await tx.$executeRaw(clearing(Prisma.sql`consent_id = ANY(${[...consentIds]}::uuid[])`))
}
