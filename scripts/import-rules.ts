// Which room may import which, as data. A room is a folder of src/ or a file next to the folders; an import that is not
// listed for its room is refused. docs/architecture.md says the same in words.

interface Room {
  /** Rooms (`domain`), files (`crypto/hashing.ts`) and packages (`luxon`); `node:` is open to all but the domain. */
  readonly may: readonly string[]
}

/** Modules that any room but the domain may use: they make no decisions and reach nothing outside. */
const words = ['domain', 'errors.ts', 'secret.ts', 'clock.ts', 'log.ts', 'crash-point.ts', 'luxon']
/** The contracts between the rooms. */
const ports = ['store/port.ts', 'queue/port.ts', 'provider/port.ts', 'notify/port.ts', 'processors/outcome.ts']

/**
 * Rooms that are kept apart. Rooms that are not listed (the composition root, the command line) may import any room
 * that runs in production.
 */
export const rooms: Readonly<Record<string, Room>> = {
  domain: { may: ['luxon'] },
  'errors.ts': { may: [] },
  'secret.ts': { may: [] },
  'clock.ts': { may: ['luxon'] },
  'crash-point.ts': { may: [] },
  'log.ts': { may: ['log', 'secret.ts', 'pino', 'pino-pretty'] },
  log: { may: ['errors.ts', 'secret.ts', 'luxon'] },
  crypto: { may: ['errors.ts', 'secret.ts'] },
  config: {
    may: [
      'domain',
      'secret.ts',
      'crypto/hashing.ts',
      'crypto/key-ring.ts',
      'notify/mailbox.ts',
      'postgres/address.ts',
      'queue/redis-url.ts',
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
  notify: { may: [...words, ...ports, 'nodemailer'] },
  // Requests end in processors; only the board shows BullMQ's own queues.
  http: {
    may: [
      ...words,
      ...ports,
      'processors',
      'metrics.ts',
      'crypto/hashing.ts',
      'fastify',
      '@fastify/*',
      '@bull-board/*',
      'bullmq',
    ],
  },
  // The simulator judges what Reconsent did, so it shares nothing with Reconsent but the interface of the clock.
  simulator: { may: ['clock.ts', 'luxon', 'fastify', '@fastify/formbody', 'zod', 'smtp-server', 'mailparser'] },
  embedded: { may: ['pg'] },
}

/** Packages that only the named places may import, whatever the lists above allow. */
export const owners: Readonly<Record<string, readonly string[]>> = {
  bullmq: ['queue/', 'http/board.ts'],
  ioredis: ['queue/'],
  pg: ['postgres/', 'embedded/'],
  '@prisma/*': ['store/'],
  generated: ['store/'],
  got: ['provider/'],
  nodemailer: ['notify/'],
}

/** Only for the demo and the tests: loaded by a dynamic import, so that production need not contain these rooms. */
export const developmentOnly: readonly string[] = ['simulator', 'embedded', 'demo']

/** The only reader of the environment. */
export const environmentReader = 'config.ts'
