// What ENCRYPTION_KEYS may hold, and what is reported of any other value.
import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseKeyRing } from '../../src/crypto/key-ring.ts'
import { Secret } from '../../src/secret.ts'
import { keyText, ringOf } from './keys.ts'

const problemsOf = (text: string): readonly string[] => {
  const parsed = parseKeyRing(new Secret(text))
  return 'problems' in parsed ? parsed.problems : []
}

const good = keyText('good')
const other = keyText('other')

describe('the key ring', () => {
  test('the first key encrypts, all keys are available', () => {
    const ring = ringOf('k2', 'k1')
    expect(ring.current.id).toBe('k2')
    expect(ring.all.map(({ id }) => id)).toEqual(['k2', 'k1'])
  })

  test('base64 and base64url, with and without padding, and spaces around entries', () => {
    const bytes = Buffer.alloc(32, Buffer.from('fbff3e01', 'hex'))
    for (const written of [
      bytes.toString('base64'),
      bytes.toString('base64').replace('=', ''),
      bytes.toString('base64url'),
    ]) {
      expect(problemsOf(` a:${written} , b:${good}`)).toEqual([])
    }
  })

  test.each([
    ['an empty text', '', ['key 1 is empty: there is a comma too many']],
    ['a comma too many', `a:${good},`, ['key 2 is empty: there is a comma too many']],
    ['no id', good, ['key 1 has no id: write it as id:base64']],
    ['an empty id', `:${good}`, ['key 1 has an id that is not 1 to 16 letters, digits, "-" or "_"']],
    ['id and key swapped', `${good}:a`, ['key 1 has an id that is not 1 to 16 letters, digits, "-" or "_"']],
    ['an id with a dot', `a.b:${good}`, ['key 1 has an id that is not 1 to 16 letters, digits, "-" or "_"']],
    ['no key', 'a:', ['key 1 has no key after the colon']],
    ['a short key', `a:${randomBytes(16).toString('base64')}`, ['key 1 is 16 bytes long instead of exactly 32']],
    ['one byte short', `a:${randomBytes(31).toString('base64')}`, ['key 1 is 31 bytes long instead of exactly 32']],
    ['a long key', `a:${randomBytes(33).toString('base64')}`, ['key 1 is 33 bytes long instead of exactly 32']],
    [
      '64 hex digits, which are base64 of 48 bytes',
      `a:${randomBytes(32).toString('hex')}`,
      ['key 1 is 48 bytes long instead of exactly 32'],
    ],
    ['other characters', `a:${good.slice(0, 20)}!${good.slice(21)}`, ['key 1 is not valid base64']],
    ['a second spelling of the last character', `a:${'A'.repeat(42)}B`, ['key 1 is not valid base64']],
    ['all zero', `a:${Buffer.alloc(32).toString('base64')}`, ['key 1 is one byte repeated, not a random key']],
    ['an id twice', `a:${good},a:${other}`, ['key 2 has the id of key 1: each id once']],
    ['a key twice', `a:${good},b:${good}`, ['key 2 is the same key as key 1']],
    ['several at once', `a:,${good}`, ['key 1 has no key after the colon', 'key 2 has no id: write it as id:base64']],
  ])('refuses %s', (_, text, problems) => {
    expect(problemsOf(text)).toEqual(problems)
  })

  test('a problem shows no part of what was written', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 20, maxLength: 60 }),
        fc.constantFrom('', 'k1:', 'k1:x', 'k1;', 'k1=', ':'),
        (bytes, before) => {
          const secret = Buffer.from(bytes).toString('base64')
          const shown = problemsOf(`${before}${secret}`).join()
          for (let at = 0; at + 8 <= secret.length; at += 1) expect(shown).not.toContain(secret.slice(at, at + 8))
        },
      ),
    )
  })

  test('printing a ring shows no key', () => {
    const ring = ringOf('k1')
    const printed = inspect(ring, { depth: 9, showHidden: true }) + JSON.stringify(ring)
    expect(printed).not.toContain(keyText('k1'))
    expect(printed).not.toContain(Buffer.from(keyText('k1'), 'base64').toString('hex').slice(0, 8))
  })
})
