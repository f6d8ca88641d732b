// Which of our addresses a request target means. Banks, proxies and mail clients respell what users follow; the router,
// the import and doctor judge by this one function. Addresses of machines (/v1, /ops, /metrics …) are never among its
// answers.

/** Of `/r/<token>` and `/done/<id>`, as crypto makes them: what is glued behind is no part of them. */
const lengths: Readonly<Record<string, number>> = { r: 43, done: 22 }

/** Where a path ends, also when a proxy has encoded the mark. */
const END_OF_PATH = /[?#&]|%(?:3f|23|26)/i

/** Leaves what is no UTF-8 as it is. */
const decode = (text: string): string =>
  text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run)
    } catch {
      return run
    }
  })

/**
 * Without empty ones, `.` and path parameters (`;jsessionid=…`). Decoded twice: some proxies encode what is encoded
 * already.
 */
const segmentsOf = (path: string): string[] =>
  decode(decode(path))
    .split(/[/\\]/)
    .map((segment) => segment.replace(/;.*$/s, ''))
    .filter((segment) => segment !== '' && segment !== '.')

/** What redirect_uri was registered with, invisible characters included, is what the bank's redirect comes to. */
const wordOf = (segment: string): string => segment.replaceAll(/[\p{Cf}\p{Z}\p{Cc}]/gu, '').toLowerCase()

/**
 * The parameters of a callback: glued to the path by `&` or `#`, to one another by `&amp;`, or to a query that was
 * there before by `?`.
 */
const queryOf = (tail: string): string => {
  const marked = tail.replace(/^%(?:3f|23|26)/i, '?')
  const query = marked !== tail && !tail.includes('=') ? decode(marked) : marked
  return (
    query
      .replaceAll('&amp;', '&')
      // What stands before keeps a long run from being begun at each of its characters.
      .replaceAll(/#+|(?<!\?)\?+(?=(?:code|state|error)=)/g, '&')
      .replace(/^[?&]+/, '')
      .replace(/(?<![?&])[?&]+$/, '')
      // A slash that was put behind the whole address; a code may end in one, a state of ours does not.
      .replace(/((?:^|&)state=[\w-]{43})\/$/, '$1')
  )
}

/** `/callback?<query>`, `/r/<token>` or `/done/<id>` for any spelling of these; every other target as it came. Pure. */
export const servedAddress = (target: string): string => {
  const inside = target.replace(/^https?:\/\/[^/?#]*/i, '')
  const end = inside.search(END_OF_PATH)
  const [path, tail] = end < 0 ? [inside, ''] : [inside.slice(0, end), inside.slice(end)]
  const [first = '', ...others] = segmentsOf(path)
  const word = wordOf(first)
  if (word === 'callback' && others.length === 0) {
    const query = queryOf(tail)
    return query === '' ? '/callback' : `/callback?${query}`
  }
  const length = lengths[word]
  const id = length === undefined ? undefined : /^[\w-]+/.exec(others.join('/'))?.[0].slice(0, length)
  return id !== undefined && id.length === length ? `/${word}/${id}` : target
}

/** Without a port: the one that the scheme stands for. */
const portOf = ({ port, protocol }: URL): string => port || (protocol === 'http:' ? '80' : '443')

const isSameHost = (one: URL, other: URL): boolean => {
  const [name, otherName] = [one, other].map(({ hostname }) => hostname.replace(/\.$/, ''))
  // http and https of one name are one server, each on its usual port.
  return name === otherName && (one.port === other.port || portOf(one) === portOf(other))
}

/** A bank's parameters stand beside those of the redirect_uri; one that comes twice is no callback (RFC 6749, 3.1). */
const acceptsCode = (served: string): boolean => {
  const [path, query] = served.split(/\?(.*)/s)
  const own = new URLSearchParams(query)
  return path === '/callback' && !['code', 'state', 'error'].some((name) => own.has(name))
}

/** A redirect_uri on our own host that takes no code: each that is sent there is lost. Others are not ours to judge. */
export const isDeadCallback = (redirectUri: string, publicUrl: string): boolean => {
  if (!URL.canParse(redirectUri)) return false
  const url = new URL(redirectUri)
  return isSameHost(url, new URL(publicUrl)) && !acceptsCode(servedAddress(`${url.pathname}${url.search}`))
}
