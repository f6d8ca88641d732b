// `POST /connect/token`: exchanges a code for tokens, or refreshes tokens. Accepts forms and JSON; follows the rules of
// TrueLayer and RFC 6749.
import { z } from 'zod'
import { jsonAnswer, refusal } from './answer.ts'
import type { Answer } from './answer.ts'
import type { Connection } from './connections.ts'
import type { Code } from './links.ts'
import { challengeOf, makeAccessToken } from './tokens.ts'
import type { World } from './world.ts'

const credentials = { client_id: z.string().min(1), client_secret: z.string().min(1) }
const exchangeSchema = z.object({
  ...credentials,
  code: z.string().min(1),
  redirect_uri: z.string().min(1),
  code_verifier: z.string().optional(),
})
const refreshSchema = z.object({ ...credentials, refresh_token: z.string().min(1) })

const rejectsClient = (
  { client, switches, clock }: World,
  sent: { client_id: string; client_secret: string },
): string | undefined => {
  if (switches.isClientRejectedAt(clock.now())) return 'invalid_client_until'
  return sent.client_id === client.id && sent.client_secret === client.secret ? undefined : 'client_credentials'
}

/** Issues a new access token, which invalidates the previous one, and builds the answer's body. */
const tokensFor = (
  world: World,
  connection: Connection,
  occasion: 'on-reauth' | 'on-refresh' | 'first',
): { [field: string]: unknown } => {
  const { clock, switches, connections, client, url } = world
  const now = clock.now()
  const lifeSeconds = switches.get('access_token_life_seconds')
  const expiresAt = now.plus({ seconds: lifeSeconds })
  const { credentialsId, scopes } = connection
  const accessToken = makeAccessToken({
    format: switches.get('access_token'),
    issuer: url(),
    clientId: client.id,
    credentialsId,
    scopes,
    now,
    expiresAt,
  })
  connections.setAccessToken(credentialsId, accessToken, expiresAt)
  connections.markUsed(credentialsId)
  const rotation = switches.getFor('rotate_refresh_tokens', connection.switches)
  const rotates =
    occasion !== 'first' && connection.refreshToken !== undefined && (rotation === 'always' || rotation === occasion)
  const { refreshToken } = rotates ? connections.rotateRefreshToken(credentialsId) : connection
  return {
    access_token: accessToken,
    expires_in: lifeSeconds,
    token_type: 'Bearer',
    ...(refreshToken !== undefined && switches.get('return_refresh_token') ? { refresh_token: refreshToken } : {}),
    ...(switches.get('return_scope') ? { scope: scopes.join(' ') } : {}),
  }
}

/** The connection for which this code was issued, renewed or newly made; undefined when it was revoked since. */
const connectionOf = ({ connections, banks, switches }: World, { link, approvedBy }: Code): Connection | undefined => {
  if (link.credentialsId !== undefined && approvedBy === 'owner') {
    const connection = connections.find(link.credentialsId)
    if (connection === undefined || connection.revoked) return undefined
    return switches.get('renews_at') === 'exchange' ? connections.renew(link.credentialsId) : connection
  }
  const other = banks
    .all()
    .find((bank) => bank.providerId !== link.bank.providerId && bank.country === link.bank.country)
  const elsewhere = approvedBy === 'somebody-else' && switches.get('somebody_else') === 'other-provider'
  const bank = elsewhere
    ? (other ?? banks.all().find((one) => one.providerId !== link.bank.providerId) ?? link.bank)
    : link.bank
  return connections.connect({ bank, redirectUri: link.redirectUri, scopes: link.scopes })
}

