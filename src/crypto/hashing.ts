// Hashes, constant-time comparisons and fresh random values. No keys here.
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { Secret } from '../secret.ts'

const revealed = (text: string | Secret): string => (typeof text === 'string' ? text : text.reveal())

/** SHA-256 of the UTF-8 text: 32 bytes. A `state` is stored only in this form. */
export const sha256 = (text: string | Secret): Buffer<ArrayBuffer> =>
  Buffer.from(hash('sha256', revealed(text), 'buffer'))

/** SHA-256 of the UTF-8 text: 64 lower-case hex digits. */
export const sha256Hex = (text: string | Secret): string => hash('sha256', revealed(text), 'hex')

/** Whether the bytes are equal, in a time that depends only on their length. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.byteLength === b.byteLength && timingSafeEqual(a, b)

/**
 * Whether the texts are equal, in a time that reveals nothing about either of them, not even whether the lengths
 * differ.
 */
export const sameText = (a: string | Secret, b: string | Secret): boolean => timingSafeEqual(sha256(a), sha256(b))

const randomText = (bytes: number): string => randomBytes(bytes).toString('base64url')

/**
 * What is kept of a refresh token to recognise it later. Without a key, so that a rotation of keys leaves it as it is:
 * a refresh token is too random to be guessed. The words before it keep it apart from every other hash of ours.
 */
export const tokenFingerprint = (token: Secret): Buffer<ArrayBuffer> =>
  sha256(`reconsent refresh token\0${token.reveal()}`)

/** A new OAuth `state`: 32 random bytes, base64url. */
export const newState = (): Secret => new Secret(randomText(32))

/** A new PKCE code verifier: 32 random bytes, base64url, 43 characters (RFC 7636, 4.1). */
export const newVerifier = (): Secret => new Secret(randomText(32))

/** The S256 code challenge of a verifier: base64url of its SHA-256 (RFC 7636, 4.2). */
export const challengeOf = (verifier: Secret): string => sha256(verifier).toString('base64url')

/** The random id of a `/done/<id>` page: 16 bytes, base64url. Not a secret, but it must not be guessable. */
export const newDoneId = (): string => randomText(16)

/** A new key of the API: a prefix by which scanners and people recognise it, and 32 random bytes, base64url. */
export const newApiKey = (): Secret => new Secret(`rck_${randomText(32)}`)
