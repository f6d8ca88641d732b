// What commands and the API need to know about the API's keys. Types only.
import type { DateTime } from 'luxon'
import type { ApiScope } from '../domain/api-scopes.ts'
import type { Secret } from '../secret.ts'

export interface StoredApiKey {
  readonly id: string
  readonly name: string
  /** SHA-256 of the key: 32 bytes. */
  readonly hash: Uint8Array
  readonly scopes: readonly ApiScope[]
  readonly createdAt: DateTime
  /** The first instant at which the key is refused; undefined: never. */
  readonly expiresAt: DateTime | undefined
  readonly revokedAt: DateTime | undefined
}

export type CreatedApiKey =
  /** `secret`: the key itself, for whoever asked for it; it cannot be read again. */
  | { readonly kind: 'created'; readonly key: StoredApiKey; readonly secret: Secret }
  /** A key with this name is neither revoked nor expired. */
  | { readonly kind: 'name-taken' }

export interface ApiKeys {
  createApiKey(wanted: {
    readonly name: string
    readonly scopes: readonly ApiScope[]
    readonly expiresAt: DateTime | undefined
    readonly now: DateTime
  }): Promise<CreatedApiKey>
  /** All there ever were, the oldest first. */
  listApiKeys(): Promise<StoredApiKey[]>
  /**
   * Those that are not revoked, whether or not they have expired. Rejects with
   * `TransientError('database-unavailable')` only when the database cannot be reached, not when it is busy.
   */
  readUnrevokedApiKeys(): Promise<StoredApiKey[]>
  /** The key that was revoked; undefined when no key with this name was left to revoke. */
  revokeApiKey(name: string, now: DateTime): Promise<StoredApiKey | undefined>
}
