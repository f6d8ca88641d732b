// Parses REDIS_URL: one server, a cluster or sentinels, the login and the TLS trust. Pure. No problem text repeats a
// value, because the value may be a password.

export interface Host {
  readonly host: string
  readonly port: number
}

export interface Login {
  readonly username?: string
  readonly password?: string
}

/** Paths of PEM files, as given, and the name that the server's certificate must have. */
export interface Trust {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
}

interface Shared {
  readonly login: Login
  readonly tls: boolean
  readonly trust: Trust
  /** 4 or 6 to use only IPv4 or only IPv6; 0 for either. */
  readonly family: 0 | 4 | 6
}

export type RedisAddress = Shared &
  (
    | { readonly topology: 'single'; readonly at: Host; readonly db: number }
    /** `nodes`: the nodes contacted first; they name the others. */
    | { readonly topology: 'cluster'; readonly nodes: readonly Host[] }
    | {
        readonly topology: 'sentinel'
        readonly sentinels: readonly Host[]
        /** The name by which the sentinels know the primary. */
        readonly primary: string
        readonly db: number
        readonly sentinelLogin: Login
        readonly sentinelTls: boolean
      }
  )

type Parsed = { readonly address: RedisAddress } | { readonly problem: string }
/** Finds the known name that was most likely meant. */
type Nearest = (name: string, known: readonly string[]) => string | undefined

const schemes: Readonly<Record<string, { readonly topology: RedisAddress['topology']; readonly tls: boolean }>> = {
  redis: { topology: 'single', tls: false },
  rediss: { topology: 'single', tls: true },
  'redis-cluster': { topology: 'cluster', tls: false },
  'rediss-cluster': { topology: 'cluster', tls: true },
  'redis-sentinel': { topology: 'sentinel', tls: false },
  'rediss-sentinel': { topology: 'sentinel', tls: true },
}

const examples = {
  single: 'redis://user:password@host:6379',
  cluster: 'redis-cluster://user:password@host1:6379,host2:6379',
  sentinel: 'redis-sentinel://user:password@host1:26379,host2:26379/mymaster',
} as const

const usualPort = { single: 6379, cluster: 6379, sentinel: 26379 } as const

const ofTls = ['ca', 'cert', 'key', 'servername'] as const
const ofSentinel = ['sentinel_user', 'sentinel_password', 'sentinel_tls'] as const
const parameters = ['family', ...ofTls, ...ofSentinel] as const

class Problem extends Error {}

const refuse = (what: string): never => {
  throw new Problem(what)
}

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse('has a % that is not followed by two hex digits: write % itself as %25')
  }
}

const hostOf = (text: string, topology: RedisAddress['topology']): Host => {
  const match = /^(?:\[([0-9a-f:.]+(?:%[\w.-]+)?)\]|([^\s[\]:,@]+))(?::(\d{1,5}))?$/i.exec(text)
  const port = Number(match?.[3] ?? usualPort[topology])
  if (match === null || port < 1 || port > 65_535) {
    return refuse(
      `is not a valid address such as ${examples[topology]}: in user and password, write special characters as %XX`,
    )
  }
  return { host: match[1] ?? decode(match[2] ?? ''), port }
}

const loginOf = (text: string | undefined): Login => {
  if (text === undefined || text === '') return {}
  const colon = text.indexOf(':')
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  const password = colon < 0 ? '' : decode(text.slice(colon + 1))
  return username === '' ? { password } : { username, password }
}

const dbOf = (text: string): number => {
  if (text === '') return 0
  return /^\d{1,4}$/.test(text) ? Number(text) : refuse('names a database that is not a number: /0 is the first')
}

const yesOrNo = (name: string, text: string): boolean =>
  text === 'true' || text === 'false'
    ? text === 'true'
    : refuse(`has the parameter ${name}, which must be true or false`)

/**
 * Reads the parameters, each known name at most once. An unknown name is repeated only when it looks like a name,
 * because it may be half a password.
 */
const parametersOf = (query: string, allowed: readonly string[], nearest: Nearest): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(query)) {
    if (!(parameters as readonly string[]).includes(name)) {
      const meant = nearest(name, allowed)
      const shown = /^[a-z_-]{1,30}$/i.test(name) ? `the unknown parameter ${name}` : 'an unknown parameter'
      refuse(`has ${shown}${meant === undefined ? `: known are ${allowed.join(', ')}` : `: did you mean ${meant}?`}`)
    }
    if (!allowed.includes(name))
      refuse(
        `has the parameter ${name}, which means something only with ` +
          (name.startsWith('sentinel') ? 'sentinels' : 'rediss://'),
      )
    if (found.has(name)) refuse(`has the parameter ${name} twice`)
    if (value === '') refuse(`has the parameter ${name} without a value`)
    found.set(name, value)
  }
  return found
}

