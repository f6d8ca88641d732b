// Entity tags: the same for the same content under the same key, and nothing that can be tried without it.
import { expect, test } from 'vitest'
import { makeEntityTags } from '../../src/crypto/entity-tag.ts'
import { sha256 } from '../../src/crypto/hashing.ts'
import { ringOf } from './keys.ts'

const TEXT = '["user@example.com"]'

test('the same content has the same tag under the key that encrypts, and another under another', () => {
  const { entityTag } = makeEntityTags({ keys: ringOf('k1') })
  expect(entityTag(TEXT)).toMatch(/^"[\w-]{27}"$/)
  expect(entityTag(TEXT)).toBe(makeEntityTags({ keys: ringOf('k1') }).entityTag(TEXT))
  expect(entityTag(TEXT)).not.toBe(entityTag('["other@example.com"]'))
  expect(entityTag(TEXT)).not.toBe(makeEntityTags({ keys: ringOf('k2') }).entityTag(TEXT))
})

test('it is no hash that anybody could try addresses against', () => {
  const { entityTag } = makeEntityTags({ keys: ringOf('k1') })
  expect(entityTag(TEXT)).not.toContain(sha256(TEXT).toString('base64url').slice(0, 27))
})
