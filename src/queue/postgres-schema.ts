// BullMQ's own tables in PostgreSQL (schema `bullmq`): checks that they are there and current, else creates or migrates them.
import { assertSchemaCompatibility, DEFAULT_SCHEMA, LATEST_SCHEMA_VERSION, runMigrations, SchemaMigrationRequiredError } from 'bullmq'
import { type Client, withConnection } from '../postgres/client.ts'
import { hearsNotifications, NO_NOTIFICATIONS } from '../postgres/notifications.ts'
import { DatabaseTrouble, troubleWords } from '../postgres/trouble.ts'
import type { Secret } from '../secret.ts'
import { wordOf } from './foreign-error.ts'

/** Where BullMQ's tables are: the owner grants the program's role its rights there. */
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
 * Safe to run by many processes at once. When the schema is current this only reads, so that the program's own role needs no right to
 * create one if the owner ran this before (`reconsent migrate`). Rejects with an Error whose message is ours alone.
 */
export const prepareQueueSchema = async (url: Secret): Promise<void> => {
  try {
    await withConnection(url, { applicationName: 'reconsent queue', connectMs: 5_000, schema: DEFAULT_SCHEMA, keepsSession: true }, async (client) => {
      if ((await versionOf(client)) < LATEST_SCHEMA_VERSION) await runMigrations(client, DEFAULT_SCHEMA)
    })
  } catch (error) {
    throw new DatabaseTrouble(`the queue's tables in PostgreSQL (schema "${DEFAULT_SCHEMA}") could not be prepared: ${troubleWords(error) ?? wordOf(error)}`)
  }
}

/** What the running queue needs beside its tables. Rejects with a DatabaseTrouble that says why it cannot run. */
export const checkQueueSessions = async (url: Secret): Promise<void> => {
  if (!(await hearsNotifications(url))) throw new DatabaseTrouble(NO_NOTIFICATIONS, { isConfiguration: true })
}
