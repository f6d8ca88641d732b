// Who may import whom, as data. A room is a folder of src/ or a file beside the folders, or a folder outside src/; what
// is not listed in a room's line is refused. docs/architecture.md tells the same in words.

interface Room {
  /** Rooms (`domain`), files (`crypto/hashing.ts`) and packages (`luxon`); `node:` is open to all but the domain. */
  readonly may: readonly string[]
}

/** Modules that any room but the domain may use: they make no decisions and reach nothing outside. */
const words = [
  'domain',
  'errors.ts',
  'secret.ts',
  'clock.ts',
  'settles-within.ts',
  'log.ts',
  'loopback.ts',
  'records.ts',
  'crash-point.ts',
  'luxon',
]
/** The contracts between the rooms. */
const ports = [
  'store/port.ts',
  'store/access-tokens-port.ts',
  'store/api-keys-port.ts',
  'store/answers-port.ts',
  'store/webhook-port.ts',
  'store/administration-port.ts',
  'queue/port.ts',
  'provider/port.ts',
  'notify/port.ts',
  'webhooks/port.ts',
  'processors/outcome.ts',
]

/** Packages by which runs look at what the product has done. */
const tools = ['luxon', 'pg', 'ioredis']

/**
 * Rooms that are kept apart. Rooms that are not listed (the composition root, the command line) may import any room
 * that runs in production.
 */
export const rooms: Readonly<Record<string, Room>> = {
  domain: { may: ['luxon'] },
  'errors.ts': { may: [] },
  'secret.ts': { may: [] },
  'clock.ts': { may: ['luxon'] },
  'settles-within.ts': { may: [] },
  'records.ts': { may: [] },
  'crash-point.ts': { may: [] },
  'loopback.ts': { may: [] },
  'log.ts': { may: ['log', 'secret.ts', 'pino', 'pino-pretty'] },
  log: { may: ['errors.ts', 'secret.ts', 'luxon'] },
  crypto: { may: ['errors.ts', 'secret.ts'] },
  config: {
    may: [
      'domain',
      'secret.ts',
      'crypto/hashing.ts',
      'crypto/key-ring.ts',
      'log.ts',
      'loopback.ts',
      'notify/email/mailbox.ts',
      'postgres/address.ts',
      'queue/cron.ts',
      'queue/redis-url.ts',
      'leven',
      'luxon',
      'zod',
    ],
  },
  'config.ts': { may: ['config', 'domain', 'log.ts'] },
  'metrics.ts': { may: [...words, ...ports, 'prom-client'] },
  processors: { may: [...words, ...ports, 'crypto/hashing.ts'] },
  // Opens every connection to PostgreSQL; other rooms decide which queries run on it.
  postgres: { may: ['config/addresses.ts', 'config/suggest.ts', 'secret.ts', 'pg'] },
  store: { may: [...words, ...ports, 'crypto', 'generated', 'postgres', '@prisma/adapter-pg', '@prisma/client'] },
  queue: { may: [...words, ...ports, 'bullmq', 'ioredis', 'postgres', 'cron-parser'] },
  provider: { may: [...words, ...ports, 'got'] },
  // Sends webhooks; what an HTTP client knows of proxies and Retry-After is the provider's.
  webhooks: {
    may: [
      ...words,
      ...ports,
      'provider/truelayer/egress-proxy.ts',
      'provider/truelayer/retry-after.ts',
      'got',
      'ipaddr.js',
      'standardwebhooks',
    ],
  },
  // What users read, in every language; two rooms show it.
  texts: { may: ['domain', 'yaml', 'zod'] },
  notify: { may: [...words, ...ports, 'texts', 'nodemailer'] },
  // Requests end in processors; only the board shows BullMQ's own queues.
  http: {
    may: [
      ...words,
      ...ports,
      'processors',
      'metrics.ts',
      'config/suggest.ts',
      'crypto/hashing.ts',
      'import/fields.ts',
      'texts',
      'fastify',
      '@fastify/*',
      'fastify-type-provider-zod',
      'zod',
      '@bull-board/*',
      'bullmq',
    ],
  },
}

/**
 * The same for folders outside src/, which are called by their path from the project's root, as is what they may
 * import. Those not listed may import anything.
 */
export const outside: Readonly<Record<string, Room>> = {
  // The judge of what Reconsent did shares nothing with it.
  'simulator/src': { may: ['luxon', 'fastify', '@fastify/formbody', 'zod', 'smtp-server', 'mailparser'] },
  'simulator/embedded': { may: ['pg'] },
  // The one part of the simulator's folder that knows both.
  'simulator/demo': { may: ['src', 'simulator', 'luxon'] },
  'test/chaos': {
    may: ['src', 'simulator/src', 'simulator/embedded', 'test/setup', 'test/verify/lives.ts', ...tools, 'vitest'],
  },
  // The sides that are no Reconsent are written with the same libraries, and with others that do such work.
  bench: {
    may: [
      'src',
      'simulator/src',
      'simulator/embedded',
      'test/setup',
      ...tools,
      'fastify',
      'got',
      'nodemailer',
      '@prisma/adapter-pg',
      'graphile-worker',
      'pg-boss',
    ],
  },
}

/** Packages that belong to one place of src/, whatever the lines above allow. */
export const owners: Readonly<Record<string, readonly string[]>> = {
  bullmq: ['queue/', 'http/board.ts'],
  ioredis: ['queue/'],
  pg: ['postgres/'],
  '@commander-js/*': ['commands/'],
  '@prisma/*': ['store/'],
  generated: ['store/'],
  got: ['provider/', 'webhooks/'],
  'ipaddr.js': ['webhooks/'],
  standardwebhooks: ['webhooks/'],
  nodemailer: ['notify/email/'],
  yaml: ['texts/'],
}

/** No part of the product: src/ must do without it. */
export const notShipped: readonly string[] = ['simulator', 'truelayer-simulator', 'test', 'bench', 'scripts']

/** Of these, what a command may load by a dynamic import, so that production need not ship it. */
export const developmentOnly: readonly string[] = ['simulator']

/** The only reader of the environment, of all that is in src/ and simulator/. */
export const environmentReader = 'src/config.ts'
