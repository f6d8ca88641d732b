// Makes the strings of OAuth: random secrets, access tokens as JWT, PKCE challenges.
import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { DateTime } from 'luxon'
import type { SwitchValues } from './switches.ts'

export const randomToken = (bytes = 32): string => randomBytes(bytes).toString('base64url')

// No client checks this signature: clients cannot verify TrueLayer's tokens either, they only read `sub`.
const SIGNING_KEY = randomBytes(32)
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export interface AccessTokenRequest {
  readonly format: SwitchValues['access_token']
  readonly issuer: string
  readonly clientId: string
  readonly credentialsId: string
  readonly scopes: readonly string[]
  readonly now: DateTime
  readonly expiresAt: DateTime
}

/** A JWT with `sub` = credentials_id and `exp`, or what the switch `access_token` says instead. */
export const makeAccessToken = ({
  format,
  issuer,
  clientId,
  credentialsId,
  scopes,
  now,
  expiresAt,
}: AccessTokenRequest): string => {
  if (format === 'opaque') return randomToken(48)
  const claims = {
    iss: issuer,
    aud: 'data_api',
    client_id: clientId,
    ...(format === 'jwt' ? { sub: credentialsId } : {}),
    scope: scopes,
    jti: randomToken(12),
    nbf: Math.floor(now.toSeconds()),
    iat: Math.floor(now.toSeconds()),
    exp: Math.floor(expiresAt.toSeconds()),
  }
  const signed = `${encode({ alg: 'HS256', typ: 'JWT', kid: 'simulator' })}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', SIGNING_KEY).update(signed).digest('base64url')}`
}

/** PKCE S256 (RFC 7636 4.6). */
export const challengeOf = (verifier: string): string => createHash('sha256').update(verifier).digest('base64url')
