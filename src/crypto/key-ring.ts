// The encryption keys of ENCRYPTION_KEYS: the first encrypts, all decrypt. Key bytes live in KeyObjects, which print
// nothing.
import { createSecretKey, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Secret } from '../secret.ts'

export interface Key {
  /** Stands in clear in every sealed cell. */
  readonly id: string
  /** AES-256 key. */
  readonly encryption: KeyObject
  /** HMAC key of the start links, derived from the same bytes. */
  readonly startLink: KeyObject
}

export interface KeyRing {
  /** Encrypts, and signs new start links. */
  readonly current: Key
  readonly all: readonly Key[]
}

const KEY_BYTES = 32
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,15}$/
const BASE64 = /^[A-Za-z0-9+/]{43}=?$/

const makeKey = (id: string, bytes: Uint8Array): Key => ({
  id,
  encryption: createSecretKey(bytes),
  startLink: createSecretKey(Buffer.from(hkdfSync('sha256', bytes, new Uint8Array(0), 'reconsent start link', 32))),
})

/** The bytes, or what is wrong with them. Says nothing of the value: it goes to logs and terminals. */
const readBytes = (text: string): Buffer | string => {
  const standard = text.replaceAll('-', '+').replaceAll('_', '/')
  const bytes = Buffer.from(standard, 'base64')
  if (text === '') return 'has no key after the colon'
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(standard) && bytes.length !== KEY_BYTES) {
    return `is ${bytes.length} bytes long instead of exactly ${KEY_BYTES}`
  }
  // The last character of 43 carries two unused bits: other values there would be a second spelling of the same key.
  if (!BASE64.test(standard) || bytes.toString('base64').replace('=', '') !== standard.replace('=', ''))
    return 'is not valid base64'
  if (bytes.every((byte) => byte === bytes[0])) return 'is one byte repeated, not a random key'
  return bytes
}

/**
 * Reads `id:base64[,id:base64…]`: ids of 1 to 16 letters, digits, `-` or `_`; keys of exactly 32 bytes, base64 or
 * base64url. Answers the ring, or everything that is wrong with it, naming keys by position and never showing a part of
 * them.
 */
export const parseKeyRing = (
  text: Secret,
): { readonly keyRing: KeyRing } | { readonly problems: readonly string[] } => {
  const problems: string[] = []
  const keys: Key[] = []
  const seen: { id: string; bytes: Buffer; place: number }[] = []
  for (const [index, entry] of text.reveal().split(',').entries()) {
    const place = index + 1
    const colon = entry.indexOf(':')
    const id = entry.slice(0, colon).trim()
    if (entry.trim() === '') problems.push(`key ${place} is empty: there is a comma too many`)
    else if (colon < 0) problems.push(`key ${place} has no id: write it as id:base64`)
    // Ids are not shown: someone who swapped the two halves has the key in its place.
    else if (!ID.test(id)) problems.push(`key ${place} has an id that is not 1 to 16 letters, digits, "-" or "_"`)
    else {
      const bytes = readBytes(entry.slice(colon + 1).trim())
      if (typeof bytes === 'string') {
        problems.push(`key ${place} ${bytes}`)
        continue
      }
      const sameId = seen.find((other) => other.id === id)
      const sameKey = seen.find((other) => other.bytes.equals(bytes))
      if (sameId !== undefined) problems.push(`key ${place} has the id of key ${sameId.place}: each id once`)
      else if (sameKey !== undefined) problems.push(`key ${place} is the same key as key ${sameKey.place}`)
      seen.push({ id, bytes, place })
      keys.push(makeKey(id, bytes))
    }
  }
  const current = keys[0]
  return problems.length > 0 || current === undefined ? { problems } : { keyRing: { current, all: keys } }
}
