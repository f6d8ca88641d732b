// `GET {data}/data/v1/me` (TrueLayer's API reference, "Get connection metadata"): reads the dates that prove a renewal.
// A date that is missing or unreadable is undefined.
import { DateTime } from 'luxon'
import type { Secret } from '../../secret.ts'
import type { Me, MeAnswer } from '../port.ts'
import { isSuccess, jsonObject, unavailable } from './failures.ts'
import type { Send } from './http.ts'
import { instantOr } from './retry-after.ts'

const objectOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined

/**
 * A date without an offset is read as UTC. Placeholders such as `0001-01-01` and `9999-12-31` do not count as dates:
 * they must not serve as proof.
 */
const dateOf = (value: unknown): DateTime | undefined => {
  const text = textOf(value)
  if (text === undefined || !/^\d{4}-\d\d-\d\d/.test(text)) return undefined
  const date = instantOr(() => DateTime.fromISO(text, { zone: 'utc' }))
  return date !== undefined && date.year >= 2000 && date.year < 2200 ? date : undefined
}

const meOf = (result: Readonly<Record<string, unknown>>): Me => {
  const provider = objectOf(result['provider'])
  return {
    credentialsId: textOf(result['credentials_id']),
    providerId: textOf(provider?.['provider_id']),
    providerName: textOf(provider?.['display_name']),
    consentExpiresAt: dateOf(result['consent_expires_at']),
    consentCreatedAt: dateOf(result['consent_created_at']),
    consentStatusUpdatedAt: dateOf(result['consent_status_updated_at']),
  }
}

export const readMe = async (send: Send, apiUrl: string, accessToken: Secret): Promise<MeAnswer> => {
  const reply = await send({ name: 'me', url: `${apiUrl}/data/v1/me`, bearer: accessToken, isRepeatable: true })
  if (reply.kind === 'no-answer') return unavailable(reply)
  const body = jsonObject(reply.body)
  // A gateway's page with 401 or 403 says nothing about this consent.
  if (body === undefined) return unavailable(reply)
  if (reply.status === 401) return { kind: 'token-rejected' }
  if (reply.status === 403) return { kind: 'denied' }
  if (!isSuccess(reply.status)) return unavailable(reply)
  const results = body['results']
  const first = Array.isArray(results) ? objectOf(results[0]) : undefined
  return first === undefined ? unavailable(reply) : { kind: 'me', me: meOf(first) }
}
