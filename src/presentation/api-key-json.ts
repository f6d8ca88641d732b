// A key of the API as JSON, without the key and without its hash.
import type { DateTime } from 'luxon'
import type { StoredApiKey } from '../store/api-keys-port.ts'
import { stateOfKey } from '../domain/api-key-state.ts'
import { isoOf } from './consent-json.ts'

export const apiKeyJson = (key: StoredApiKey, now: DateTime) => ({
  name: key.name,
  scopes: key.scopes,
  state: stateOfKey(key, now),
  created_at: isoOf(key.createdAt),
  expires_at: isoOf(key.expiresAt),
  revoked_at: isoOf(key.revokedAt),
})
