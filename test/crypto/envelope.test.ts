// A sealed column opens in its own place and nowhere else.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecryptionFailed, makeEnvelope } from '../../src/crypto/envelope.ts'
import type { CellAddress } from '../../src/crypto/envelope.ts'
import { parseKeyRing } from '../../src/crypto/key-ring.ts'
import { PermanentError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { keyText, ringOf } from './keys.ts'

const { seal, open } = makeEnvelope({ keys: ringOf('k1') })
const cell: CellAddress = {
  table: 'consents',
  column: 'refresh_token',
  rowId: '0198a6c2-0000-7000-8000-000000000001',
  version: 3,
}
const token = 'a refresh token that nobody must see'
const sealed = seal(new Secret(token), cell)

/** The cause for which the sealed text does not open. */
const causeOf = (text: string, address: CellAddress = cell, openIt = open): string => {
  try {
    openIt(text, address)
  } catch (error) {
    expect(error).toBeInstanceOf(DecryptionFailed)
    expect(error).toBeInstanceOf(PermanentError)
    expect((error as DecryptionFailed).code).toBe('decryption-failed')
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(token)
    return (error as DecryptionFailed).cause
  }
  return 'it opens'
}

const bytesOf = (part: string | undefined): Buffer => Buffer.from(part ?? '', 'base64url')

describe('a sealed column', () => {
  test('opens in its place, as a Secret', () => {
    expect(open(sealed, cell).reveal()).toBe(token)
    expect(String(open(sealed, cell))).toBe('[secret]')
  })

  test('has the documented format and shows nothing', () => {
    const [format, keyId, iv, body] = sealed.split('.')
    expect([format, keyId, bytesOf(iv).length, bytesOf(body).length]).toEqual(['v1', 'k1', 12, token.length + 16])
    expect(sealed).not.toContain(token)
  })

  test('is different each time the same value is sealed', () => {
    const all = Array.from({ length: 100 }, () => seal(new Secret(token), cell))
    expect(new Set(all.map((text) => text.split('.')[2])).size).toBe(100)
  })

  test('any well-formed text comes back, the empty one too', () => {
    const name = fc.string({ maxLength: 20 })
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.record({ table: name, column: name, rowId: name, version: fc.maxSafeNat() }),
        (text, address) => {
          expect(open(seal(new Secret(text), address), address).reveal()).toBe(text)
        },
      ),
    )
    expect(open(seal(new Secret(''), cell), cell).reveal()).toBe('')
  })

  test.each<[string, Partial<CellAddress>]>([
    ['another row', { rowId: '0198a6c2-0000-7000-8000-000000000002' }],
    ['another column', { column: 'code' }],
    ['another table', { table: 'authorisations' }],
    ['a later version of its row: an old value put back', { version: 4 }],
    ['an earlier version', { version: 2 }],
    ['an address whose parts join to the same text', { table: 'consentsrefresh', column: '_token' }],
  ])('does not open in %s', (_, moved) => {
    expect(causeOf(sealed, { ...cell, ...moved })).toBe('not-authentic')
  })

  test('addresses that differ in anything never open each other', () => {
    const part = fc.string({ unit: fc.constantFrom('a', '.', '\u0000', '1'), maxLength: 3 })
    const address = fc.record({ table: part, column: part, rowId: part, version: fc.nat({ max: 12 }) })
    fc.assert(
      fc.property(address, address, (here, there) => {
        const same =
          JSON.stringify([here.table, here.column, here.rowId, here.version]) ===
          JSON.stringify([there.table, there.column, there.rowId, there.version])
        expect(causeOf(seal(new Secret('x'), here), there)).toBe(same ? 'it opens' : 'not-authentic')
      }),
    )
  })

  test('does not open with any one character changed, left out, or added', () => {
    for (let at = 0; at < sealed.length; at += 1) {
      for (const character of ['A', 'B', 'g', '.', '=', '\n', '']) {
        if (character === sealed[at]) continue
        expect(causeOf(sealed.slice(0, at) + character + sealed.slice(at + 1)), `at ${at}`).not.toBe('it opens')
      }
    }
    for (const character of ['A', '.', '=', ' ', '\n', '\u0000'])
      expect(causeOf(sealed + character)).not.toBe('it opens')
  })

  test('does not open with any one bit of iv, ciphertext or tag flipped', () => {
    const [format, keyId, ...parts] = sealed.split('.')
    for (const part of [0, 1]) {
      const bits = bytesOf(parts[part]).length * 8
      for (let bit = 0; bit < bits; bit += 1) {
        const bytes = bytesOf(parts[part])
        bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        const altered = parts.with(part, bytes.toString('base64url'))
        expect(causeOf([format, keyId, ...altered].join('.')), `part ${part}, bit ${bit}`).toBe('not-authentic')
      }
    }
  })

  test('has one spelling: unused bits of base64url are refused', () => {
    // 22 bytes leave two unused bits in the last base64url character.
    const text = seal(new Secret('123456'), cell)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = alphabet.indexOf(text.at(-1) ?? '')
    const respelled = text.slice(0, -1) + alphabet.charAt(last ^ 1)
    expect(bytesOf(respelled.split('.')[3]).equals(bytesOf(text.split('.')[3]))).toBe(true)
    expect(causeOf(respelled)).toBe('malformed')
  })

  test('does not open truncated, at any length', () => {
    for (let length = 0; length < sealed.length; length += 1)
      expect(causeOf(sealed.slice(0, length))).not.toBe('it opens')
  })

  test('does not open with its parts reordered, or mixed with those of another sealed text', () => {
    const [format = '', keyId = '', iv = '', body = ''] = sealed.split('.')
    const [, , otherIv = '', otherBody = ''] = seal(new Secret('something else entirely'), cell).split('.')
    for (const parts of [
      [format, keyId, body, iv],
      [format, iv, keyId, body],
      [keyId, format, iv, body],
      [format, keyId, iv, body, body],
    ]) {
      expect(causeOf(parts.join('.'))).toBe('malformed')
    }
    expect(causeOf([format, keyId, otherIv, body].join('.'))).toBe('not-authentic')
    expect(causeOf([format, keyId, iv, otherBody].join('.'))).toBe('not-authentic')
  })

  test.each([
    ['an empty text', ''],
    ['a plain token', 'abcdef'],
    ['another format version', sealed.replace('v1', 'v2')],
    ['dots alone', '...'],
    ['a tag cut short', `v1.k1.${'A'.repeat(16)}.${'A'.repeat(20)}`],
    ['a megabyte', 'v1.k1.'.padEnd(1_000_000, 'A')],
  ])('%s is malformed', (_, text) => {
    expect(causeOf(text)).toBe('malformed')
  })
})

