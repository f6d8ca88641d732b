// The hash that chains a consent's events: SHA-256 over a canonical text of the event and the hash before it. The
// migration that introduced the chain made the same text in SQL, once. A change of this text breaks every existing
// chain.
import type { Prisma } from '../generated/prisma/client.ts'
import { sha256Hex } from '../crypto/hashing.ts'

/** The fields of an event that are hashed: everything that a reader of the event can see. */
export interface HashedEvent {
  readonly consentId: string
  readonly seq: number
  readonly type: string
  readonly at: Date
  readonly actor: string
  readonly reason: string | null
  readonly data: Prisma.JsonValue | Prisma.InputJsonObject
}

/** Stands for the previous hash where there is none: before the first event of a consent or of the feed. */
export const NO_HASH = ''

/** `previous` is the hash of the consent's previous event: 64 hex digits, or NO_HASH. */
export const eventHash = (previous: string, event: HashedEvent): string => sha256Hex(canonicalText(previous, event))

/**
 * A JSON array without white space and with sorted keys, so that data which jsonb returns with its keys in another
 * order gives the same text. Throws a TypeError for a number that is not a safe integer, because other numbers can be
 * written in more than one way in JSON and in PostgreSQL.
 */
export const canonicalText = (
  previous: string,
  { consentId, seq, type, at, actor, reason, data }: HashedEvent,
): string => canonical(['v1', previous, consentId, seq, type, at.toISOString(), actor, reason, data])

const canonical = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = value as Readonly<Record<string, unknown>>
    // Without a comparison of their own, keys are compared by their code units, as `<` does.
    const keys = Object.keys(fields).filter((key) => fields[key] !== undefined)
    return `{${keys
      .toSorted()
      .map((key) => `${JSON.stringify(key)}:${canonical(fields[key])}`)
      .join(',')}}`
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new TypeError("numbers in an event's data must be whole")
  return JSON.stringify(value ?? null)
}

/**
 * Identifies all events up to a place in the feed, and their order: 16 hex digits. `previous` is the chain at the
 * previous place, or NO_HASH.
 */
export const feedChain = (previous: string, hash: string): string => sha256Hex(previous + hash).slice(0, 16)

/**
 * Replaces half a surrogate pair, which has no UTF-8 form: PostgreSQL refuses it in JSON data, and in a text it
 * receives another character.
 */
export const wellFormed = (text: string): string => text.toWellFormed()

/**
 * An event's data as it will be read back: plain JSON with well-formed texts, and without keys whose value is
 * undefined.
 */
export const plainData = (data: Prisma.InputJsonObject | undefined): Prisma.JsonObject => {
  const text = JSON.stringify(data ?? {})
  // JSON writes half a surrogate pair as an escape. Nearly no text has one, and looking at every value costs much more.
  return JSON.parse(text.includes(String.raw`\ud`) ? JSON.stringify(data, wellFormedValue) : text) as Prisma.JsonObject
}

const wellFormedValue = (_key: string, value: unknown): unknown =>
  typeof value === 'string' ? wellFormed(value) : value
