// Parses an address of PostgreSQL (postgres://user:password@host:5432/database?parameters). A parameter that the
// program would ignore is refused by its name, like an unknown policy key; no message repeats a value, which may be a
// password.
import { userInfo } from 'node:os'
import { parseServerAddress } from '../config/addresses.ts'
import { nearest } from '../config/suggest.ts'
import { Secret } from '../secret.ts'
import { readTls, type Tls } from './tls.ts'

export interface PostgresAddress {
  /** A host name, an IP address, or the folder of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  readonly password: Secret | undefined
  /** The schema of our tables; undefined to use the session's own search_path. */
  readonly schema: string | undefined
  readonly tls: Tls
  readonly applicationName: string | undefined
  readonly connectMs: number | undefined
  /** `pgbouncer=true`: a direct connection is not tried first. The program detects a pooler without it too. */
  readonly isPooled: boolean
}

type Parsed = { readonly address: PostgresAddress } | { readonly problems: readonly string[] }

const SCHEMES = ['postgres', 'postgresql'] as const

export const addressParameters = [
  'schema',
  'host',
  'port',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslpassword',
  'application_name',
  'connect_timeout',
  'pgbouncer',
  'channel_binding',
] as const
type Known = (typeof addressParameters)[number]

const pool = 'leave it out: the size of the pool follows from timing.concurrency'
const limits = 'leave it out: the program sets its own time limits'
/** Parameters that libpq, node-postgres or Prisma know but this program does not, and what to do instead. */
const elsewhere: Readonly<Record<string, string>> = {
  search_path: 'say schema=NAME',
  currentSchema: 'say schema=NAME',
  options:
    'leave it out, because poolers refuse it: say schema=NAME for a search_path; other settings are ALTER ROLE ' +
    '… SET, and those that matter the program makes itself',
  connection_limit: pool,
  pool_timeout: pool,
  max: pool,
  statement_cache_size: 'leave it out: the program keeps prepared statements where the session is its own',
  statement_timeout: limits,
  lock_timeout: limits,
  idle_in_transaction_session_timeout: limits,
  query_timeout: limits,
  socket_timeout: limits,
  client_encoding: 'leave it out: it is always UTF8',
  encoding: 'leave it out: it is always UTF8',
  timezone: 'leave it out: sessions are always in UTC',
  TimeZone: 'leave it out: sessions are always in UTC',
  datestyle: 'leave it out: it is always ISO',
  DateStyle: 'leave it out: it is always ISO',
  ssl: 'say sslmode=require, verify-ca or verify-full',
  sslaccept: 'say sslmode: require checks no certificate, verify-full all of it',
  sslidentity: 'say sslcert and sslkey, each a file in PEM',
  uselibpqcompat: 'leave it out: sslmode means what it means to libpq',
  sslnegotiation: 'leave it out: TLS is asked for in the usual way',
  ssl_min_protocol_version: 'leave it out: TLS 1.2 is the least',
  sslcrl: 'it is not supported',
  user: 'write it before the @, as postgres://user:password@host',
  password: 'write it before the @, as postgres://user:password@host',
  dbname: 'write it behind the host, as postgres://user:password@host/database',
  database: 'write it behind the host, as postgres://user:password@host/database',
  hostaddr: 'write the address in place of the host',
  target_session_attrs: 'leave it out: name the primary alone',
  load_balance_hosts: 'leave it out: name the primary alone',
  fallback_application_name: 'say application_name',
  gssencmode: 'leave it out: GSSAPI is not supported',
  krbsrvname: 'leave it out: GSSAPI is not supported',
  service: 'it is not supported: write the whole address',
  passfile: 'it is not supported: DATABASE_URL_FILE keeps the password out of the environment',
  replication: 'leave it out',
  keepalives: 'leave it out: connections are kept alive',
  keepalives_idle: 'leave it out: connections are kept alive',
  tcp_user_timeout: limits,
}

