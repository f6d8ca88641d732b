// The encrypted columns of an attempt: how their values are sealed and deleted. Also the row of a new attempt.
import { type Authorisation as AuthorisationRow, Prisma } from '../generated/prisma/client.ts'
import { sha256 } from '../crypto/hashing.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Secret } from '../secret.ts'
import { conditions, type Which } from './columns.ts'
import type { NewAuthorisation } from './port.ts'
import type { Statements } from './statements.ts'

/** The statuses of attempts whose code was sent and whose outcome is not known. */
export const unsettled = ['exchanging', 'verifying', 'in_doubt', 'awaiting_date'] as const
/** The same, as the list of an IN. */
export const UNSETTLED = Prisma.raw(`(${unsettled.map((status) => `'${status}'`).join(', ')})`)
export const isUnsettled = ({ status }: { readonly status: string }): boolean =>
  (unsettled as readonly string[]).includes(status)

/**
 * The encrypted columns, each with the name that is sealed into its values. The sealed names, the table's among them,
 * are frozen: a value opens only under the name it was sealed with, whatever its column is called today.
 */
const sealedNames = {
  verifier: 'verifier',
  link: 'link',
  code: 'code',
  access_token: 'access_token',
  pending_refresh_token: 'new_refresh_token',
} as const

export type AuthorisationCell = keyof typeof sealedNames
export const authorisationCells = Object.keys(sealedNames) as readonly AuthorisationCell[]

// The version that an attempt's values are sealed with is always 1, because the row does not count their changes. Most
// columns get one value only. `pending_refresh_token` may get several: a pending token is replaced by the one that its
// refresh brings (replacePendingToken), and the older sealed value would still open in its place.
const cell = (column: AuthorisationCell, id: string) => ({
  table: 'authorisations',
  column: sealedNames[column],
  rowId: id,
  version: 1,
})

export const sealCell = (vault: Vault, column: AuthorisationCell, id: string, value: Secret): string =>
  vault.seal(value, cell(column, id))
export const openCell = (vault: Vault, column: AuthorisationCell, id: string, sealed: string): Secret =>
  vault.open(sealed, cell(column, id))

/** A state is stored only as its SHA-256: somebody who can read the table cannot forge a callback with it. */
export const stateHash = (state: Secret): Uint8Array<ArrayBuffer> => new Uint8Array(sha256(state.reveal()))

export const authorisationRow = (
  vault: Vault,
  authorisation: NewAuthorisation & { consentId: string; renewalId: string },
): Partial<AuthorisationRow> & { readonly id: string } => ({
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

/**
 * Deletes the secrets of an attempt that ends. An attempt that expired or that the bank refused keeps its verifier
 * instead, as long as its cycle accepts a code.
 */
export const clearedSecrets = {
  verifier: null,
  link: null,
  code: null,
  accessToken: null,
  pendingRefreshToken: null,
} as const

/**
 * Deletes the verifiers of expired and refused attempts whose cycles no longer accept a code. Attempts that are
 * superseded in the same step had another status before.
 */
export const clearVerifiers = async (tx: Statements, of: Which<'authorisation'>): Promise<void> => {
  const which = { ...of, status: { in: ['expired', 'refused'] }, verifier: { not: null } }
  const statement = Prisma.sql`UPDATE authorisations SET verifier = NULL WHERE ${conditions(which)}`
  if (tx.pending === undefined) await tx.$executeRaw(statement)
  else tx.pending.also(statement)
}
