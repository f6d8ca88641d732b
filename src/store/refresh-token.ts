// The encrypted column with a connection's refresh token, and the compare-and-set that replaces the token.
import type { DateTime } from 'luxon'
import type { CellAddress } from '../crypto/envelope.ts'
import type { Vault } from '../crypto/vault.ts'
import { PermanentError } from '../errors.ts'
import type { Consent as ConsentRow } from '../generated/prisma/client.ts'
import type { Secret } from '../secret.ts'
import type { Transaction } from './database.ts'
import { appendEvent } from './events.ts'

export const tokenCell = (consentId: string, version: number): CellAddress => ({
  table: 'consents',
  column: 'refresh_token',
  rowId: consentId,
  version,
})

export const sealToken = (vault: Vault, consentId: string, version: number, token: Secret): string =>
  vault.seal(token, tokenCell(consentId, version))

/**
 * Stores a refresh token that the provider has returned, if the stored token still has `version`. False otherwise: an
 * import or another exchange has stored another token meanwhile, which may be newer and must not be overwritten. No
 * token, or the token that is stored already, changes nothing and counts as a success.
 */
export const replaceToken = async (
  tx: Transaction,
  vault: Vault,
  consent: ConsentRow,
  version: number,
  token: Secret | undefined,
  now: DateTime,
): Promise<boolean> => {
  // Stored already: the same token came again, or this call repeats one that was committed and not acknowledged.
  if (token !== undefined && holds(vault, consent, token)) return true
  if (consent.tokenVersion !== version) return false
  if (token === undefined) return true
  const { count } = await tx.consent.updateMany({
    where: { id: consent.id, tokenVersion: version },
    data: {
      refreshToken: sealToken(vault, consent.id, version + 1, token),
      tokenVersion: version + 1,
      updatedAt: now.toJSDate(),
    },
  })
  if (count === 1)
    await appendEvent(tx, consent.id, {
      type: 'token.replaced',
      at: now,
      actor: 'system',
      data: { token_version: version + 1 },
    })
  return count === 1
}

/**
 * Whether the consent has this token already. A stored token that does not decrypt is not worth keeping: any token that
 * comes replaces it.
 */
const holds = (vault: Vault, { id, tokenVersion, refreshToken }: ConsentRow, token: Secret): boolean => {
  try {
    return vault.open(refreshToken, tokenCell(id, tokenVersion)).reveal() === token.reveal()
  } catch (error) {
    if (error instanceof PermanentError) return false
    throw error
  }
}
