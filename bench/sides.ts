// The sides of the bench: what each is, what it leaves out, and how its database is filled and read.
import { fileURLToPath } from 'node:url'
import { tokenFingerprint } from '../src/crypto/hashing.ts'
import { Secret } from '../src/secret.ts'
import type { SideDatabase } from './database.ts'
import type { BenchConsent } from './population.ts'
import type { Order } from './sides/order.ts'
import { fillReconsent } from './sides/reconsent-database.ts'
import { COUNT_RENEWED, fillTables, MAKE_DUE } from './sides/tables.ts'

export interface Side {
  readonly name: string
  readonly title: string
  /** What it does less than Reconsent. */
  readonly skips: string
  /** The program of the side's process, and its arguments. */
  readonly entry: string
  readonly args: readonly string[]
  readonly usesRedis: boolean
  /** Whether it takes part where no sides are named. */
  readonly isUsual: boolean
  /** A regular expression that the statements of the queue's own tables contain; undefined where it has none. */
  readonly queueStatements: string | undefined
  /** Makes the tables and fills them with consents that are not due. */
  fill(database: SideDatabase, order: Order, consents: readonly BenchConsent[]): Promise<void>
  /** A statement that makes consents due: $1 their credentials_ids, $2 the instant. */
  readonly makeDue: string
  /** A statement with the number of renewals that are proven and stored, as `count`. */
  readonly countRenewed: string
  /** A statement with `credentials_id`, `expires_at` and `token` of each consent. */
  readonly readConsents: string
  /** What `token` is for this refresh token. */
  shownToken(refreshToken: string): string
}

const entry = (file: string): string => fileURLToPath(new URL(`sides/${file}`, import.meta.url))

const reconsent = {
  skips: 'nothing',
  isUsual: true,
  entry: entry('reconsent.ts'),
  args: [],
  fill: async (database, order, consents) => {
    await fillReconsent(order, consents)
    await database.query(`UPDATE consents SET next_action_at = 'infinity'`)
  },
  makeDue: 'UPDATE consents SET next_action_at = $2 WHERE credentials_id = ANY($1)',
  countRenewed: COUNT_RENEWED,
  readConsents: `SELECT credentials_id, expires_at, encode(fingerprint, 'hex') AS token
    FROM consents JOIN token_fingerprints ON consent_id = id AND state = 'current'`,
  shownToken: (refreshToken) => tokenFingerprint(new Secret(refreshToken)).toString('hex'),
} satisfies Partial<Side>

const ownTables = {
  args: [],
  isUsual: true,
  usesRedis: false,
  fill: async (database, { redirectUri }, consents) => fillTables(database, consents, redirectUri),
  makeDue: MAKE_DUE,
  countRenewed: COUNT_RENEWED,
  readConsents: 'SELECT credentials_id, expires_at, refresh_token AS token FROM consents',
  shownToken: (refreshToken) => refreshToken,
} satisfies Partial<Side>

/** What none of the sides but Reconsent does. */
const SKIPPED =
  'encryption of tokens, codes and verifiers; what is in doubt after a crash (a code may be sent twice); events and ' +
  'their feed; reminders, quiet hours, limits; texts in the language of the user; metrics, API, board'
const cron = {
  ...ownTables,
  skips: `${SKIPPED}; retries; what a crash interrupts is done again from the start, or never`,
  entry: entry('cron.ts'),
  queueStatements: undefined,
} satisfies Partial<Side>
const onQueue = {
  ...ownTables,
  skips: SKIPPED,
} satisfies Partial<Side>

export const sides: readonly Side[] = [
  {
    ...ownTables,
    name: 'floor',
    title: 'The floor: one hand-written process, got + pg + SMTP + fastify',
    skips: `${SKIPPED}; retries; a second process (no claims, no leases); what a crash interrupts; log`,
    entry: entry('floor.ts'),
    queueStatements: undefined,
  },
  { ...reconsent, name: 'redis', title: 'Reconsent, queue on Redis', usesRedis: true, queueStatements: undefined },
  {
    ...reconsent,
    name: 'postgres',
    title: 'Reconsent, queue on PostgreSQL',
    usesRedis: false,
    // BullMQ begins each of its statements with a comment; ours have none.
    queueStatements: '^-- ',
  },
  ...[1, 4].map((count) => ({
    ...reconsent,
    name: `workers-${count}`,
    title: `Reconsent on Redis, ${count} with the role worker, one job at a time each`,
    entry: entry('workers.ts'),
    args: [String(count)],
    usesRedis: true,
    queueStatements: undefined,
    isUsual: false,
  })),
  { ...cron, name: 'cron', title: 'A nightly script over Prisma, one consent after another', args: ['1'] },
  { ...cron, name: 'cron-20', title: 'The same script, 20 consents at once', args: ['20'] },
  {
    ...onQueue,
    name: 'graphile-worker',
    title: 'The same job on graphile-worker',
    entry: entry('graphile-worker.ts'),
    queueStatements: 'graphile_worker',
  },
  {
    ...onQueue,
    name: 'pg-boss',
    title: 'The same job on pg-boss',
    entry: entry('pg-boss.ts'),
    queueStatements: 'pgboss',
  },
]