const answerExchange = (world: World, body: unknown): Answer => {
  const { clock, switches, links, connections } = world
  const what = 'exchange'
  const parsed = exchangeSchema.safeParse(body)
  if (!parsed.success)
    return refusal(400, 'invalid_request', String(parsed.error.issues[0]?.path.join('.') || 'body'), { what })
  const request = parsed.data
  const code = links.findCode(request.code)
  const about = { what, code_no: code?.no, credentials_id: code?.exchangedFor ?? code?.link.credentialsId } as const
  const clientProblem = rejectsClient(world, request)
  if (clientProblem !== undefined) return refusal(400, 'invalid_client', clientProblem, about)

  if (code === undefined) return refusal(400, 'invalid_authorization_code', 'unknown', about)
  if (code.exchangedFor !== undefined) {
    if (switches.get('code_reuse') === 'revoke') connections.revoke(code.exchangedFor, 'code_reused')
    return refusal(400, 'invalid_authorization_code', 'reused', about)
  }
  if (clock.now() > code.issuedAt.plus({ seconds: switches.get('code_life_seconds') })) {
    return refusal(400, 'invalid_authorization_code', 'too_old', about)
  }
  if (request.redirect_uri !== code.link.redirectUri) return refusal(400, 'invalid_grant', 'redirect_uri', about)
  const challenge = request.code_verifier === undefined ? undefined : challengeOf(request.code_verifier)
  // A verifier without a challenge is refused too: it means that the challenge got lost on the way.
  if (challenge !== code.link.codeChallenge) return refusal(400, 'invalid_grant', 'code_verifier', about)

  const connection = connectionOf(world, code)
  if (connection === undefined) return refusal(400, 'invalid_grant', 'revoked', about)
  code.exchangedFor = connection.credentialsId
  const isNew = connection.credentialsId !== code.link.credentialsId
  const tokens = tokensFor(world, connection, isNew ? 'first' : 'on-reauth')
  return jsonAnswer(200, tokens, { ...about, credentials_id: connection.credentialsId, outcome: 'ok' })
}

const answerRefresh = (world: World, body: unknown): Answer => {
  const { clock, switches, connections } = world
  const what = 'refresh'
  const parsed = refreshSchema.safeParse(body)
  if (!parsed.success)
    return refusal(400, 'invalid_request', String(parsed.error.issues[0]?.path.join('.') || 'body'), { what })
  const connection = connections.byRefreshToken(parsed.data.refresh_token)
  const about = { what, credentials_id: connection?.credentialsId } as const
  const clientProblem = rejectsClient(world, parsed.data)
  if (clientProblem !== undefined) return refusal(400, 'invalid_client', clientProblem, about)

  if (connection === undefined) return refusal(400, switches.get('unknown_refresh'), 'unknown_token', about)
  if (connection.revoked) return refusal(400, 'invalid_grant', 'revoked', about)
  if (clock.now() >= connection.dates.expiresAt) return refusal(400, 'invalid_grant', 'expired', about)
  const idleDays = switches.get('idle_token_days')
  if (idleDays !== null && clock.now() >= connection.usedAt.plus({ days: idleDays }))
    return refusal(400, 'invalid_grant', 'idle_token', about)
  return jsonAnswer(200, tokensFor(world, connection, 'on-refresh'), { ...about, outcome: 'ok' })
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export interface TokenCall {
  readonly endpoint: 'exchange' | 'refresh'
  readonly credentialsId: string | undefined
  readonly codeNo: number | undefined
  readonly process: () => Answer
}

/** Finds out which of the two grants a body requests and which connection it concerns, without processing it yet. */
export const readTokenCall = (world: World, body: unknown): TokenCall => {
  const { links, connections } = world
  const fields = isRecord(body) ? body : {}
  if (fields.grant_type === 'refresh_token') {
    const credentialsId = connections.byRefreshToken(String(fields.refresh_token))?.credentialsId
    return { endpoint: 'refresh', credentialsId, codeNo: undefined, process: () => answerRefresh(world, body) }
  }
  const unsupported = (): Answer => refusal(400, 'unsupported_grant_type', 'grant_type', { what: 'exchange' })
  const code = links.findCode(String(fields.code))
  return {
    endpoint: 'exchange',
    credentialsId: code?.link.credentialsId,
    codeNo: code?.no,
    process: fields.grant_type === 'authorization_code' ? () => answerExchange(world, body) : unsupported,
  }
}
