// The sections of the configuration that come from the environment: one zod schema each, over the variables that it is
// made of. A section that a role does not need is not read.
import { z } from 'zod'
import type { ChannelName } from '../domain/channels.ts'
import { isLoopback } from '../loopback.ts'
import type { Secret } from '../secret.ts'
import { readProxy } from './egress-proxy.ts'
import { environment, type Values } from './environment.ts'
import { whenValid } from './problems.ts'

type TrueLayerEnvironment = 'production' | 'sandbox' | 'other'

const environmentOf = ({ hostname }: URL): TrueLayerEnvironment =>
  /(?:^|\.)truelayer\.com$/.test(hostname)
    ? 'production'
    : /(?:^|\.)truelayer-sandbox\.com$/.test(hostname)
      ? 'sandbox'
      : 'other'

const isProduction = (url: URL): boolean => environmentOf(url) === 'production'
const isSandbox = (url: URL): boolean => environmentOf(url) === 'sandbox'
/** Ids of the sandbox say so. */
const isOfSandbox = (clientId: Secret): boolean => clientId.reveal().startsWith('sandbox-')

/**
 * Whether codes and start links of real connections must be protected: when NODE_ENV is production, or the host is
 * TrueLayer's production host (the default).
 */
export const mustUseHttps = (values: Values): boolean => {
  if (values.NODE_ENV === 'production') return true
  const parsed = environment.shape.TRUELAYER_AUTH_URL.safeParse(values.TRUELAYER_AUTH_URL)
  return parsed.success && isProduction(parsed.data.url)
}

/** What every role and command reads. */
export const settings = environment
  .pick({ LOG_LEVEL: true, NODE_ENV: true })
  .transform(({ LOG_LEVEL: logLevel, NODE_ENV: nodeEnv }) => ({ nodeEnv, logLevel }))

const database = environment
  .pick({ DATABASE_URL: true, MIGRATE_DATABASE_URL: true })
  .refine(
    ({ DATABASE_URL: ours, MIGRATE_DATABASE_URL: owners = ours }) => (owners.schema ?? ours.schema) === ours.schema,
    {
      path: ['MIGRATE_DATABASE_URL'],
      error: 'names another schema than DATABASE_URL: say the same in both, or in DATABASE_URL alone',
    },
  )
  .transform(({ DATABASE_URL: ours, MIGRATE_DATABASE_URL: owners = ours }) => ({
    url: ours.url,
    /** The address to connect with as the role that owns the tables. */
    migrateUrl: owners.url,
  }))

const makeQueue = (rereadUrl: () => Secret | undefined) =>
  z.discriminatedUnion(
    'QUEUE',
    [
      environment
        .pick({ REDIS_URL: true })
        .extend({ QUEUE: z.literal('redis').prefault('redis') })
        .transform(({ QUEUE: kind, REDIS_URL: url }) => ({
          kind,
          url,
          /**
           * Reads the address again from the environment or its file, because passwords are rotated. Undefined while
           * there is no usable address.
           */
          reread: rereadUrl,
        })),
      environment
        .pick({ DATABASE_URL: true })
        .extend({ QUEUE: z.literal('postgres') })
        .transform(({ QUEUE: kind, DATABASE_URL: { url } }) => ({ kind, url })),
    ],
    { error: 'must be redis (the default) or postgres' },
  )

const environmentNames = {
  production: "TrueLayer's production",
  sandbox: "TrueLayer's sandbox",
  other: 'not TrueLayer itself',
} as const

const makeProvider = (httpsOnly: boolean) => {
  // The client secret and the tokens are sent to these addresses. A simulator on this machine is no risk.
  const isSafe = (url: URL): boolean =>
    url.protocol === 'https:' || isLoopback(url.hostname) || (!httpsOnly && environmentOf(url) === 'other')
  const httpsAt = (name: 'TRUELAYER_AUTH_URL' | 'TRUELAYER_API_URL') => ({
    path: [name],
    error: 'must begin with https://',
    ...whenValid(name),
  })

  return environment
    .pick({
      TRUELAYER_AUTH_URL: true,
      TRUELAYER_API_URL: true,
      TRUELAYER_CLIENT_ID: true,
      TRUELAYER_CLIENT_SECRET: true,
      HTTPS_PROXY: true,
      https_proxy: true,
      NO_PROXY: true,
      no_proxy: true,
    })
    .refine(({ TRUELAYER_AUTH_URL: { url } }) => isSafe(url), httpsAt('TRUELAYER_AUTH_URL'))
    .refine(({ TRUELAYER_API_URL: { url } }) => isSafe(url), httpsAt('TRUELAYER_API_URL'))
    .superRefine(
      ({ TRUELAYER_AUTH_URL: auth, TRUELAYER_API_URL: api }, context) => {
        const [ours, other] = [environmentOf(auth.url), environmentOf(api.url)]
        if (ours === other) return
        const message =
          `is ${environmentNames[other]}, while TRUELAYER_AUTH_URL is ${environmentNames[ours]}. Set both to the ` +
          'same environment: unset, each means production'
        context.addIssue({ code: 'custom', path: ['TRUELAYER_API_URL'], message })
      },
      whenValid('TRUELAYER_AUTH_URL', 'TRUELAYER_API_URL'),
    )
    .refine(({ TRUELAYER_AUTH_URL: { url }, TRUELAYER_CLIENT_ID: id }) => !isProduction(url) || !isOfSandbox(id), {
      path: ['TRUELAYER_CLIENT_ID'],
      error: 'is of the sandbox, but TRUELAYER_AUTH_URL is production: set it to https://auth.truelayer-sandbox.com',
      ...whenValid('TRUELAYER_AUTH_URL', 'TRUELAYER_CLIENT_ID'),
    })
    .refine(({ TRUELAYER_AUTH_URL: { url }, TRUELAYER_CLIENT_ID: id }) => !isSandbox(url) || isOfSandbox(id), {
      path: ['TRUELAYER_CLIENT_ID'],
      error: "is not of the sandbox (those begin with 'sandbox-'), but TRUELAYER_AUTH_URL is",
      ...whenValid('TRUELAYER_AUTH_URL', 'TRUELAYER_CLIENT_ID'),
    })
    .superRefine((values, context) => {
      const proxy = readProxy(values)
      if (proxy !== undefined && 'problem' in proxy)
        context.addIssue({ code: 'custom', path: [proxy.where], message: proxy.problem })
    }, whenValid())
    .transform((values) => {
      const proxy = readProxy(values)
      return {
        /** Neither address ends in a slash. */
        authUrl: values.TRUELAYER_AUTH_URL.base,
        apiUrl: values.TRUELAYER_API_URL.base,
        clientId: values.TRUELAYER_CLIENT_ID.reveal(),
        clientSecret: values.TRUELAYER_CLIENT_SECRET,
        /** The proxy to the provider; undefined for a direct connection. */
        proxy: proxy !== undefined && 'url' in proxy ? proxy : undefined,
      }
    })
}

