// TRUSTED_PROXIES: the proxies that are trusted to name a client's address. A mistake here would let any client choose
// the address that limits count by, so every doubtful entry is refused.
import { BlockList, isIP } from 'node:net'

/** The names that proxy-addr knows: this machine, link-local addresses, private networks. */
const NAMES: readonly string[] = ['loopback', 'linklocal', 'uniquelocal']

/** Whether a range holds all addresses of IPv4, also when written as IPv6: `::ffff:0:0/96` holds each of them. */
const isEverybody = (address: string, bits: number): boolean => {
  if (bits === 0) return true
  const range = new BlockList()
  range.addSubnet(address, bits, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return ['::ffff:0.0.0.0', '::ffff:255.255.255.255'].every((end) => range.check(end, 'ipv6'))
}

const problemOf = (entry: string): string | undefined => {
  if (NAMES.includes(entry)) return undefined
  if (/^(?:true|false|all|any|\*|\d+)$/i.test(entry))
    return (
      'is neither an address nor a name: a number of hops is not accepted, because a client that comes through ' +
      'fewer proxies could choose its own address'
    )
  const [address = '', bits, ...more] = entry.split('/')
  const family = address.includes('%') ? 0 : isIP(address)
  if (family === 0 || more.length > 0)
    return (
      `is not an IP address, a range such as 10.0.0.0/8, or one of ${NAMES.join(', ')}; host names are not ` +
      'looked up'
    )
  if (bits === undefined) return undefined
  const most = family === 4 ? 32 : 128
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > most) return `has a range that is not one of /1 to /${most}`
  return isEverybody(address, Number(bits)) ? 'means everybody: name the load balancer alone' : undefined
}

/**
 * Parses addresses, ranges and names, separated by commas or spaces. A problem names an entry by its position and never
 * repeats its text.
 */
export const parseTrustedProxies = (
  text: string,
): { readonly entries: readonly string[]; readonly problems: readonly string[] } => {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '')
  const problems = entries.flatMap((entry, at) => {
    const problem = problemOf(entry)
    return problem === undefined ? [] : [`entry ${at + 1} ${problem}`]
  })
  return { entries, problems: entries.length === 0 ? ['names no proxy: leave it out, or name one'] : problems }
}