const trustOf = (given: ReadonlyMap<string, string>): Trust => {
  if (given.has('cert') !== given.has('key'))
    refuse('has one of the parameters cert and key: a certificate of ours needs both')
  return Object.fromEntries(ofTls.flatMap((name) => (given.has(name) ? [[name, given.get(name)]] : [])))
}

const parse = (text: string, nearest: Nearest): RedisAddress => {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? []
  const kind = schemes[scheme.toLowerCase()]
  if (kind === undefined) {
    const meant = nearest(scheme, Object.keys(schemes))
    const all =
      'redis:// or rediss:// for one server, redis-cluster://, rediss-cluster://, redis-sentinel:// or ' +
      'rediss-sentinel:// for several'
    return refuse(`must begin with ${all}${meant === undefined ? '' : `: did you mean ${meant}://?`}`)
  }
  const { topology } = kind
  const [, authority = '', path = '', query = ''] =
    /^([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(rest) ?? refuse('holds a #: in user and password, write it as %23')
  const at = authority.lastIndexOf('@')
  const hostsText = authority.slice(at + 1)
  if (hostsText === '') refuse(`names no host: write it as ${examples[topology]}`)
  // A password may contain an unescaped @. If a comma follows later, the @ more likely begins a second host, with the
  // login repeated.
  if (/@[^@]*,/.test(authority.slice(0, Math.max(0, at)))) {
    refuse(`has an @ before the last host: the login is written once, ${examples.cluster}, and an @ in it as %40`)
  }
  const hosts = hostsText.split(',').map((host) => hostOf(host, topology))
  const allowed = parameters.filter(
    (name) =>
      name === 'family' ||
      ((kind.tls || topology === 'sentinel') && (ofTls as readonly string[]).includes(name)) ||
      (topology === 'sentinel' && name.startsWith('sentinel_')),
  )
  const given = parametersOf(query, allowed, nearest)
  const family = given.get('family') ?? '0'
  if (!['0', '4', '6'].includes(family)) refuse('has the parameter family, which must be 4 or 6')
  const shared: Shared = {
    login: loginOf(at < 0 ? undefined : authority.slice(0, at)),
    tls: kind.tls,
    trust: trustOf(given),
    family: Number(family) as Shared['family'],
  }
  if (topology === 'single') {
    const [only, ...others] = hosts
    if (only === undefined || others.length > 0)
      return refuse('names several hosts: for a cluster write redis-cluster://, for sentinels redis-sentinel://')
    return { ...shared, topology, at: only, db: dbOf(path) }
  }
  if (topology === 'cluster') {
    if (path !== '') refuse('names a database: a cluster has only one, leave out what follows the last host')
    return { ...shared, topology, nodes: hosts }
  }
  const [primary = '', db = '', ...more] = path.split('/')
  if (primary === '' || more.length > 0)
    refuse(`must name the primary as its sentinels call it, perhaps with a database: ${examples.sentinel}`)
  const sentinelPassword = given.get('sentinel_password')
  const sentinelUser = given.get('sentinel_user')
  return {
    ...shared,
    topology,
    sentinels: hosts,
    primary: decode(primary),
    db: dbOf(db),
    sentinelLogin: {
      ...(sentinelUser === undefined ? {} : { username: sentinelUser }),
      ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
    },
    sentinelTls: given.has('sentinel_tls') ? yesOrNo('sentinel_tls', given.get('sentinel_tls') ?? '') : kind.tls,
  }
}

/** Parses the address of a Redis. The text of `problem` is written to follow the variable's name in a sentence. */
export const parseRedisUrl = (text: string, nearest: Nearest = () => undefined): Parsed => {
  try {
    return { address: parse(text, nearest) }
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message }
    throw error
  }
}

/** The hosts of the address without the login, for logs and findings. */
export const hostList = (address: RedisAddress): string => {
  const hosts =
    address.topology === 'single' ? [address.at] : address.topology === 'cluster' ? address.nodes : address.sentinels
  return hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',')
}
