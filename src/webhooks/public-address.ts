// Which addresses webhooks may be sent to: public ones. An endpoint is chosen by whoever may run a command or call the
// API, and must not become a way to what only this machine can reach.
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

export interface Address {
  readonly address: string
  readonly family: 4 | 6
}

/** All addresses of a host. Rejects where there is none. */
export type Resolve = (host: string) => Promise<readonly Address[]>

/** As the system resolves names, /etc/hosts included. */
export const systemResolve: Resolve = async (host) => {
  const found = await lookup(host, { all: true })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

/** IANA has given out nothing else of IPv6 as public unicast (RFC 4291, and its registry of 2000::/3). */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3]

/**
 * Whether an address is public. ipaddr.js knows IANA's registries of special addresses: private, loopback, link-local,
 * shared (CGNAT), multicast, documentation and the like. Addresses that carry an IPv4 address (mapped, NAT64, 6to4,
 * Teredo) are no public unicast to it, whatever they carry.
 */
export const isPublic = (address: string): boolean => {
  if (isIP(address) === 0) return false
  const parsed = ipaddr.parse(address)
  if (parsed.range() !== 'unicast') return false
  return parsed instanceof ipaddr.IPv4 || parsed.match(GLOBAL_UNICAST)
}

const isLoopbackAddress = (address: string): boolean =>
  isIP(address) !== 0 && ipaddr.parse(address).range() === 'loopback'

/** `isDevelopment`: this machine itself may be meant too, and http. */
export interface Reach {
  readonly isDevelopment: boolean
}

export const mayBeSentTo = (address: string, { isDevelopment }: Reach): boolean =>
  isPublic(address) || (isDevelopment && isLoopbackAddress(address))

/** The host of an address without the brackets of IPv6. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '')

const MAX_URL_LENGTH = 2_000

/**
 * What is wrong with an endpoint's address, as a sentence without its subject; undefined if nothing is. A name is not
 * resolved here: what counts is what it resolves to when something is sent.
 */
export const urlProblem = (text: string, reach: Reach): string | undefined => {
  if (!URL.canParse(text)) return 'is no web address'
  if (text.length > MAX_URL_LENGTH) return `is longer than ${MAX_URL_LENGTH} characters`
  const url = new URL(text)
  const schemes = reach.isDevelopment ? ['https:', 'http:'] : ['https:']
  if (!schemes.includes(url.protocol)) return 'must begin with https://'
  if (url.username !== '' || url.password !== '') return 'must not hold a user or password'
  if (text.includes('#')) return 'must not have a part behind #'
  const host = hostOf(url)
  if (isIP(host) !== 0 && !mayBeSentTo(host, reach)) return 'is not a public address'
  return undefined
}
