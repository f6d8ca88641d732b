// The token of `/r/<token>`: a renewal's id with a MAC. Nothing to store, the same in every message of a renewal, not
// to be guessed. Whoever holds one can open that start page: it is never logged.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { KeyRing } from './key-ring.ts'

const ID_BYTES = 16
const MAC_BYTES = 16
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
/** 32 bytes in base64url. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/

const macOf = (id: Uint8Array, key: KeyObject): Buffer =>
  createHmac('sha256', key).update(id).digest().subarray(0, MAC_BYTES)

const uuidOf = (bytes: Buffer): string =>
  bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

export interface StartLinks {
  /** 43 characters of base64url. Throws a TypeError when the id is not a lower-case UUID. */
  startLinkToken(renewalId: string): string
  /** The renewal's id; undefined for anything that no key of ours has made. */
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
    // The last character has two bits to spare: only one of its four spellings is ours.
    if (bytes.toString('base64url') !== token) return undefined
    const id = bytes.subarray(0, ID_BYTES)
    const mac = bytes.subarray(ID_BYTES)
    // No early return: the time says nothing about which key it was.
    const matches = keys.all.filter(({ startLink }) => timingSafeEqual(mac, macOf(id, startLink)))
    return matches.length > 0 ? uuidOf(id) : undefined
  },
})
