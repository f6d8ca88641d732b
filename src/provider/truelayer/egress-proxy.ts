// Decides which calls go through the proxy of HTTPS_PROXY. Pure; http.ts makes the call, by Node's own agent.
import { BlockList, isIP } from 'node:net'
import { isLoopback } from '../../loopback.ts'
import type { Secret } from '../../secret.ts'

export interface EgressProxy {
  /** `http://user:password@host:port`, or https. */
  readonly url: Secret
  /** Entries of NO_PROXY: `*`, `host`, `.domain`, an address, a CIDR range; a host or an address may have a `:port`. */
  readonly bypass: readonly string[]
}

/** The host name without the brackets of an IPv6 address and without the root's trailing dot. */
const nameOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')

const entryOf = (entry: string): { readonly name: string; readonly port: string | undefined } => {
  // In an IPv6 address without brackets, a colon does not introduce a port.
  if (isIP(entry.split('/')[0] ?? '') === 6) return { name: entry, port: undefined }
  const [, six, other, port] = /^(?:\[(.*)\]|(.*?))(?::(\d+))?$/.exec(entry) ?? []
  return { name: six ?? other ?? '', port }
}

const isWithin = (address: string, range: string): boolean => {
  const family = isIP(address)
  const [start = '', bits = family === 4 ? '32' : '128'] = range.split('/')
  if (family === 0 || isIP(start) !== family || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128))
    return false
  const list = new BlockList()
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  list.addSubnet(start, Number(bits), kind)
  return list.check(address, kind)
}

/** Matches as curl and Go do: a name covers itself and all its subdomains. An unreadable entry matches nothing. */
const isBypassed = (entry: string, name: string, port: string): boolean => {
  const { name: wanted, port: wantedPort } = entryOf(entry.toLowerCase())
  if (wantedPort !== undefined && wantedPort !== port) return false
  if (wanted === '*' || isWithin(name, wanted)) return true
  const domain = wanted.replace(/^\*?\./, '').replace(/\.$/, '')
  return domain !== '' && isIP(name) === 0 && (name === domain || name.endsWith(`.${domain}`))
}

/**
 * Only https calls use the proxy: unencrypted ones go to a simulator, directly. Calls to this machine do not use a
 * proxy elsewhere, because for that proxy `localhost` is the proxy itself.
 */
export const goesByProxy = (address: string, { url, bypass }: EgressProxy): boolean => {
  if (!URL.canParse(address)) return false
  const target = new URL(address)
  const name = nameOf(target)
  if (target.protocol !== 'https:' || (isLoopback(name) && !isLoopback(nameOf(new URL(url.reveal()))))) return false
  return !bypass.some((entry) => isBypassed(entry, name, target.port || '443'))
}