/** Never throws; returns all problems of the address at once. */
export const parsePostgresAddress = (text: string): Parsed => {
  if (/^[a-z]+:\/\/(?:[^/?#]*@)?[^/?#@]*,[^/?#@]*(?:[/?#]|$)/i.test(text)) {
    return { problems: ['names several hosts: name one, the primary, or a proxy or DNS name that leads to it'] }
  }
  // The WHATWG URL parser refuses a user without a host, but an address of a Unix socket is written that way.
  const whole = text.replace(/^([a-z]+:\/\/[^/?#]*@)(?=[/?])(?=.*[?&]host=)/i, '$1localhost')
  const checked = parseServerAddress(whole, SCHEMES)
  if ('problem' in checked) return { problems: [checked.problem] }
  const { url } = checked
  const problems = parameterProblems(url)
  const find = (name: Known): string | undefined => url.searchParams.get(name)?.trim() || undefined

  const host = find('host') ?? decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1')
  if (host.includes(',')) problems.push('names several hosts: name one, the primary')
  const port = Number(find('port') ?? (url.port || '5432'))
  if (!Number.isInteger(port) || port < 1 || port > 65_535) problems.push('port must be a whole number from 1 to 65535')
  const schema = find('schema')
  const badSchema = schema === undefined ? undefined : schemaProblem(schema)
  if (badSchema !== undefined) problems.push(badSchema)
  const seconds = find('connect_timeout')
  if (seconds !== undefined && !/^[1-9]\d{0,2}$/.test(seconds))
    problems.push('connect_timeout must be whole seconds from 1 to 999')
  const pgbouncer = find('pgbouncer')
  if (pgbouncer !== undefined && !['true', 'false'].includes(pgbouncer))
    problems.push('pgbouncer must be true or false')
  if (find('channel_binding') === 'require')
    problems.push('channel_binding=require cannot be kept: leave it out; sslmode=verify-full makes sure of the server')
  else if (!['disable', 'prefer', undefined].includes(find('channel_binding')))
    problems.push('channel_binding must be prefer or disable')
  const tls = readTls(
    (name) => find(name as Known),
    (problem) => problems.push(problem),
  )
  if (problems.length > 0 || tls === undefined) return { problems }

  const user = decodeURIComponent(url.username) || userInfo().username
  return {
    address: {
      host,
      port,
      user,
      schema,
      tls,
      database: decodeURIComponent(url.pathname.slice(1)) || user,
      password: url.password === '' ? undefined : new Secret(decodeURIComponent(url.password)),
      applicationName: find('application_name'),
      connectMs: seconds === undefined ? undefined : Number(seconds) * 1000,
      isPooled: pgbouncer === 'true',
    },
  }
}

const parameterProblems = (url: URL): string[] => {
  const names = [...url.searchParams.keys()]
  const problems = [...new Set(names)].flatMap((name) => {
    if (names.filter((other) => other === name).length > 1) return [`has the parameter ${shown(name)} more than once`]
    if (addressParameters.some((known) => known === name))
      return url.searchParams.get(name)?.trim() === '' ? [`has the parameter ${name} without a value`] : []
    if (Object.hasOwn(elsewhere, name))
      return [`has the parameter ${name}, which means nothing here: ${elsewhere[name]}`]
    const meant = nearest(name, addressParameters)
    return [
      `has an unknown parameter ${shown(name)}: ` +
        (meant === undefined ? `known are ${addressParameters.join(', ')}` : `did you mean ${meant}?`),
    ]
  })
  return url.hash === '' ? problems : [...problems, 'has a # in it: write # itself as %23']
}

/**
 * A parameter's name is not secret, unless it is part of a password that contained a `?`: then it does not look like a
 * name.
 */
const shown = (name: string): string =>
  /^[A-Za-z_][A-Za-z0-9_.-]{0,40}$/.test(name) ? JSON.stringify(name) : 'whose name is no word'

const schemaProblem = (schema: string): string | undefined => {
  if (schema.includes(',')) return 'schema must be one name'
  if (Buffer.byteLength(schema) > 63 || /["\p{Cc}]/u.test(schema))
    return 'schema must be a name of at most 63 bytes without quotes'
  // In a search_path, quoted or not, `$user` means the role's name.
  if (schema === '$user')
    return 'schema must be a name: with none, the search_path of the role may lead to a schema named like the role'
  return /^pg_|^information_schema$/.test(schema) ? "schema must not be one of PostgreSQL's own" : undefined
}
