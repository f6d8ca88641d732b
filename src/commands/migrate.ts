// `migrate`: brings the database up to date, connected as the role that owns its tables.
import { type Config, ConfigError, configFromProcess } from '../config.ts'
import { troubleWords } from '../postgres/trouble.ts'
import type { Secret } from '../secret.ts'
import { noteForgottenEvents } from '../store/event-sequencer.ts'
import { migrate, readMigrations } from '../store/migrate.ts'
import { isLeftInPublic, schemaToMigrate } from '../store/our-schema.ts'
import { type Granted, grantRights } from '../store/rights.ts'
import { CommandFailed, type Define, examples, json } from './command.ts'
import type { Terminal } from './terminal.ts'
import { count } from './text.ts'

const LEFT =
  'warning: the schema public holds tables of Reconsent, too. Earlier releases put them there whatever schema= ' +
  'said: if they are yours, see docs/runbook.md#tables-in-another-schema'

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Applies the migrations that the database lacks, each in one transaction; running it again, or twice at once,
is safe. Connects with MIGRATE_DATABASE_URL if it is set (the role that owns the tables), else with
DATABASE_URL. With QUEUE=postgres it also prepares the queue's own tables. Events that a restore or a
replication left out of the feed are noted, so that the scheduler adds them.

The tables are in the schema that ?schema=NAME of DATABASE_URL names, which is made if it is missing. Without
it they are in the schema to which the search_path of the role leads.

If the two addresses name different roles, the role of DATABASE_URL gets exactly the rights that the program
needs: it may read and add events, but neither change nor delete them. The role must exist already, and
needs no other grant.`,
    )
    .addOption(json)
    .addHelpText('after', examples('reconsent migrate'))
    .action(exits(async (options) => migrateNow(terminal, options.json)))

const migrateNow = async (terminal: Terminal, asJson = false): Promise<number> => {
  const config = await configFromProcess({ needs: ['database'], policy: {} })
  const { url, migrateUrl } = config.database
  const asOwner = namingAddress(config.database)
  const schema = await asOwner(schemaToMigrate(url, migrateUrl))
  const [first] = await readMigrations()
  if (first !== undefined && (await asOwner(isLeftInPublic(migrateUrl, schema, first.checksum)))) terminal.note(LEFT)
  const applied = await asOwner(migrate(migrateUrl, undefined, schema))
  const forgotten = await asOwner(noteForgottenEvents(migrateUrl, schema))
  const queueSchema = (await queueKind()) === 'postgres' ? await prepareQueue(migrateUrl) : undefined
  const granted = await asOwner(grantRights({ ownerUrl: migrateUrl, appUrl: url, schema, queueSchema }))
  if (granted.kind === 'no-such-role') {
    throw new CommandFailed(
      `DATABASE_URL's user ${JSON.stringify(granted.role)} is no role of this database: create it (CREATE ` +
        'ROLE … LOGIN PASSWORD …), then run this again',
    )
  }
  if (asJson)
    await terminal.json({
      applied,
      application_role: roleJson(granted),
      ...(forgotten > 0 && { noted_for_feed: forgotten }),
    })
  else {
    await terminal.line(
      applied.length === 0
        ? 'the database is up to date'
        : `${count(applied.length, 'migration')} applied: ${applied.join(', ')}`,
    )
    if (forgotten > 0)
      await terminal.line(`${count(forgotten, 'event')} had been left out of the feed: the scheduler adds them now`)
    if (granted.kind === 'granted')
      await terminal.line(`the role ${granted.role} has the rights that the program needs`)
  }
  if (granted.kind === 'granted' && granted.rewrites) {
    terminal.note(
      `warning: the role ${granted.role} can rewrite events all the same (as a superuser, a member of the ` +
        'owner, or by a grant to PUBLIC): only a trigger guards them',
    )
  }
  return 0
}

/** Names MIGRATE_DATABASE_URL in errors of the owner's connection, unless both variables hold the same address. */
const namingAddress =
  ({ url, migrateUrl }: Config<'database'>['database']) =>
  async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      const words = url === migrateUrl ? undefined : troubleWords(error, 'MIGRATE_DATABASE_URL')
      throw words === undefined ? error : new CommandFailed(words)
    }
  }

const roleJson = (granted: Exclude<Granted, { kind: 'no-such-role' }>) =>
  granted.kind === 'granted' ? { name: granted.role, can_rewrite_events: granted.rewrites } : null

/** Returns the schema of the queue's tables. */
const prepareQueue = async (url: Secret): Promise<string> => {
  const { prepareQueueSchema, QUEUE_SCHEMA } = await import('../queue/postgres-schema.ts')
  await prepareQueueSchema(url)
  return QUEUE_SCHEMA
}

/**
 * This command needs the queue's configuration only when the queue is in the same database. Problems with that
 * configuration are ignored here; `start` reports them.
 */
const queueKind = async (): Promise<'redis' | 'postgres' | undefined> => {
  try {
    return (await configFromProcess({ needs: ['queue'], policy: {} })).queue.kind
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}
