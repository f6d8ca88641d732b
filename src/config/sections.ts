// The parts of the configuration that come from the environment, each read and checked as a unit. A part that a role
// does not need is not read.
import { isIP } from 'node:net'
import { sha256Hex } from '../crypto/hashing.ts'
import { parseKeyRing } from '../crypto/key-ring.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import { readSender } from '../notify/mailbox.ts'
import { parseRedisUrl } from '../queue/redis-url.ts'
import { Secret } from '../secret.ts'
import { parsePostgresAddress } from '../postgres/address.ts'
import { isLoopback, parseServerAddress, parseWebAddress, unreadableFile } from './addresses.ts'
import { type ProxySection, readProxy } from './egress-proxy.ts'
import type { Report } from './problems.ts'
import { nearest } from './suggest.ts'
import { parseTrustedProxies } from './trusted-proxies.ts'
import type { VariableName, VariableReader } from './variables.ts'

export interface Sections {
  readonly database: {
    readonly url: Secret
    /** The address to connect with as the role that owns the tables. */
    readonly migrateUrl: Secret
  }
  readonly queue:
    | { readonly kind: 'postgres'; readonly url: Secret }
    | {
        readonly kind: 'redis'
        readonly url: Secret
        /**
         * Reads the address again from the environment or its file, because passwords are rotated. Undefined while
         * there is no usable address.
         */
        readonly reread: () => Secret | undefined
      }
  readonly provider: {
    /** No address in this interface ends in a slash. */
    readonly authUrl: string
    readonly apiUrl: string
    readonly clientId: string
    readonly clientSecret: Secret
    /** The proxy to the provider; undefined for a direct connection. */
    readonly proxy: ProxySection | undefined
  }
  readonly keys: KeyRing
  readonly web: {
    /** A start link is this address followed by `/r/<token>`. */
    readonly publicUrl: string
    readonly host: string
    readonly port: number
    /** The login of the board; undefined means that there is no board. */
    readonly ops: { readonly user: string; readonly password: Secret } | undefined
    /** SHA-256 of each API key that the API accepts, in lower-case hex. */
    readonly apiKeyHashes: readonly string[]
    /** The proxies whose X-Forwarded-For header is trusted; none by default. */
    readonly trustedProxies: readonly string[]
  }
  readonly mail: { readonly url: Secret; readonly from: string }
  /** PUBLIC_URL for commands that can run without it: they use it to recognise our own host. */
  readonly ownHost: { readonly publicUrl: string | undefined }
}

/** A group of variables that some command or role requires. */
export type Need = keyof Sections

type Read = { readonly [N in Need]: () => Sections[N] | undefined }

const AUTH_URL = 'https://auth.truelayer.com'
const API_URL = 'https://api.truelayer.com'
const MIN_PASSWORD_LENGTH = 12

type TrueLayerEnvironment = 'production' | 'sandbox' | 'other'

const environmentOf = ({ hostname }: URL): TrueLayerEnvironment =>
  /(?:^|\.)truelayer\.com$/.test(hostname)
    ? 'production'
    : /(?:^|\.)truelayer-sandbox\.com$/.test(hostname)
      ? 'sandbox'
      : 'other'

/**
 * Whether codes and start links of real connections must be protected: when NODE_ENV is production, or the host is
 * TrueLayer's production host (the default).
 */
export const mustUseHttps = (nodeEnv: string | undefined, variables: VariableReader): boolean => {
  if (nodeEnv === 'production') return true
  const parsed = parseWebAddress(variables.find('TRUELAYER_AUTH_URL') ?? AUTH_URL)
  return 'url' in parsed && environmentOf(parsed.url) === 'production'
}

const secretOf = (text: string | undefined): Secret | undefined => (text === undefined ? undefined : new Secret(text))

