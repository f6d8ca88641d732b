// Builders for the tests of the import.
import { randomUUID } from 'node:crypto'
import { DateTime } from 'luxon'
import { Secret } from '../../src/secret.ts'
import type { ImportRow } from '../../src/store/administration-port.ts'

export const NOW = DateTime.fromISO('2026-11-23T10:00:00.000Z', { zone: 'utc' })

/** A row as the check passes it to the store: a consent in the UK that is not due. */
export const aRow = (over: Partial<Omit<ImportRow, 'refreshToken'>> & { refreshToken?: string } = {}): ImportRow => {
  const { refreshToken = `refresh-${randomUUID()}`, ...rest } = over
  return {
    credentialsId: `cred-${randomUUID()}`,
    userId: `user-${randomUUID()}`,
    providerId: 'uk-ob-monzo',
    providerName: 'Monzo',
    country: 'GB',
    redirectUri: 'https://app.example.com/callback',
    scopes: ['info', 'accounts'],
    email: 'ada@example.com',
    phone: undefined,
    name: 'Ada',
    locale: 'en',
    timeZone: 'Europe/London',
    expiresAt: NOW.plus({ days: 60 }),
    consentedAt: undefined,
    ...rest,
    refreshToken: new Secret(refreshToken),
  }
}

/** The same row as a line of a file. */
export const aLine = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  credentials_id: `cred-${randomUUID()}`,
  refresh_token: `refresh-${randomUUID()}`,
  provider_id: 'uk-ob-monzo',
  country: 'GB',
  redirect_uri: 'https://app.example.com/callback',
  user_id: `user-${randomUUID()}`,
  expires_at: NOW.plus({ days: 60 }).toISO(),
  email: 'ada@example.com',
  ...over,
})

export const ndjson = (rows: readonly Record<string, unknown>[]): string =>
  rows.map((row) => `${JSON.stringify(row)}\n`).join('')
