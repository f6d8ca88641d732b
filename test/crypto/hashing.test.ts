// Hashing against published vectors; comparisons; random values that never repeat.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  challengeOf,
  newDoneId,
  newState,
  newVerifier,
  sameBytes,
  sameText,
  sha256,
  sha256Hex,
} from '../../src/crypto/hashing.ts'
import { Secret } from '../../src/secret.ts'

describe('hashing', () => {
  test('sha256 gives the vectors of FIPS 180-4', () => {
    expect(sha256Hex('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect(sha256('abc').toString('hex')).toBe(sha256Hex('abc'))
  })

  test('a secret hashes like its text', () => {
    expect(sha256Hex(new Secret('abc'))).toBe(sha256Hex('abc'))
  })

  test('the PKCE challenge is the one of RFC 7636, appendix B', () => {
    expect(challengeOf(new Secret('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'))).toBe(
      'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    )
  })

  test('states and verifiers are 43 characters that RFC 7636 allows, and never the same twice', () => {
    const fresh = Array.from({ length: 200 }, () => [newState().reveal(), newVerifier().reveal()]).flat()
    for (const value of fresh) expect(value).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(new Set(fresh).size).toBe(fresh.length)
    expect(`${newState()} ${JSON.stringify(newVerifier())}`).toBe('[secret] "[secret]"')
  })

  test('a done page has an id of 128 random bits', () => {
    expect(newDoneId()).toMatch(/^[A-Za-z0-9_-]{22}$/)
    expect(newDoneId()).not.toBe(newDoneId())
  })

  test('comparisons agree with ===', () => {
    const text = fc.string({ maxLength: 5 })
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(sameText(a, b)).toBe(a === b)
        expect(sameText(new Secret(a), a)).toBe(true)
        expect(sameBytes(Buffer.from(a), Buffer.from(b))).toBe(a === b)
      }),
    )
  })
})
