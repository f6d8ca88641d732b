// The hash that chains a consent's events: SHA-256 over a canonical text of the event and the hash before it. The same
// text is made in SQL, once, by the migration that introduced the chain. Changing it breaks every chain there is.
import type { Prisma } from '../generated/prisma/client.ts'
import { sha256Hex } from '../crypto/hashing.ts'

/** What of an event is hashed: all that a reader can see of it. */
export interface HashedEvent {
  readonly consentId: string
  readonly seq: number
  readonly type: string
  readonly at: Date
  readonly actor: string
  readonly reason: string | null
  readonly data: Prisma.JsonValue | Prisma.InputJsonObject
}

/** Before the first event of a consent. */
export const NO_HASH = ''

/** `previous` is the hash of the event before it: 64 hex digits, or NO_HASH. */
export const eventHash = (previous: string, event: HashedEvent): string => sha256Hex(canonicalText(previous, event))

/**
 * One JSON array without white space, keys sorted: what jsonb gives back in another order has the same text. Throws a
 * TypeError for a number that is not a safe integer: others have more than one spelling, in JSON and in PostgreSQL.
 */
export const canonicalText = (
  previous: string,
  { consentId, seq, type, at, actor, reason, data }: HashedEvent,
): string => canonical(['v1', previous, consentId, seq, type, at.toISOString(), actor, reason, data])

const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).filter(([, inner]) => inner !== undefined)
    return `{${pairs
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)
      .join(',')}}`
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new TypeError("numbers in an event's data must be whole")
  return JSON.stringify(value ?? null)
}

/**
 * Which events, in which order, lead up to a place of the feed: 16 hex digits. `previous` is that of the place before,
 * or NO_HASH.
 */
export const feedChain = (previous: string, hash: string): string => sha256Hex(previous + hash).slice(0, 16)

/** Half a surrogate pair has no UTF-8: PostgreSQL refuses it in data and gets another character in text. */
export const wellFormed = (text: string): string => text.toWellFormed()

/** Data as it will come back: plain JSON, its texts well-formed, without keys whose value is undefined. */
export const plainData = (data: Prisma.InputJsonObject | undefined): Prisma.JsonObject =>
  JSON.parse(
    JSON.stringify(data ?? {}, (_key, value: unknown) => (typeof value === 'string' ? wellFormed(value) : value)),
  ) as Prisma.JsonObject
