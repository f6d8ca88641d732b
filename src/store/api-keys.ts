// The keys of the API: their names, scopes and hashes. The key itself is shown to its maker, and is stored nowhere.
import { randomUUID } from 'node:crypto'
import type { DateTime } from 'luxon'
import { newApiKey, sha256 } from '../crypto/hashing.ts'
import type { ApiScope } from '../domain/api-scopes.ts'
import { TransientError } from '../errors.ts'
import type { ApiKeys, StoredApiKey } from './api-keys-port.ts'
import type { Database } from './database.ts'
import { classify, isAway } from './database-errors.ts'
import { instant } from './rows.ts'

interface KeyRow {
  readonly id: string
  readonly name: string
  readonly hash: Uint8Array
  readonly scopes: string[]
  readonly created_at: Date
  readonly expires_at: Date | null
  readonly revoked_at: Date | null
}

const maybe = (date: Date | null): DateTime | undefined => (date === null ? undefined : instant(date))

const toKey = (row: KeyRow): StoredApiKey => ({
  id: row.id,
  name: row.name,
  hash: row.hash,
  // A scope that only a later release knows stands for nothing here: no route of this release asks for it.
  scopes: row.scopes as ApiScope[],
  createdAt: instant(row.created_at),
  expiresAt: maybe(row.expires_at),
  revokedAt: maybe(row.revoked_at),
})

export const apiKeys = (db: Database): ApiKeys => ({
  createApiKey: async ({ name, scopes, expiresAt, now }) => {
    const secret = newApiKey()
    const at = now.toJSDate()
    try {
      const [row] = await db.transaction(async (tx) => {
        // A key that has expired still has its name, which the new key then takes over.
        await tx.$executeRaw`
          UPDATE api_keys SET revoked_at = expires_at
          WHERE name = ${name} AND revoked_at IS NULL AND expires_at <= ${at}`
        return tx.$queryRaw<KeyRow[]>`
          INSERT INTO api_keys (id, name, hash, scopes, created_at, expires_at)
          VALUES (${randomUUID()}::uuid, ${name}, ${sha256(secret)}, ${[...scopes]}, ${at},
            ${expiresAt?.toJSDate() ?? null}) RETURNING *`
      })
      if (row === undefined) throw new Error('the new key was not returned')
      return { kind: 'created', key: toKey(row), secret }
    } catch (error) {
      if (classify(error) === 'duplicate-key') return { kind: 'name-taken' }
      throw error
    }
  },

  listApiKeys: async () => {
    const rows = await db.sql.$queryRaw<KeyRow[]>`SELECT * FROM api_keys ORDER BY created_at, id`
    return rows.map(toKey)
  },

  readUnrevokedApiKeys: async () => {
    try {
      const rows = await db.sql.$queryRaw<KeyRow[]>`SELECT * FROM api_keys WHERE revoked_at IS NULL`
      return rows.map(toKey)
    } catch (error) {
      throw isAway(error) ? new TransientError('database-unavailable') : error
    }
  },

  revokeApiKey: async (name, now) => {
    const revoked = await db.sql.$queryRaw<KeyRow[]>`
      UPDATE api_keys SET revoked_at = ${now.toJSDate()} WHERE name = ${name} AND revoked_at IS NULL RETURNING *`
    return revoked.map(toKey)[0]
  },
})
