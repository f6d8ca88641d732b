// Every stored secret decrypts, in its own row and version, with a key from ENCRYPTION_KEYS. Only the provider knows
// whether a token is the last one that it issued.
import { DecryptionFailed } from '../crypto/envelope.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import type { Vault } from '../crypto/vault.ts'
import { accessCell } from '../store/access-cache.ts'
import { authorisationCells, openCell } from '../store/authorisation-row.ts'
import { missingKeys } from '../store/cells.ts'
import type { Transaction } from '../store/database.ts'
import { candidateCell, tokenCell } from '../store/refresh-token.ts'
import { webhookSecretCell } from '../store/webhook-secrets.ts'
import { pagesById } from './pages.ts'
import { type Found, invariants, MAX_LISTED, listViolations, type Violation } from './violation.ts'

const PAGE = 1_000

/** A value that is not sealed text needs no key; checkCells names its row. */
export const checkKeyIds = async (tx: Transaction, keys: KeyRing): Promise<Violation[]> =>
  listViolations(
    invariants.secrets,
    (await missingKeys(tx, keys))
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
const problemOf = (open: () => unknown): string | undefined => {
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
  for await (const page of pagesById(async (after) => readTokens(tx, after))) {
    for (const row of page) {
      const { id, refresh_token: sealed, candidate_token: candidate } = row
      note(
        'consents',
        id,
        'refresh_token',
        problemOf(() => vault.open(sealed, tokenCell(id, row.token_version))),
      )
      if (candidate !== null)
        note(
          'consents',
          id,
          'candidate_token',
          problemOf(() => vault.open(candidate, candidateCell(id, row.candidate_version))),
        )
    }
    if (found.length > MAX_LISTED) break
  }
  for await (const page of pagesById(async (after) => readAccessTokens(tx, after))) {
    for (const { id, version, access_token: sealed } of page)
      note(
        'access_tokens',
        id,
        'access_token',
        problemOf(() => vault.open(sealed, accessCell(id, version))),
      )
    if (found.length > MAX_LISTED) break
  }
  for await (const page of pagesById(async (after) => readAttempts(tx, after))) {
    for (const row of page) {
      for (const column of authorisationCells) {
        const sealed = row[column]
        if (sealed !== null)
          note(
            'authorisations',
            row.id,
            column,
            problemOf(() => openCell(vault, column, row.id, sealed)),
          )
      }
    }
    if (found.length > MAX_LISTED) break
  }
  // Of few endpoints, a few secrets each.
  const secrets = await tx.$queryRaw<{ id: string; secret: string }[]>`SELECT id, secret FROM webhook_secrets`
  for (const { id, secret } of secrets)
    note(
      'webhook_secrets',
      id,
      'secret',
      problemOf(() => vault.open(secret, webhookSecretCell(id))),
    )
  return listViolations(invariants.secrets, found)
}

interface TokenRow {
  readonly id: string
  readonly refresh_token: string
  readonly token_version: number
  readonly candidate_token: string | null
  readonly candidate_version: number
}

const readTokens = async (tx: Transaction, after: string): Promise<TokenRow[]> => tx.$queryRaw`
  SELECT id, refresh_token, token_version, candidate_token, candidate_version FROM consents
  WHERE id > ${after}::uuid AND status <> 'quarantined'
  ORDER BY id LIMIT ${PAGE}`

const readAccessTokens = async (
  tx: Transaction,
  after: string,
): Promise<{ readonly id: string; readonly version: number; readonly access_token: string }[]> => tx.$queryRaw`
  SELECT access.consent_id AS id, access.version, access.access_token
  FROM access_tokens AS access JOIN consents AS consent ON consent.id = access.consent_id
  WHERE access.consent_id > ${after}::uuid AND access.access_token IS NOT NULL AND consent.status <> 'quarantined'
  ORDER BY access.consent_id LIMIT ${PAGE}`

type AttemptRow = { readonly id: string } & Readonly<Record<(typeof authorisationCells)[number], string | null>>

const readAttempts = async (tx: Transaction, after: string): Promise<AttemptRow[]> => tx.$queryRaw`
  SELECT attempt.id, verifier, link, code, access_token, pending_refresh_token
  FROM authorisations AS attempt JOIN consents AS consent ON consent.id = attempt.consent_id
  WHERE attempt.id > ${after}::uuid AND consent.status <> 'quarantined'
    AND num_nonnulls(verifier, link, code, access_token, pending_refresh_token) > 0
  ORDER BY attempt.id LIMIT ${PAGE}`
