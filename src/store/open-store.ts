// Puts the parts of the store together, over one pool of connections.
import { atTheBank } from './at-the-bank.ts'
import { accessTokens } from './access-tokens.ts'
import { type Database, type DatabaseOptions, openDatabase } from './database.ts'
import { dispatching } from './dispatching.ts'
import { answerPurge } from './answers.ts'
import { sequenceEvents } from './event-sequencer.ts'
import { exchanges } from './exchanges.ts'
import { notifications } from './notifications.ts'
import { namingOutages } from './database-errors.ts'
import type { Store } from './port.ts'
import { providerHealth } from './provider-health.ts'
import { quarantine } from './quarantine.ts'
import { renewals } from './renewals.ts'
import { views } from './views.ts'
import { webhookTryPurge } from './webhook-deliveries.ts'

export const makeStore = (db: Database): Store =>
  namingOutages({
    ...dispatching(db),
    ...answerPurge(db),
    ...webhookTryPurge(db),
    ...renewals(db),
    ...atTheBank(db),
    ...exchanges(db),
    ...accessTokens(db),
    ...quarantine(db),
    ...notifications(db),
    ...providerHealth(db),
    ...views(db),
    sequenceEvents: async (most) => sequenceEvents(db, most),
  })

/** Opens the store; `close` waits for statements that are under way. */
export const openStore = (options: DatabaseOptions): { store: Store; db: Database; close(): Promise<void> } => {
  const db = openDatabase(options)
  return { store: makeStore(db), db, close: async () => db.close() }
}
