// The token of `/r/<token>`: a renewal's id with a MAC. The token needs no storage, is the same in every message of a
// renewal, and cannot be guessed. Anyone who holds a token can open its start page, so tokens are never logged.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { KeyRing } from './key-ring.ts'

const ID_BYTES = 16
const MAC_BYTES = 16
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** 32 bytes as base64url. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/

const macOf = (id: Uint8Array, key: KeyObject): Buffer =>
  createHmac('sha256', key).update(id).digest().subarray(0, MAC_BYTES)

const uuidOf = (bytes: Buffer): string =>
  bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

export interface StartLinks {
  /** Makes a token: 43 characters of base64url. Throws a TypeError when the id is not a lower-case UUID. */
  startLinkToken(renewalId: string): string
  /** The renewal's id; undefined for an invalid token, that is, one that none of our keys has made. */
  renewalOfToken(token: string): string | undefined
}

export const makeStartLinks = ({ keys }: { keys: KeyRing }): StartLinks => ({
  startLinkToken(renewalId) {
    if (!UUID.test(renewalId)) throw new TypeError('a start link is made for a renewal id, which is a lower-case UUID')
    const id = Buffer.from(renewalId.replaceAll('-', ''), 'hex')
    return Buffer.concat([id, macOf(id, keys.current.startLink)]).toString('base64url')
  },

  renewalOfToken(token) {
    if (!TOKEN.test(token)) return undefined
    const bytes = Buffer.from(token, 'base64url')
    // The last character has two unused bits, so a token has four spellings, of which only one is valid.
    if (bytes.toString('base64url') !== token) return undefined
    const id = bytes.subarray(0, ID_BYTES)
    const mac = bytes.subarray(ID_BYTES)
    // All keys are tried without an early return, so that the time does not reveal which key matched.
    const matches = keys.all.filter(({ startLink }) => timingSafeEqual(mac, macOf(id, startLink)))
    return matches.length > 0 ? uuidOf(id) : undefined
  },
})
