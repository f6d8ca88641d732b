// Entity tags of content that nobody outside may guess: under a key, a tag tells whether the content is the same and
// nothing else about it. Without one, whoever has a tag could try addresses and names until the hash fits.
import { createHmac } from 'node:crypto'
import type { KeyRing } from './key-ring.ts'

/** 162 bits, as base64url. */
const LENGTH = 27

export interface EntityTags {
  /** The tag of a text, in quotation marks (RFC 9110, 8.8.3). It changes with the key that encrypts. */
  entityTag(text: string): string
}

export const makeEntityTags = ({ keys }: { keys: KeyRing }): EntityTags => ({
  entityTag: (text) =>
    `"${createHmac('sha256', keys.current.entityTag).update(text).digest('base64url').slice(0, LENGTH)}"`,
})