export const makeSections = ({
  variables,
  report,
  httpsOnly,
}: {
  variables: VariableReader
  report: Report
  httpsOnly: boolean
}): Read => {
  const serverAddress = (
    name: VariableName,
    schemes: readonly string[],
    text: string | undefined,
  ): Secret | undefined => {
    if (text === undefined) return undefined
    const checked = parseServerAddress(text, schemes)
    if ('url' in checked) return new Secret(text)
    report(name, checked.problem)
    return undefined
  }

  const webAddress = (
    name: VariableName,
    text: string | undefined,
  ): { readonly url: URL; readonly base: string } | undefined => {
    if (text === undefined) return undefined
    const checked = parseWebAddress(text)
    if ('url' in checked) return checked
    report(name, checked.problem)
    return undefined
  }

  const postgresAddress = (
    name: VariableName,
    text: string | undefined,
  ): { url: Secret; schema: string | undefined } | undefined => {
    if (text === undefined) return undefined
    const parsed = parsePostgresAddress(text)
    if ('address' in parsed) return { url: new Secret(text), schema: parsed.address.schema }
    for (const problem of parsed.problems) report(name, problem)
    return undefined
  }

  // All callers share one Secret, because what connections learn about an address is stored under its Secret.
  let ownAddress: ReturnType<typeof postgresAddress> | null = null
  const databaseUrl = (): ReturnType<typeof postgresAddress> => {
    if (ownAddress === null) ownAddress = postgresAddress('DATABASE_URL', variables.need('DATABASE_URL'))
    return ownAddress
  }

  const database: Read['database'] = () => {
    const ours = databaseUrl()
    const owner = variables.find('MIGRATE_DATABASE_URL')
    const owners = owner === undefined ? ours : postgresAddress('MIGRATE_DATABASE_URL', owner)
    if (ours === undefined || owners === undefined) return undefined
    if (owners.schema !== undefined && owners.schema !== ours.schema) {
      report(
        'MIGRATE_DATABASE_URL',
        'names another schema than DATABASE_URL: say the same in both, or in DATABASE_URL alone',
      )
      return undefined
    }
    return { url: ours.url, migrateUrl: owners.url }
  }

  const redisUrl = (text: string | undefined): Secret | undefined => {
    if (text === undefined) return undefined
    const parsed = parseRedisUrl(text, nearest)
    const problem = 'problem' in parsed ? parsed.problem : unreadableFile(parsed.address.trust)
    if (problem === undefined) return new Secret(text)
    report('REDIS_URL', problem)
    return undefined
  }

  const queue: Read['queue'] = () => {
    const kind = variables.find('QUEUE') ?? 'redis'
    if (kind === 'postgres') {
      const ours = databaseUrl()
      return ours && { kind, url: ours.url }
    }
    if (kind === 'redis') {
      const url = redisUrl(variables.need('REDIS_URL'))
      return url && { kind, url, reread: () => secretOf(variables.reread('REDIS_URL')) }
    }
    report('QUEUE', 'must be redis (the default) or postgres')
    return undefined
  }

  const providerAddress = (name: 'TRUELAYER_AUTH_URL' | 'TRUELAYER_API_URL', usual: string) => {
    const address = webAddress(name, variables.find(name) ?? usual)
    if (address === undefined) return undefined
    // The client secret and the tokens are sent to this address. A simulator on this machine is no risk.
    if (address.url.protocol === 'https:' || isLoopback(address.url)) return address
    if (!httpsOnly && environmentOf(address.url) === 'other') return address
    report(name, 'must begin with https://')
    return undefined
  }

  const provider: Read['provider'] = () => {
    const auth = providerAddress('TRUELAYER_AUTH_URL', AUTH_URL)
    const api = providerAddress('TRUELAYER_API_URL', API_URL)
    const clientId = variables.need('TRUELAYER_CLIENT_ID')
    const clientSecret = variables.need('TRUELAYER_CLIENT_SECRET')
    const proxy = readProxy(variables, report)
    let isValid = true
    const complain: Report = (where, what) => {
      isValid = false
      report(where, what)
    }
    const environment = auth && environmentOf(auth.url)
    const other = api && environmentOf(api.url)
    if (environment !== undefined && other !== undefined && environment !== other) {
      const isUnset = variables.find('TRUELAYER_API_URL') === undefined
      const whose = {
        production: "TrueLayer's production",
        sandbox: "TrueLayer's sandbox",
        other: 'not TrueLayer itself',
      }
      const advice = isUnset ? 'Unset, it means production: set both.' : 'Set both to the same environment.'
      complain('TRUELAYER_API_URL', `is ${whose[other]}, while TRUELAYER_AUTH_URL is ${whose[environment]}. ${advice}`)
    }
    const isSandboxId = clientId?.startsWith('sandbox-')
    if (environment === 'production' && isSandboxId === true) {
      complain(
        'TRUELAYER_CLIENT_ID',
        `is of the sandbox, but TRUELAYER_AUTH_URL is production: set it to https://auth.truelayer-sandbox.com`,
      )
    }
    if (environment === 'sandbox' && isSandboxId === false) {
      complain('TRUELAYER_CLIENT_ID', "is not of the sandbox (those begin with 'sandbox-'), but TRUELAYER_AUTH_URL is")
    }
    if (!auth || !api || !clientId || !clientSecret || proxy === 'wrong' || !isValid) return undefined
    return { authUrl: auth.base, apiUrl: api.base, clientId, clientSecret: new Secret(clientSecret), proxy }
  }

  const keys: Read['keys'] = () => {
    const text = variables.need('ENCRYPTION_KEYS')
    if (text === undefined) return undefined
    const parsed = parseKeyRing(new Secret(text))
    if ('keyRing' in parsed) return parsed.keyRing
    for (const problem of parsed.problems) report('ENCRYPTION_KEYS', problem)
    return undefined
  }

  const publicUrl = (text = variables.need('PUBLIC_URL')): string | undefined => {
    const address = webAddress('PUBLIC_URL', text)
    if (address !== undefined && address.url.pathname !== '/') {
      report('PUBLIC_URL', 'must be a host of its own, without a path: pages and links are made for its root')
      return undefined
    }
    if (address === undefined || !httpsOnly || address.url.protocol === 'https:') return address?.base
    const when = "with NODE_ENV=production or TrueLayer's production host"
    report('PUBLIC_URL', `must begin with https:// ${when}: codes and links of real users travel there`)
    return undefined
  }

  const host = (): string | undefined => {
    const text = variables.find('HOST') ?? '0.0.0.0'
    if (isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i.test(text)) return text
    report('HOST', 'must be an IP address or host name to listen on, such as 0.0.0.0 or 127.0.0.1, without a port')
    return undefined
  }

  const port = (): number | undefined => {
    const text = variables.find('PORT') ?? '3000'
    if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
    report('PORT', 'must be a whole number from 0 (any free port) to 65535')
    return undefined
  }

  /** `null` means that no login is configured, which is valid. */
  const ops = (): Sections['web']['ops'] | null => {
    const user = variables.find('OPS_USER')
    const password = variables.find('OPS_PASSWORD')
    if (user === undefined && password === undefined) return null
    if (user === undefined) variables.need('OPS_USER')
    if (password === undefined) variables.need('OPS_PASSWORD')
    const badUser = user?.includes(':') === true
    const badPassword = password !== undefined && password.length < MIN_PASSWORD_LENGTH
    // Basic authentication joins user and password with a colon (RFC 7617).
    if (badUser) report('OPS_USER', 'must not hold a colon')
    if (badPassword) report('OPS_PASSWORD', `is too short: at least ${MIN_PASSWORD_LENGTH} characters`)
    return user === undefined || password === undefined || badUser || badPassword
      ? undefined
      : { user, password: new Secret(password) }
  }

  const apiKeyHashes = (): readonly string[] | undefined => {
    const text = variables.find('API_KEYS_SHA256')
    if (text === undefined) return []
    const hashes = text.split(',').map((hash) => hash.trim().toLowerCase())
    const problems = hashes.flatMap((hash, index) => {
      if (!/^[0-9a-f]{64}$/.test(hash))
        return [`entry ${index + 1} is not 64 hex digits: make one with: printf %s "$KEY" | sha256sum`]
      return hash === sha256Hex('') ? [`entry ${index + 1} is the hash of an empty key`] : []
    })
    for (const problem of problems) report('API_KEYS_SHA256', problem)
    return problems.length > 0 ? undefined : [...new Set(hashes)]
  }

  const trustedProxies = (): readonly string[] | undefined => {
    const text = variables.find('TRUSTED_PROXIES')
    if (text === undefined) return []
    const { entries, problems } = parseTrustedProxies(text)
    for (const problem of problems) report('TRUSTED_PROXIES', problem)
    return problems.length === 0 ? entries : undefined
  }

  const web: Read['web'] = () => {
    const read = {
      publicUrl: publicUrl(),
      host: host(),
      port: port(),
      ops: ops(),
      apiKeyHashes: apiKeyHashes(),
      trustedProxies: trustedProxies(),
    }
    if (read.publicUrl === undefined || read.host === undefined || read.port === undefined) return undefined
    if (read.ops === undefined || read.apiKeyHashes === undefined || read.trustedProxies === undefined) return undefined
    const { publicUrl: address, host: listenOn, port: number, apiKeyHashes: hashes, trustedProxies: proxies } = read
    return {
      publicUrl: address,
      host: listenOn,
      port: number,
      ops: read.ops ?? undefined,
      apiKeyHashes: hashes,
      trustedProxies: proxies,
    }
  }

  const mail: Read['mail'] = () => {
    const url = serverAddress('SMTP_URL', ['smtp', 'smtps'], variables.need('SMTP_URL'))
    const from = variables.need('MAIL_FROM')
    // Checked by the mail channel's own parser, so that the program never starts with a sender that the channel would
    // read differently.
    const read = from === undefined ? undefined : readSender(from)
    if (read !== undefined && 'problem' in read) report('MAIL_FROM', read.problem)
    return url && from !== undefined && read !== undefined && 'sender' in read ? { url, from } : undefined
  }

  const ownHost: Read['ownHost'] = () => {
    const text = variables.find('PUBLIC_URL')
    return { publicUrl: text === undefined ? undefined : publicUrl(text) }
  }

  return { database, queue, provider, keys, web, mail, ownHost }
}
