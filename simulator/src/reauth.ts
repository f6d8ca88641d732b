// `POST /v1/reauthuri`: makes an authorisation URL for an existing connection. It takes no client credentials: the
// refresh token identifies client and connection.
import { z } from 'zod'
import { jsonAnswer, refusal } from './answer.ts'
import type { Answer } from './answer.ts'
import type { Connection } from './connections.ts'
import type { World } from './world.ts'

const requestSchema = z
  .object({
    response_type: z.literal('code'),
    refresh_token: z.string().min(1),
    redirect_uri: z.string().min(1),
    state: z.string().optional(),
    code_challenge: z
      .string()
      .regex(/^[A-Za-z0-9_-]{43}$/)
      .optional(),
    code_challenge_method: z.literal('S256').optional(),
    response_mode: z.literal('form_post').optional(),
  })
  .refine((request) => (request.code_challenge === undefined) === (request.code_challenge_method === undefined), {
    path: ['code_challenge_method'],
    error: 'code_challenge and code_challenge_method come together',
  })

/** Why this connection cannot get a link whatever else the request says; undefined when it can. */
const deadBecause = ({ clock, switches }: World, connection: Connection | undefined): string | undefined => {
  if (connection === undefined) return 'unknown_token'
  if (connection.revoked) return 'revoked'
  const idleDays = switches.get('idle_token_days')
  if (idleDays !== null && clock.now() >= connection.usedAt.plus({ days: idleDays })) return 'idle_token'
  return clock.now() > connection.dates.expiresAt.plus({ days: switches.get('grace_days') }) ? 'past_grace' : undefined
}

/** The connection of this refresh token; the switch `replaced_token` may let a token work that was rotated out. */
const connectionOf = ({ connections, switches }: World, token: string): Connection | undefined =>
  connections.byRefreshToken(token) ??
  (switches.get('replaced_token') === 'accepted' ? connections.byReplacedToken(token) : undefined)

/** The field `result` of a successful answer, or what the switch `link_result` puts there. */
const resultField = ({ switches, url }: World, path: string): { result?: string } => {
  switch (switches.get('link_result')) {
    case 'bank':
      return { result: `${url()}${path}` }
    case 'not-https':
      return { result: `http://bank.example${path}` }
    case 'not-a-url':
      return { result: `bank.example ${path}` }
    case 'missing':
      return {}
  }
}

/** `body` is the parsed JSON; any other content is refused like a missing body. */
export const answerReauth = (world: World, body: unknown): Answer => {
  const { switches, connections, client, links } = world
  const what = 'reauthuri'
  const parsed = requestSchema.safeParse(body)
  if (!parsed.success) {
    return refusal(400, 'invalid_request', String(parsed.error.issues[0]?.path.join('.') || 'json_body'), { what })
  }
  const request = parsed.data
  const connection = connectionOf(world, request.refresh_token)
  const about = { what, credentials_id: connection?.credentialsId } as const
  if (!client.redirectUris.includes(request.redirect_uri))
    return refusal(401, 'unauthorized_client', 'redirect_uri_not_registered', about)

  const dead = deadBecause(world, connection)
  if (connection === undefined || dead !== undefined) {
    const error = switches.get('unknown_token')
    return refusal(error === 'unauthorized' ? 401 : 400, error, dead ?? 'unknown_token', about)
  }
  if (connection.bank.country !== 'GB') {
    const status = switches.get('non_uk')
    return refusal(status, status === 401 ? 'unauthorized' : 'invalid_request', 'provider_not_supported', about)
  }
  if (connection.redirectUri !== request.redirect_uri && switches.get('redirect_mismatch') === 'strict') {
    return refusal(401, 'unauthorized', 'redirect_uri_not_original', about)
  }
  if (!switches.get('link_success'))
    return jsonAnswer(200, { success: false }, { ...about, outcome: 'not-made', detail: 'link_success' })

  connections.markUsed(connection.credentialsId)
  const link = links.make({
    credentialsId: connection.credentialsId,
    bank: connection.bank,
    scopes: connection.scopes,
    redirectUri: request.redirect_uri,
    state: request.state,
    codeChallenge: request.code_challenge,
    responseMode: request.response_mode ?? 'query',
  })
  const path = `/bank/${encodeURIComponent(connection.bank.providerId)}/authorise/${link.id}`
  return jsonAnswer(200, { ...resultField(world, path), success: true }, { ...about, outcome: 'ok', link_no: link.no })
}
