// Whether a key of the API is good at an instant: one rule for the list that operators read and for each request.
import type { DateTime } from 'luxon'

export type ApiKeyState = 'living' | 'expired' | 'revoked'

/** `expiresAt` and `revokedAt` are the first instants at which the key is refused. */
export const stateOfKey = (
  { revokedAt, expiresAt }: { readonly revokedAt?: DateTime | undefined; readonly expiresAt: DateTime | undefined },
  now: DateTime,
): ApiKeyState => {
  if (revokedAt !== undefined && revokedAt <= now) return 'revoked'
  return expiresAt !== undefined && expiresAt <= now ? 'expired' : 'living'
}