const httpsForUsers = (httpsOnly: boolean) => ({
  isSafe: ({ PUBLIC_URL: address }: { PUBLIC_URL?: { url: URL } | undefined }): boolean =>
    !httpsOnly || address === undefined || address.url.protocol === 'https:',
  problem: {
    path: ['PUBLIC_URL'],
    error:
      "must begin with https:// with NODE_ENV=production or TrueLayer's production host: codes and links of real " +
      'users travel there',
    ...whenValid('PUBLIC_URL'),
  },
})

const makeWeb = (httpsOnly: boolean) => {
  const { isSafe, problem } = httpsForUsers(httpsOnly)
  return environment
    .pick({
      PUBLIC_URL: true,
      HOST: true,
      PORT: true,
      OPS_USER: true,
      OPS_PASSWORD: true,
      API_KEYS_SHA256: true,
      TRUSTED_PROXIES: true,
    })
    .refine(isSafe, problem)
    .superRefine(({ OPS_USER: user, OPS_PASSWORD: password }, context) => {
      if ((user === undefined) === (password === undefined)) return
      const missing = user === undefined ? 'OPS_USER' : 'OPS_PASSWORD'
      context.addIssue({ code: 'invalid_type', expected: 'string', path: [missing] })
    }, whenValid())
    .transform(({ PUBLIC_URL, HOST, PORT, OPS_USER: user, OPS_PASSWORD: password, ...lists }) => ({
      /** A start link is this address followed by `/r/<token>`. */
      publicUrl: PUBLIC_URL.base,
      host: HOST,
      port: PORT,
      /** The login of the board; undefined means that there is no board. */
      ops: user === undefined || password === undefined ? undefined : { user, password },
      /** SHA-256 of each API key that the API accepts, in lower-case hex. */
      apiKeyHashes: lists.API_KEYS_SHA256 ?? [],
      /** The proxies whose X-Forwarded-For header is trusted; none by default. */
      trustedProxies: lists.TRUSTED_PROXIES ?? [],
    }))
}

/** PUBLIC_URL for commands that can run without it: they use it to recognise our own host. */
const makeOwnHost = (httpsOnly: boolean) => {
  const { isSafe, problem } = httpsForUsers(httpsOnly)
  return environment
    .pick({ PUBLIC_URL: true })
    .partial()
    .refine(isSafe, problem)
    .transform(({ PUBLIC_URL: address }) => ({ publicUrl: address?.base }))
}

/** `reread` reads the variables again. */
export const makeSections = ({ httpsOnly, reread }: { httpsOnly: boolean; reread: () => Values }) => ({
  database,
  queue: makeQueue(() => reread().REDIS_URL),
  provider: makeProvider(httpsOnly),
  keys: environment.pick({ ENCRYPTION_KEYS: true }).transform(({ ENCRYPTION_KEYS: keys }) => keys),
  web: makeWeb(httpsOnly),
  ownHost: makeOwnHost(httpsOnly),
})

/** The section `channels`: what each channel needs. Only channels in use are read. */
export const channelSections = {
  email: environment
    .pick({ SMTP_URL: true, MAIL_FROM: true })
    .transform(({ SMTP_URL: url, MAIL_FROM: from }) => ({ url, from })),
} satisfies Readonly<Record<ChannelName, z.ZodType>>

type Schemas = ReturnType<typeof makeSections>
type ChannelSections = {
  readonly [Name in ChannelName]?: Readonly<z.output<(typeof channelSections)[Name]>> | undefined
}

/** A group of variables that some command or role requires. */
export type Need = keyof Schemas | 'channels'
export type Sections = { readonly [N in keyof Schemas]: Readonly<z.output<Schemas[N]>> } & {
  readonly channels: ChannelSections
}
export type Settings = Readonly<z.output<typeof settings>>
