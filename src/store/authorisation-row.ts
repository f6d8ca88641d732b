// The encrypted cells of an authorisation: what is sealed under which name, and the row of a new one.
import type { Prisma } from '../generated/prisma/client.ts'
import { sha256 } from '../crypto/hashing.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Secret } from '../secret.ts'
import type { Transaction } from './database.ts'
import type { NewAuthorisation } from './port.ts'

export const authorisationCells = ['verifier', 'link', 'code', 'access_token', 'new_refresh_token'] as const
export type AuthorisationCell = (typeof authorisationCells)[number]

// Each cell of an authorisation is written once: its version is always 1.
const cell = (column: AuthorisationCell, id: string) => ({ table: 'authorisations', column, rowId: id, version: 1 })

export const sealCell = (vault: Vault, column: AuthorisationCell, id: string, value: Secret): string =>
  vault.seal(value, cell(column, id))
export const openCell = (vault: Vault, column: AuthorisationCell, id: string, sealed: string): Secret =>
  vault.open(sealed, cell(column, id))

/** A state is kept as its SHA-256 only: whoever reads the table cannot play the bank. */
export const stateHash = (state: Secret): Uint8Array<ArrayBuffer> => new Uint8Array(sha256(state.reveal()))

export const authorisationRow = (
  vault: Vault,
  authorisation: NewAuthorisation & { consentId: string; renewalId: string },
): Prisma.AuthorisationUncheckedCreateInput => ({
  id: authorisation.id,
  consentId: authorisation.consentId,
  renewalId: authorisation.renewalId,
  route: authorisation.route,
  stateHash: stateHash(authorisation.state),
  doneId: authorisation.doneId,
  redirectUri: authorisation.redirectUri,
  verifier: sealCell(vault, 'verifier', authorisation.id, authorisation.verifier),
  link: sealCell(vault, 'link', authorisation.id, authorisation.link),
  issuedAt: authorisation.issuedAt.toJSDate(),
  expiresAt: authorisation.expiresAt.toJSDate(),
  nextActionAt: authorisation.expiresAt.toJSDate(),
})

/** Cells that have served. An expired or refused attempt keeps its verifier as long as its cycle takes a code. */
export const clearedSecrets = {
  verifier: null,
  link: null,
  code: null,
  accessToken: null,
  newRefreshToken: null,
} as const

/** No code comes into these cycles any more: the verifiers of attempts that had ended before are forgotten. */
export const clearVerifiers = async (tx: Transaction, renewals: Prisma.AuthorisationWhereInput): Promise<void> => {
  await tx.authorisation.updateMany({
    where: { ...renewals, status: { in: ['expired', 'refused'] }, verifier: { not: null } },
    data: { verifier: null },
  })
}
