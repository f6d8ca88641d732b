// The encryption keys of ENCRYPTION_KEYS: the first key encrypts, all keys decrypt. Key bytes are held in KeyObjects,
// which do not show them when printed.
import { createSecretKey, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Secret } from '../secret.ts'

export interface Key {
  /** Every sealed value contains this id unencrypted. */
  readonly id: string
  /** The AES-256 key. */
  readonly encryption: KeyObject
  /** The HMAC key of the start links, derived from the same bytes. */
  readonly startLink: KeyObject
  /** The HMAC key of entity tags, derived from the same bytes. */
  readonly entityTag: KeyObject
}

export interface KeyRing {
  /** The key that encrypts, and that signs new start links. */
  readonly current: Key
  readonly all: readonly Key[]
}

const KEY_BYTES = 32
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,15}$/
const BASE64 = /^[A-Za-z0-9+/]{43}=?$/

const derived = (bytes: Uint8Array, purpose: string): KeyObject =>
  createSecretKey(Buffer.from(hkdfSync('sha256', bytes, new Uint8Array(0), purpose, 32)))

const makeKey = (id: string, bytes: Uint8Array): Key => ({
  id,
  encryption: createSecretKey(bytes),
  startLink: derived(bytes, 'reconsent start link'),
  entityTag: derived(bytes, 'reconsent entity tag'),
})

/**
 * The bytes of a key, or what is wrong with them. The problem never shows the value, because it goes to logs and
 * terminals.
 */
const readBytes = (text: string): Buffer | string => {
  const standard = text.replaceAll('-', '+').replaceAll('_', '/')
  const bytes = Buffer.from(standard, 'base64')
  if (text === '') return 'has no key after the colon'
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(standard) && bytes.length !== KEY_BYTES) {
    return `is ${bytes.length} bytes long instead of exactly ${KEY_BYTES}`
  }
  // The last of 43 characters has two unused bits. Accepting other values there would allow several spellings of the
  // same key.
  if (!BASE64.test(standard) || bytes.toString('base64').replace('=', '') !== standard.replace('=', ''))
    return 'is not valid base64'
  if (bytes.every((byte) => byte === bytes[0])) return 'is one byte repeated, not a random key'
  return bytes
}

/**
 * Parses `id:base64[,id:base64…]`: ids of 1 to 16 letters, digits, `-` or `_`; keys of exactly 32 bytes, base64 or
 * base64url. Returns the key ring, or everything that is wrong with it; problems name keys by position and never show
 * any part of them.
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
    // Ids are not shown: if an operator swapped the two halves, the id is the key.
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
