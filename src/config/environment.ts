// The environment variables as one zod schema: what each may hold, its default, and its row in docs/configuration.md.
// The value of a secret comes as a Secret, so that no message of zod can repeat it; every other value comes as text.
import { isIP } from 'node:net'
import { z } from 'zod'
import { sha256Hex } from '../crypto/hashing.ts'
import { parseKeyRing } from '../crypto/key-ring.ts'
import { logLevels } from '../log.ts'
import { readSender } from '../notify/email/mailbox.ts'
import { parsePostgresAddress } from '../postgres/address.ts'
import { parseRedisUrl } from '../queue/redis-url.ts'
import type { Secret } from '../secret.ts'
import { parseServerAddress, parseWebAddress, unreadableFile } from './addresses.ts'
import { described } from './notes.ts'
import { nearest } from './suggest.ts'
import { parseTrustedProxies } from './trusted-proxies.ts'

const MIN_PASSWORD_LENGTH = 12

const addIssues = (context: z.core.$RefinementCtx, problems: readonly string[]): void => {
  for (const problem of problems) context.addIssue(problem)
}

/**
 * The value of a secret. Unlike that of `z.instanceof`, its issue lets the checks of a section run that do not concern
 * this variable.
 */
const secretText = z.custom<Secret>().transform((value: Secret | undefined, context) => {
  if (value !== undefined) return value
  context.addIssue({ code: 'invalid_type', expected: 'string' })
  return z.NEVER
})

const postgresAddress = secretText.transform((url, context) => {
  const parsed = parsePostgresAddress(url.reveal())
  if ('address' in parsed) return { url, schema: parsed.address.schema }
  addIssues(context, parsed.problems)
  return z.NEVER
})

const redisAddress = secretText.superRefine((url, context) => {
  const parsed = parseRedisUrl(url.reveal(), nearest)
  const problem = 'problem' in parsed ? parsed.problem : unreadableFile(parsed.address.trust)
  if (problem !== undefined) context.addIssue(problem)
})

const mailServer = secretText.superRefine((url, context) => {
  const checked = parseServerAddress(url.reveal(), ['smtp', 'smtps'])
  if ('problem' in checked) context.addIssue(checked.problem)
})

const webAddress = z.string().transform((text, context) => {
  const parsed = parseWebAddress(text)
  if ('url' in parsed) return parsed
  context.addIssue(parsed.problem)
  return z.NEVER
})

/** Checked by the mail channel's own parser, so that no sender is accepted that the channel would read differently. */
const sender = z.string().superRefine((from, context) => {
  const read = readSender(from)
  if ('problem' in read) context.addIssue(read.problem)
})

const encryptionKeys = secretText.transform((keys, context) => {
  const parsed = parseKeyRing(keys)
  if ('keyRing' in parsed) return parsed.keyRing
  addIssues(context, parsed.problems)
  return z.NEVER
})

const apiKeyHashes = secretText.transform((text, context) => {
  const hashes = text
    .reveal()
    .split(',')
    .map((hash) => hash.trim().toLowerCase())
  for (const [index, hash] of hashes.entries()) {
    if (!/^[0-9a-f]{64}$/.test(hash))
      context.addIssue(`entry ${index + 1} is not 64 hex digits: make one with: printf %s "$KEY" | sha256sum`)
    else if (hash === sha256Hex('')) context.addIssue(`entry ${index + 1} is the hash of an empty key`)
  }
  return [...new Set(hashes)]
})

const trustedProxies = z.string().transform((text, context) => {
  const { entries, problems } = parseTrustedProxies(text)
  addIssues(context, problems)
  return entries
})

const listenAddress = z
  .string()
  .refine((text) => isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i.test(text), {
    error: 'must be an IP address or host name to listen on, such as 0.0.0.0 or 127.0.0.1, without a port',
  })

const port = z
  .string()
  .refine((text) => /^\d{1,5}$/.test(text) && Number(text) <= 65_535, {
    error: 'must be a whole number from 0 (any free port) to 65535',
  })
  .transform(Number)

