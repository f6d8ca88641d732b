// The refresh tokens that a database holds for one connection: the current one, a candidate that an import brought, and
// those that open attempts keep as pending. A database without the column of candidates has none.
import type { Vault } from '../../src/crypto/vault.ts'
import { openCell } from '../../src/store/authorisation-row.ts'
import { tokenCell } from '../../src/store/refresh-token.ts'

/** The columns of `consents`; read as JSON, so that a column that is not there is null. */
export const TOKEN_COLUMNS =
  "id, refresh_token, token_version, to_jsonb(consents)->>'candidate_token' AS candidate_token, " +
  "(to_jsonb(consents)->>'candidate_version')::int AS candidate_version"

export interface TokenRow {
  readonly id: string
  readonly refresh_token: string
  readonly token_version: number
  readonly candidate_token: string | null
  readonly candidate_version: number | null
}

export interface PendingRow {
  readonly id: string
  readonly pending_refresh_token: string | null
}

type Opening = Pick<Vault, 'open'>

export interface StoredTokens {
  readonly current: string
  readonly candidate: string | undefined
  readonly pending: readonly string[]
}

/** `attempts`: the consent's open ones. Throws where a cell does not decrypt. */
export const storedTokens = (vault: Opening, consent: TokenRow, attempts: readonly PendingRow[]): StoredTokens => {
  const { id: rowId, refresh_token: current, candidate_token: candidate, candidate_version: version } = consent
  const address = { table: 'consents', column: 'candidate_token', rowId, version: version ?? 0 }
  return {
    current: vault.open(current, tokenCell(rowId, consent.token_version)).reveal(),
    candidate: candidate === null ? undefined : vault.open(candidate, address).reveal(),
    pending: attempts.flatMap(({ id, pending_refresh_token: cell }) =>
      cell === null ? [] : [openCell(vault as Vault, 'pending_refresh_token', id, cell).reveal()],
    ),
  }
}
