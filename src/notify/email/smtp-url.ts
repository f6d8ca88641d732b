// Reads SMTP_URL. Its errors name the part that is wrong and never the address, the user or the password.
import { isIP } from 'node:net'
import { Secret } from '../../secret.ts'

export interface SmtpServer {
  readonly host: string
  readonly port: number
  /** TLS from the first byte (`smtps:`). */
  readonly secure: boolean
  /** Refuse to go on without STARTTLS. */
  readonly requireTLS: boolean
  readonly ignoreTLS: boolean
  readonly login: { readonly user: string; readonly password: Secret } | undefined
  /** The name that we give in EHLO. */
  readonly name: string | undefined
  readonly tls: { readonly rejectUnauthorized?: boolean; readonly servername?: string }
}

const flags = ['requireTLS', 'ignoreTLS', 'tls.rejectUnauthorized']
const words = ['name', 'tls.servername']

/**
 * Narrower than loopback.ts: a login goes there without TLS, and a resolver may send `*.localhost` elsewhere.
 */
const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

/**
 * `smtp://` (STARTTLS where the server offers it; port 587 unless given) or `smtps://` (TLS at once; port 465 unless
 * given), with a percent-encoded `user:password@` where the server wants a login. Options after `?`: `requireTLS`,
 * `ignoreTLS`, `tls.rejectUnauthorized` (true or false), `name`, `tls.servername`. A login is sent only over TLS,
 * except to this machine itself or with `requireTLS=false` or `ignoreTLS=true`: an attacker in between could otherwise
 * hide STARTTLS and read the password. Throws one Error that lists all problems.
 */
export const parseSmtpUrl = (smtpUrl: Secret): SmtpServer => {
  const url = URL.parse(smtpUrl.reveal().trim())
  if (url === null || !/^smtps?:$/.test(url.protocol) || url.hostname === '') {
    throw new Error('SMTP_URL must look like smtp://user:password@host:587 or smtps://…')
  }
  const problems: string[] = []
  const decoded = (part: string, what: string): string => {
    try {
      return decodeURIComponent(part)
    } catch {
      problems.push(`the ${what} is not percent-encoded properly (write % as %25)`)
      return ''
    }
  }
  for (const [key, value] of url.searchParams) {
    if (![...flags, ...words].includes(key))
      problems.push(`an option is unknown; there are ${[...flags, ...words].join(', ')}`)
    else if (flags.includes(key) && !/^(true|false)$/.test(value)) problems.push(`${key} must be true or false`)
  }
  if (!/^\/?$/.test(url.pathname)) problems.push('there must be nothing between the port and the options')
  const user = decoded(url.username, 'user')
  const password = decoded(url.password, 'password')
  if ((user === '') !== (password === '')) problems.push('a login needs both user and password')
  if (problems.length > 0) throw new Error(`SMTP_URL: ${problems.join('; ')}`)

  const flag = (key: string): boolean | undefined =>
    url.searchParams.has(key) ? url.searchParams.get(key) === 'true' : undefined
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const secure = url.protocol === 'smtps:'
  const ignoreTLS = flag('ignoreTLS') ?? false
  const rejectUnauthorized = flag('tls.rejectUnauthorized')
  const servername = url.searchParams.get('tls.servername') ?? undefined
  return {
    host,
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    requireTLS: flag('requireTLS') ?? (!secure && !ignoreTLS && user !== '' && !isLoopback(host)),
    ignoreTLS,
    login: user === '' ? undefined : { user, password: new Secret(password) },
    name: url.searchParams.get('name') ?? undefined,
    tls: {
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      ...(servername !== undefined ? { servername } : isIP(host) !== 0 ? {} : { servername: host }),
    },
  }
}
