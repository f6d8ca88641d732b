// Where in a span of time a record falls: a stable hash of the record's id, so that the same consent always gets the
// same moment and a hundred thousand consents do not share one moment. The hash is not random, and not for secrets.

const utf8 = new TextEncoder()

/** FNV-1a, 32 bits, of the UTF-8 bytes; an unsigned integer. */
export const fnv1a32 = (text: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    const byte = text.charCodeAt(index)
    // Until here, each character was its own byte, as all characters of ids are.
    if (byte > 0x7f) return fnv1a32OfBytes(utf8.encode(text))
    hash = Math.imul(hash ^ byte, 0x01000193)
  }
  return hash >>> 0
}

const fnv1a32OfBytes = (bytes: Uint8Array): number => {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/**
 * A number in [0, 1) that depends on the key alone. FNV alone gives close results for keys that differ only in their
 * last letter (`…-1`, `…-2`), so its bits are mixed once more with MurmurHash3's finaliser.
 */
export const spreadFraction = (key: string): number => {
  let hash = fnv1a32(key)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}

const SECOND = 1000

/**
 * The key's share of a room, in whole seconds: at least 0 and less than the room; 0 when the room is shorter than a
 * second. Argument and result are in milliseconds.
 */
export const spreadWithin = (key: string, roomMs: number): number =>
  roomMs < SECOND ? 0 : Math.floor((spreadFraction(key) * roomMs) / SECOND) * SECOND
