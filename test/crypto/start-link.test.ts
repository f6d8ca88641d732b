// Start-link tokens: only our own tokens are accepted, and only in their one spelling.
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { ringOf } from './keys.ts'

const { startLinkToken, renewalOfToken } = makeVault({ keys: ringOf('k1') })
const renewalId = '0198a6c2-1234-7abc-8def-0123456789ab'
const token = startLinkToken(renewalId)

describe('a start link', () => {
  test('leads back to its renewal, and is the same in every message', () => {
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(startLinkToken(renewalId)).toBe(token)
    expect(renewalOfToken(token)).toBe(renewalId)
    fc.assert(fc.property(fc.uuid(), (id) => renewalOfToken(startLinkToken(id)) === id))
  })

  test('stays valid under a new first key, and is invalid without its own', () => {
    const rotated = makeVault({ keys: ringOf('k2', 'k1') })
    expect(rotated.renewalOfToken(token)).toBe(renewalId)
    expect(rotated.startLinkToken(renewalId)).not.toBe(token)
    expect(makeVault({ keys: ringOf('k2') }).renewalOfToken(token)).toBeUndefined()
  })

  test('with any bit flipped leads nowhere', () => {
    for (let bit = 0; bit < 256; bit += 1) {
      const bytes = Buffer.from(token, 'base64url')
      bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      expect(renewalOfToken(bytes.toString('base64url'))).toBeUndefined()
    }
  })

  test('the MAC of one renewal is invalid for another', () => {
    const id = Buffer.from(randomUUID().replaceAll('-', ''), 'hex')
    expect(
      renewalOfToken(Buffer.concat([id, Buffer.from(token, 'base64url').subarray(16)]).toString('base64url')),
    ).toBeUndefined()
  })

  test('has one spelling', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const spellings = [...alphabet]
      .map((last) => token.slice(0, -1) + last)
      .filter((text) => renewalOfToken(text) !== undefined)
    expect(spellings).toEqual([token])
    for (const text of [
      `${token}=`,
      `${token}\n`,
      ` ${token}`,
      token.slice(0, -1),
      `${token}A`,
      token.replaceAll('-', '+'),
      '',
    ]) {
      if (text !== token) expect(renewalOfToken(text)).toBeUndefined()
    }
  })

  test('nothing else that anybody types leads anywhere or throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.base64String({ minLength: 44, maxLength: 44 })),
        (text) => renewalOfToken(text) === undefined,
      ),
    )
    expect(renewalOfToken('A'.repeat(1_000_000))).toBeUndefined()
  })

  test.each(['', 'not-an-id', renewalId.toUpperCase(), `${renewalId}0`, renewalId.replaceAll('-', '')])(
    'is not made for %o',
    (id) => {
      expect(() => startLinkToken(id)).toThrow(TypeError)
    },
  )

  test('is made by a vault that also seals and opens', () => {
    const vault = makeVault({ keys: ringOf('k1') })
    const cell = { table: 'authorisations', column: 'code', rowId: renewalId, version: 1 }
    expect(vault.open(vault.seal(new Secret('code'), cell), cell).reveal()).toBe('code')
  })
})
