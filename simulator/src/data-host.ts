// The calls that need a Bearer access token: `GET /data/v1/me` on the data host, `DELETE /api/delete` on the auth host.
// Also the list of providers.
import type { DateTime } from 'luxon'
import { jsonAnswer, refusal } from './answer.ts'
import type { Answer } from './answer.ts'
import type { Connection, ConsentDates } from './connections.ts'
import type { World } from './world.ts'

/** The connection that a Bearer header belongs to, found also by an earlier access token. */
export const bearerOf = (
  { connections }: World,
  authorization: string | undefined,
): { token: string; connection: Connection | undefined } => {
  const token = /^Bearer ([^\s]+)$/i.exec(authorization ?? '')?.[1] ?? ''
  return { token, connection: connections.byAccessToken(token) }
}

/**
 * Checks a Bearer token; returns the refusal, or its connection. After the consent's expiry, the latest token gets 403,
 * not 401.
 */
const admit = (
  world: World,
  authorization: string | undefined,
  what: 'me' | 'delete',
): { refused: Answer } | { connection: Connection } => {
  const { token, connection } = bearerOf(world, authorization)
  const about = { what, credentials_id: connection?.credentialsId } as const
  const now = world.clock.now()
  if (connection === undefined)
    return { refused: refusal(401, 'unauthorized', token === '' ? 'no_token' : 'unknown_token', about) }
  if (connection.revoked) return { refused: refusal(401, 'unauthorized', 'revoked', about) }
  if (connection.accessToken?.value !== token)
    return { refused: refusal(401, 'unauthorized', 'superseded_token', about) }
  if (now >= connection.dates.expiresAt) return { refused: refusal(403, 'access_denied', 'consent_expired', about) }
  if (now >= connection.accessToken.expiresAt) return { refused: refusal(401, 'unauthorized', 'token_expired', about) }
  return { connection }
}

const shownDates = ({ clock, switches }: World, { dates, before, switches: own }: Connection): ConsentDates =>
  before !== undefined && clock.now() < before.renewedAt.plus({ seconds: switches.getFor('me_lag_seconds', own) })
    ? before.dates
    : dates

const iso = (instant: DateTime): string => instant.toUTC().toISO()

export const answerMe = (world: World, authorization: string | undefined): Answer => {
  const admitted = admit(world, authorization, 'me')
  if ('refused' in admitted) return admitted.refused
  const { connection } = admitted
  const which = world.switches.get('me_dates')
  const dates = shownDates(world, connection)
  const { providerId, displayName } = connection.bank
  const result = {
    client_id: world.client.id,
    credentials_id: connection.credentialsId,
    // TrueLayer was measured to answer "Authorised" for dead connections too: the field proves nothing.
    consent_status: 'Authorised',
    ...(which === 'none'
      ? {}
      : { consent_status_updated_at: iso(dates.updatedAt), consent_created_at: iso(dates.createdAt) }),
    ...(which === 'all' ? { consent_expires_at: iso(dates.expiresAt) } : {}),
    provider: { display_name: displayName, logo_uri: `${world.url()}/_logo.svg`, provider_id: providerId },
    scopes: connection.scopes,
    privacy_policy: `${world.url()}/_privacy`,
  }
  return jsonAnswer(
    200,
    { results: [result], status: 'Succeeded' },
    { what: 'me', outcome: 'ok', credentials_id: connection.credentialsId },
  )
}

/** Revokes the connection; answers 200 with an empty body. */
export const answerDelete = (world: World, authorization: string | undefined): Answer => {
  const admitted = admit(world, authorization, 'delete')
  if ('refused' in admitted) return admitted.refused
  const { credentialsId } = admitted.connection
  world.connections.revoke(credentialsId, 'deleted')
  return {
    status: 200,
    contentType: '',
    body: '',
    headers: {},
    entry: { what: 'delete', outcome: 'ok', credentials_id: credentialsId },
  }
}

/** `GET /api/providers?clientId=…`. */
export const answerProviders = (world: World, clientId: unknown): Answer => {
  if (clientId !== world.client.id) return refusal(400, 'invalid_client', 'clientId', { what: 'providers' })
  const providers = world.banks.all().map(({ providerId, displayName, country }) => ({
    provider_id: providerId,
    display_name: displayName,
    country: country === 'GB' ? 'uk' : country.toLowerCase(),
    logo_url: `${world.url()}/_logo.svg`,
    scopes: ['info', 'accounts', 'balance', 'transactions', 'offline_access'],
    availability: { recommended_status: 'healthy' },
  }))
  return jsonAnswer(200, providers, { what: 'providers', outcome: 'ok' })
}
