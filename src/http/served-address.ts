// Finds which of our addresses a request target means. Banks, proxies and mail clients respell the addresses that users
// follow; the router, the import and doctor all use this one function. It never turns a target into an address for
// machines (/v1, /ops, /metrics …).

/**
 * The lengths of the token in `/r/<token>` and of the id in `/done/<id>`, as crypto makes them. Anything appended is
 * cut off.
 */
const lengths: Readonly<Record<string, number>> = { r: 43, done: 22 }

/** Where a path ends, even if a proxy has encoded the `?`, `#` or `&`. */
const END_OF_PATH = /[?#&]|%(?:3f|23|26)/i

/** Decodes percent-encoding. Bytes that are not UTF-8 stay encoded. */
const decode = (text: string): string =>
  text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run)
    } catch {
      return run
    }
  })

/**
 * The path's segments without empty ones, `.` and path parameters (`;jsessionid=…`). The path is decoded twice, because
 * some proxies encode what is already encoded.
 */
const segmentsOf = (path: string): string[] =>
  decode(decode(path))
    .split(/[/\\]/)
    .map((segment) => segment.replace(/;.*$/s, ''))
    .filter((segment) => segment !== '' && segment !== '.')

/** A redirect_uri may have been registered with invisible characters: the bank's redirect then holds them too. */
const normalisedSegment = (segment: string): string => segment.replaceAll(/[\p{Cf}\p{Z}\p{Cc}]/gu, '').toLowerCase()

/**
 * The parameters of a callback. They may be joined to the path by `&` or `#`, to one another by `&amp;`, or by `?` to a
 * query that was there before.
 */
const queryOf = (tail: string): string => {
  const marked = tail.replace(/^%(?:3f|23|26)/i, '?')
  const query = marked !== tail && !tail.includes('=') ? decode(marked) : marked
  return (
    query
      .replaceAll('&amp;', '&')
      // The lookbehind keeps the search from starting again at each character of a long run.
      .replaceAll(/#+|(?<!\?)\?+(?=(?:code|state|error)=)/g, '&')
      .replace(/^[?&]+/, '')
      .replace(/(?<![?&])[?&]+$/, '')
      // Removes a slash that was appended to the whole address; a code may end in a slash, a state of ours does not.
      .replace(/((?:^|&)state=[\w-]{43})\/$/, '$1')
  )
}

/** `/callback?<query>`, `/r/<token>` or `/done/<id>` for any spelling of these; every other target unchanged. Pure. */
export const servedAddress = (target: string): string => {
  const inside = target.replace(/^https?:\/\/[^/?#]*/i, '')
  const end = inside.search(END_OF_PATH)
  const [path, tail] = end < 0 ? [inside, ''] : [inside.slice(0, end), inside.slice(end)]
  const [first = '', ...others] = segmentsOf(path)
  const word = normalisedSegment(first)
  if (word === 'callback' && others.length === 0) {
    const query = queryOf(tail)
    return query === '' ? '/callback' : `/callback?${query}`
  }
  const length = lengths[word]
  const id = length === undefined ? undefined : /^[\w-]+/.exec(others.join('/'))?.[0].slice(0, length)
  return id !== undefined && id.length === length ? `/${word}/${id}` : target
}

/** The URL's port, or its scheme's default port. */
const portOf = ({ port, protocol }: URL): string => port || (protocol === 'http:' ? '80' : '443')

const isSameHost = (url: URL, other: URL): boolean => {
  const [name, otherName] = [url, other].map(({ hostname }) => hostname.replace(/\.$/, ''))
  // http and https on the same host name are one server, each on its usual port.
  return name === otherName && (url.port === other.port || portOf(url) === portOf(other))
}

/** A bank adds its parameters to those of the redirect_uri, and a parameter may come only once (RFC 6749, 3.1). */
const acceptsCode = (served: string): boolean => {
  const [path, query] = served.split(/\?(.*)/s)
  const own = new URLSearchParams(query)
  return path === '/callback' && !['code', 'state', 'error'].some((name) => own.has(name))
}

/**
 * Whether a redirect_uri on our own host takes no code, so that every code sent there is lost. Other hosts are not
 * checked.
 */
export const losesCodes = (redirectUri: string, publicUrl: string): boolean => {
  if (!URL.canParse(redirectUri)) return false
  const url = new URL(redirectUri)
  return isSameHost(url, new URL(publicUrl)) && !acceptsCode(servedAddress(`${url.pathname}${url.search}`))
}
