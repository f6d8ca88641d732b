// Key rings for the tests of crypto, made from ENCRYPTION_KEYS in an operator's spelling.
import { createHash } from 'node:crypto'
import { parseKeyRing } from '../../src/crypto/key-ring.ts'
import type { KeyRing } from '../../src/crypto/key-ring.ts'
import { Secret } from '../../src/secret.ts'

/** 32 bytes, base64, different for each name. */
export const keyText = (name: string): string => createHash('sha256').update(name).digest('base64')

/** A ring with keys of these ids; the key of an id is the same in every ring. */
export const ringOf = (...ids: string[]): KeyRing => {
  const parsed = parseKeyRing(new Secret(ids.map((id) => `${id}:${keyText(id)}`).join(',')))
  if ('problems' in parsed) throw new Error(parsed.problems.join('; '))
  return parsed.keyRing
}
