// Invariant 4, as far as the database can tell: every stored secret decrypts, in its own row and version, with a key
// from ENCRYPTION_KEYS. Only the provider knows whether a token is the last one it issued.
import { DecryptionFailed } from '../crypto/envelope.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import type { Vault } from '../crypto/vault.ts'
import { authorisationCells, openCell } from '../store/authorisation-row.ts'
import { missingKeys } from '../store/cells.ts'
import type { Transaction } from '../store/database.ts'
import { tokenCell } from '../store/refresh-token.ts'
import { type Found, MAX_LISTED, listViolations, type Violation } from './violation.ts'

const PAGE = 1_000
const FIRST = '00000000-0000-0000-0000-000000000000'

/** A value that is not sealed text needs no key; checkCells names its row. */
export const checkKeyIds = async (tx: Transaction, keys: KeyRing): Promise<Violation[]> =>
  listViolations(
    4,
    (await missingKeys({ prisma: tx }, keys))
      .filter(({ keyId }) => keyId !== '')
      .map(({ keyId, cells }) => ({
        record: `key ${keyId}`,
        what: `${cells} stored secrets need it, and it is not in ENCRYPTION_KEYS`,
      })),
  )

const why: Record<DecryptionFailed['cause'], string> = {
  'unknown-key': 'its key is not in ENCRYPTION_KEYS',
  'not-authentic': 'altered, or put back from another row or an older version',
  malformed: 'no sealed text',
}

/** What is wrong with an encrypted value; undefined when it decrypts. */
const judge = (open: () => unknown): string | undefined => {
  try {
    open()
    return undefined
  } catch (error) {
    if (error instanceof DecryptionFailed) return why[error.cause]
    throw error
  }
}

/**
 * Skips quarantined consents: their problem is already known and waits for an operator. `release` checks the refresh
 * token again.
 */
export const checkCells = async (tx: Transaction, vault: Vault): Promise<Violation[]> => {
  const found: Found[] = []
  const note = (table: string, id: string, column: string, problem: string | undefined): void => {
    if (problem !== undefined) found.push({ record: `${table} ${id}`, what: `${column} does not decrypt: ${problem}` })
  }
  for (let after: string | undefined = FIRST; after !== undefined && found.length <= MAX_LISTED;) {
    const rows: { id: string; refresh_token: string; token_version: number }[] = await tx.$queryRaw`
      SELECT id, refresh_token, token_version FROM consents WHERE id > ${after}::uuid AND status <> 'quarantined' ORDER
        BY id LIMIT ${PAGE}`
    for (const row of rows)
      note(
        'consents',
        row.id,
        'refresh_token',
        judge(() => vault.open(row.refresh_token, tokenCell(row.id, row.token_version))),
      )
    after = rows.at(-1)?.id
  }
  for (let after: string | undefined = FIRST; after !== undefined && found.length <= MAX_LISTED;) {
    const rows: ({ id: string } & Record<(typeof authorisationCells)[number], string | null>)[] = await tx.$queryRaw`
      SELECT authorisation.id, verifier, link, code, access_token, pending_refresh_token
      FROM authorisations AS authorisation JOIN consents AS consent ON consent.id = authorisation.consent_id
      WHERE authorisation.id > ${after}::uuid AND consent.status <> 'quarantined'
        AND (verifier IS NOT NULL OR link IS NOT NULL OR code IS NOT NULL OR access_token IS NOT NULL OR
          pending_refresh_token IS NOT NULL)
      ORDER BY authorisation.id LIMIT ${PAGE}`
    for (const row of rows) {
      for (const column of authorisationCells) {
        const sealed = row[column]
        if (sealed !== null)
          note(
            'authorisations',
            row.id,
            column,
            judge(() => openCell(vault, column, row.id, sealed)),
          )
      }
    }
    after = rows.at(-1)?.id
  }
  return listViolations(4, found)
}
