// `migrate`: brings the database up to date, with the role that owns its tables.
import { ConfigError, configFromProcess } from '../config.ts'
import { migrate } from '../store/migrate.ts'
import { type Command, json } from './command.ts'
import { count } from './text.ts'

export const command: Command = {
  usage: 'migrate [--json]',
  about: `Applies the migrations the database lacks, each in one transaction; running it again, or twice at once, is safe. Uses
MIGRATE_DATABASE_URL where it is set (the role that owns the tables), else DATABASE_URL. With QUEUE=postgres it also prepares
the queue's own tables.`,
  arguments: [],
  options: { json },
  examples: ['reconsent migrate'],
  run: async (call) => {
    const config = await configFromProcess({ needs: ['database'], policy: {} })
    const applied = await migrate(config.database.migrateUrl.reveal())
    const queue = await queueKind()
    if (queue === 'postgres') {
      const { prepareQueueSchema } = await import('../queue/postgres-schema.ts')
      await prepareQueueSchema(config.database.migrateUrl)
    }
    if (call.flag('json')) await call.terminal.json({ applied })
    else await call.terminal.line(applied.length === 0 ? 'the database is up to date' : `${count(applied.length, 'migration')} applied: ${applied.join(', ')}`)
    return 0
  },
}

/** The queue is no business of this command unless it lives in the same database: what is wrong with it is for `start` to say. */
const queueKind = async (): Promise<'redis' | 'postgres' | undefined> => {
  try {
    return (await configFromProcess({ needs: ['queue'], policy: {} })).queue.kind
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}
