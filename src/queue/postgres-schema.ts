// BullMQ's own tables in PostgreSQL (schema `bullmq`): checks that they exist and are current; if not, creates or
// migrates them.
import {
  assertSchemaCompatibility,
  DEFAULT_SCHEMA,
  LATEST_SCHEMA_VERSION,
  type PgQueryable,
  runMigrations,
  SchemaMigrationRequiredError,
} from 'bullmq'
import { type Client, withConnection } from '../postgres/client.ts'
import { hearsNotifications, NO_NOTIFICATIONS } from '../postgres/notifications.ts'
import { DatabaseTrouble, troubleWords } from '../postgres/trouble.ts'
import type { Secret } from '../secret.ts'
import { wordOf } from './foreign-error.ts'

/** The schema of BullMQ's tables, in which the owner grants rights to the program's role. */
export const QUEUE_SCHEMA = DEFAULT_SCHEMA

const versionOf = async (client: Client): Promise<number> => {
  try {
    return await assertSchemaCompatibility(client, DEFAULT_SCHEMA)
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return 0
    throw error
  }
}

/**
 * For CREATE SCHEMA IF NOT EXISTS, PostgreSQL requires a right on the database even when the schema exists. An
 * administrator may have created the schema for a role that lacks that right.
 */
const withoutCreating = async (client: Client): Promise<PgQueryable> => {
  const { rows } = await client.query<{ there: boolean; may_make: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS there,
       has_database_privilege(current_database(), 'CREATE') AS may_make`,
    [DEFAULT_SCHEMA],
  )
  const { there = false, may_make: mayMake = false } = rows[0] ?? {}
  if (!there && !mayMake) {
    throw new DatabaseTrouble(
      `the queue's tables are in the schema "${DEFAULT_SCHEMA}", which is not there, and the role may not ` +
        `create it: CREATE SCHEMA ${DEFAULT_SCHEMA} AUTHORIZATION this role, as an administrator`,
    )
  }
  const isNeeded = (text: string): boolean => !there || !text.startsWith('CREATE SCHEMA IF NOT EXISTS ')
  return {
    query: async (text, values) =>
      isNeeded(text) ? client.query<never>(text, values === undefined ? undefined : [...values]) : { rows: [] },
  }
}

/**
 * Many processes may run this at once. When the schema is current it only reads: if the owner has run `reconsent
 * migrate` before, the program's own role needs no right to create a schema. Rejects with an Error whose message is
 * ours alone.
 */
export const prepareQueueSchema = async (url: Secret): Promise<void> => {
  try {
    await withConnection(
      url,
      { applicationName: 'reconsent queue', connectMs: 5_000, schema: DEFAULT_SCHEMA, keepsSession: true },
      async (client) => {
        if ((await versionOf(client)) < LATEST_SCHEMA_VERSION)
          await runMigrations(await withoutCreating(client), DEFAULT_SCHEMA)
      },
    )
  } catch (error) {
    if (error instanceof DatabaseTrouble) throw error
    throw new DatabaseTrouble(
      `the queue's tables in PostgreSQL (schema "${DEFAULT_SCHEMA}") could not be prepared: ` +
        (troubleWords(error) ?? wordOf(error)),
    )
  }
}

/**
 * Checks what the running queue needs besides its tables. Rejects with a DatabaseTrouble that says why the queue cannot
 * run.
 */
export const checkQueueSessions = async (url: Secret): Promise<void> => {
  if (!(await hearsNotifications(url))) throw new DatabaseTrouble(NO_NOTIFICATIONS, { isConfiguration: true })
}
