// The consents of a run: all active, ten days before their expiry, each of a user of its own.
import { randomUUID } from 'node:crypto'
import { DateTime } from 'luxon'

export interface BenchConsent {
  readonly credentialsId: string
  readonly refreshToken: string
  readonly email: string
  readonly expiresAt: DateTime
}

export const BANK = { providerId: 'uk-ob-monzo', providerName: 'Monzo', country: 'GB' }

export const makeConsents = (count: number): readonly BenchConsent[] => {
  const expiresAt = DateTime.utc().plus({ days: 10 }).startOf('second')
  return Array.from({ length: count }, () => {
    const credentialsId = randomUUID()
    return { credentialsId, refreshToken: randomUUID(), email: `${credentialsId}@example.com`, expiresAt }
  })
}

/** In pieces of at most `size`, in order. */
export const inPieces = <Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, piece) => items.slice(piece * size, (piece + 1) * size))
