// Checks that the key ring decrypts the stored secrets: counts them by key id, and decrypts one refresh token per key.
// A key with the same id but other bytes decrypts nothing.
import type { KeyRing } from '../crypto/key-ring.ts'
import { makeVault } from '../crypto/vault.ts'
import type { Secret } from '../secret.ts'
import { authorisationCells } from '../store/authorisation-row.ts'
import { keyIdOfCell } from '../store/cells.ts'
import { tokenCell } from '../store/refresh-token.ts'
import { withClient } from './database.ts'
import { type Finding, fail, ok } from './finding.ts'

interface InUse {
  readonly key_id: string
  readonly cells: number
  readonly id: string | null
  readonly refresh_token: string | null
  readonly token_version: number | null
}

const unionOf = (column: string): string =>
  `UNION ALL SELECT ${keyIdOfCell(column)}, NULL FROM authorisations WHERE ${column} IS NOT NULL`

// Counts the values of every encrypted column. The sample to decrypt holds refresh tokens only, because these must
// never be lost.
const CELLS = `
WITH cell AS (
  SELECT ${keyIdOfCell('refresh_token')} AS key_id, id FROM consents
  ${authorisationCells.map(unionOf).join('\n  ')}
), used AS (
  SELECT key_id, count(*)::int AS cells, min(id::text)::uuid AS sample FROM cell GROUP BY key_id
)
SELECT used.key_id, used.cells, consents.id, consents.refresh_token, consents.token_version
FROM used LEFT JOIN consents ON consents.id = used.sample ORDER BY used.key_id`

export async function* keyFindings(url: Secret, keys: KeyRing): AsyncGenerator<Finding> {
  const used = await withClient(url, async (client) => (await client.query<InUse>(CELLS)).rows)
  const vault = makeVault({ keys })
  const opens = ({ id, refresh_token: token, token_version: version }: InUse): boolean => {
    if (id === null || token === null || version === null) return true
    try {
      vault.open(token, tokenCell(id, version))
      return true
    } catch {
      return false
    }
  }
  if (used.length === 0) yield ok('keys', `"${keys.current.id}" encrypts; nothing is stored yet`)
  for (const use of used) {
    const name = use.key_id === '' ? 'no key' : `"${use.key_id}"`
    if (!keys.all.some(({ id }) => id === use.key_id)) {
      yield fail(
        'keys',
        `${use.cells} stored secrets need the key ${name}, which is not in ENCRYPTION_KEYS`,
        'put it back, behind the one that encrypts: without it these consents are lost',
      )
    } else if (!opens(use)) {
      yield fail(
        'keys',
        `the key ${name} does not open what was encrypted under that name`,
        'ENCRYPTION_KEYS has other bytes under an old name: put the right ones back',
      )
    } else {
      yield ok(
        'keys',
        `the key ${name} opens its ${use.cells} stored ` +
          `secrets${use.key_id === keys.current.id ? '; it encrypts new ones' : ''}`,
      )
    }
  }
}