describe('keys', () => {
  test('a new first key encrypts, the old one still decrypts', () => {
    const rotated = makeEnvelope({ keys: ringOf('k2', 'k1') })
    expect(rotated.open(sealed, cell).reveal()).toBe(token)
    expect(rotated.seal(new Secret(token), cell)).toMatch(/^v1\.k2\./)
  })

  test('a missing key is reported as such, with its id', () => {
    const { open: openWithout } = makeEnvelope({ keys: ringOf('k2') })
    expect(causeOf(sealed, cell, openWithout)).toBe('unknown-key')
    expect(() => openWithout(sealed, cell)).toThrow(expect.objectContaining({ keyId: 'k1' }))
  })

  test('another key under the same id does not open it', () => {
    const parsed = parseKeyRing(new Secret(`k1:${keyText('another')}`))
    if ('problems' in parsed) throw new Error('the key is well-formed')
    expect(causeOf(sealed, cell, makeEnvelope({ keys: parsed.keyRing }).open)).toBe('not-authentic')
  })

  test('the id in the text is authenticated too', () => {
    const both = makeEnvelope({ keys: ringOf('k1', 'k2') })
    expect(causeOf(sealed.replace('.k1.', '.k2.'), cell, both.open)).toBe('not-authentic')
  })
})

describe('a value that cannot be sealed', () => {
  test('half a surrogate pair, which has no UTF-8', () => {
    expect(() => seal(new Secret('\ud800'), cell)).toThrow(TypeError)
  })

  test.each([-1, 1.5, NaN, 2 ** 53])('a version of %d', (version) => {
    expect(() => seal(new Secret(token), { ...cell, version })).toThrow(RangeError)
  })
})