const BOARD = 'The board needs both OPS_USER and OPS_PASSWORD; without either it is not mounted.'
const IN_LOWER_CASE = 'The same in lower case. Where both are set, this one counts, as with curl'

export const environment = z.object({
  DATABASE_URL: described(postgresAddress, {
    secret: true,
    values: '`postgres://user:password@host:5432/database`',
    unset: 'needed by all',
    description:
      'PostgreSQL. In user and password, special characters are written as `%XX`. See [PostgreSQL](#postgresql)',
    hint: 'Give the address of the PostgreSQL database: postgres://user:password@host:5432/database.',
  }),
  MIGRATE_DATABASE_URL: described(postgresAddress.optional(), {
    secret: true,
    values: 'as `DATABASE_URL`',
    unset: '`DATABASE_URL`',
    description:
      'The same database with the role that owns the tables, for `migrate`, which grants the role of ' +
      '`DATABASE_URL` what it needs, and for `repair-times`. Its `schema`, if any, must be the same',
  }),
  // sections.ts reads it, since it decides which address the queue needs.
  QUEUE: described(z.enum(['redis', 'postgres']).prefault('redis'), {
    description:
      'Where the queue is; with `postgres`, in `DATABASE_URL`. That is for the demo, tests and small deployments',
  }),
  REDIS_URL: described(redisAddress, {
    secret: true,
    values: '`redis://user:password@host:6379`, `rediss://` for TLS',
    unset: 'needed by all with `QUEUE=redis`',
    description: '`redis-cluster://` and `redis-sentinel://` name several hosts. See [Redis](#redis)',
    hint:
      'Give the address of Redis, redis://host:6379 (redis-cluster:// and redis-sentinel:// name several), or ' +
      'run the queue on the database with QUEUE=postgres.',
  }),
  TRUELAYER_AUTH_URL: described(webAddress.prefault('https://auth.truelayer.com'), {
    values: 'an https address',
    description:
      'Authentication host; sandbox: `https://auth.truelayer-sandbox.com`. An http address only for a simulator',
  }),
  TRUELAYER_API_URL: described(webAddress.prefault('https://api.truelayer.com'), {
    values: 'an https address',
    description:
      'Data host; sandbox: `https://api.truelayer-sandbox.com`. Must be of the same environment as the other',
  }),
  TRUELAYER_CLIENT_ID: described(secretText, {
    secret: true,
    values: 'text',
    unset: 'needed by all',
    description:
      "From TrueLayer's console. Ids of the sandbox begin with `sandbox-`, and must not meet production hosts, nor " +
      'the reverse',
    hint: "Give the client id from TrueLayer's console.",
  }),
  TRUELAYER_CLIENT_SECRET: described(secretText, {
    secret: true,
    values: 'text',
    unset: 'needed by all',
    description: "From TrueLayer's console",
    hint: "Give the client secret from TrueLayer's console.",
  }),
  // egress-proxy.ts checks the address that counts.
  HTTPS_PROXY: described(secretText.optional(), {
    secret: true,
    values: '`http://user:password@host:3128`, or `https://`',
    unset: 'none: directly',
    description: 'The way to TrueLayer. See [a proxy on the way out](#a-proxy-on-the-way-out)',
  }),
  https_proxy: described(z.string().optional(), {
    values: 'as `HTTPS_PROXY`',
    unset: '`HTTPS_PROXY`',
    description: IN_LOWER_CASE,
  }),
  NO_PROXY: described(z.string().optional(), {
    values: 'hosts, by commas or spaces',
    unset: 'nothing',
    description:
      'Hosts that are reached without the proxy: `host` (and all below it), `.domain`, an address, a range such ' +
      'as `10.0.0.0/8`, each also with `:port`; `*` for all',
  }),
  no_proxy: described(z.string().optional(), {
    values: 'as `NO_PROXY`',
    unset: '`NO_PROXY`',
    description: IN_LOWER_CASE,
  }),
  ENCRYPTION_KEYS: described(encryptionKeys, {
    secret: true,
    values: '`id:base64[,id:base64…]`',
    unset: 'needed by all',
    description: 'See [encryption keys](#encryption-keys)',
    hint: 'Give at least one key as id:base64; make one with: echo "k1:$(openssl rand -base64 32)".',
  }),
  PUBLIC_URL: described(
    webAddress.refine(({ url }) => url.pathname === '/', {
      error: 'must be a host of its own, without a path: pages and links are made for its root',
    }),
    {
      values: 'an address such as `https://consents.example.com`',
      unset: 'needed by all',
      description: "Where users' browsers reach this service: a host of its own, without a path. See [https](#https)",
      hint: "Give the address at which users' browsers reach this service, such as https://consents.example.com.",
    },
  ),
  HOST: described(listenAddress.prefault('0.0.0.0'), {
    values: 'an IP address or host name',
    description: 'Address to listen on',
  }),
  PORT: described(port.prefault('3000'), {
    values: '`0` to `65535`',
    description: 'Port to listen on; `0` takes any free one',
  }),
  SMTP_URL: described(mailServer, {
    secret: true,
    values: '`smtps://user:password@host:465` or `smtp://host:587`',
    unset: 'needed by `worker`',
    description: 'Mail server',
    hint: 'Give the address of the mail server: smtps://user:password@host:465 or smtp://host:25.',
  }),
  MAIL_FROM: described(sender, {
    values: '`Company <consents@example.com>`',
    unset: 'needed by `worker`',
    description:
      'Sender; with a special character in the name, quoted: `"Company, Ltd" <consents@example.com>`. See ' +
      '[sender](#sender)',
    hint: "Give the sender of the messages: 'Company <consents@example.com>'.",
  }),
  OPS_USER: described(
    z
      .string()
      // Basic authentication joins user and password with a colon (RFC 7617).
      .refine((user) => !user.includes(':'), { error: 'must not hold a colon' })
      .optional(),
    {
      values: 'text without a colon',
      unset: 'no board',
      description: 'Login of the board at `/ops/queues`. Needs `OPS_PASSWORD`',
      hint: BOARD,
    },
  ),
  OPS_PASSWORD: described(
    secretText
      .refine((password) => password.reveal().length >= MIN_PASSWORD_LENGTH, {
        error: `is too short: at least ${MIN_PASSWORD_LENGTH} characters`,
      })
      .optional(),
    {
      secret: true,
      values: `text of at least ${MIN_PASSWORD_LENGTH} characters`,
      unset: 'no board',
      description: 'Password of the board. Needs `OPS_USER`',
      hint: BOARD,
    },
  ),
  API_KEYS_SHA256: described(apiKeyHashes.optional(), {
    secret: true,
    values: '64 hex digits for each key, by commas',
    unset: 'only keys made by `reconsent keys api create`',
    description:
      'SHA-256 of further keys that `/v1/…` accepts, with every scope but `people:erase`: ' +
      '`printf %s "$KEY" | sha256sum`',
  }),
  TRUSTED_PROXIES: described(trustedProxies.optional(), {
    values: 'addresses, ranges, or `loopback`, `linklocal`, `uniquelocal`, by commas',
    unset: 'none',
    description: 'Load balancers whose `X-Forwarded-For` names the client. See [whose address](#whose-address)',
  }),
  LOG_LEVEL: described(z.enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` }).prefault('info'), {
    description: 'The least important lines that are logged',
  }),
  RECONSENT_CONFIG: described(z.string().optional(), {
    values: 'a path or file URL',
    unset: '`worker.config.ts`',
    description: 'Policy file',
  }),
  NODE_ENV: described(
    z
      // Any other value is refused, not ignored: with 'prod', production's requirements would silently not apply.
      .enum(['production', 'development', 'test'], { error: 'must be production, development, test or unset' })
      .prefault('development'),
    { description: 'No other value is taken, so that a slip of the pen does not mean "not production"' },
  ),
})

export type VariableName = keyof typeof environment.shape

/** Every variable as it is written, and undefined where it is not set. */
export type Values = {
  readonly [Name in VariableName]: NonNullable<z.input<(typeof environment.shape)[Name]>> extends Secret
    ? Secret | undefined
    : string | undefined
}
