// Opens what commands work on: configuration, store, clock. Closes the database connections again however the command
// ends.
import { userInfo } from 'node:os'
import { systemClock, type Clock } from '../clock.ts'
import { configFromProcess, type Config, type Need } from '../config.ts'
import { lockedVault, makeVault } from '../crypto/vault.ts'
import type { Consent } from '../domain/model.ts'
import type { Administration, Imports, Listing, Reopening } from '../store/administration-port.ts'
import { administration } from '../store/administration.ts'
import type { Database } from '../store/database.ts'
import { imports } from '../store/import.ts'
import { listing } from '../store/listing.ts'
import { openStore } from '../store/open-store.ts'
import type { Store } from '../store/port.ts'
import { reopening } from '../store/reopening.ts'
import { CommandFailed } from './command.ts'

const CONNECTIONS = 4

export interface Opened<N extends Need> {
  readonly config: Config<N | 'database'>
  readonly clock: Clock
  readonly db: Database
  readonly store: Store & Administration & Imports & Listing & Reopening
}

/**
 * Runs a command on the database; `needs` names the other parts of the configuration that it requires. Rejects with
 * ConfigError before anything is opened.
 */
export const withStore = async <const N extends Need>(
  needs: readonly N[],
  work: (opened: Opened<N>) => Promise<number>,
): Promise<number> => {
  const config = await configFromProcess<N | 'database'>({ needs: ['database', ...needs] })
  const keys = (config as Config<never>).keys
  const vault = keys === undefined ? lockedVault : makeVault({ keys })
  const { store, db, close } = openStore({ url: config.database.url, vault, connections: CONNECTIONS })
  try {
    const all = {
      ...store,
      ...administration(db, config.policy),
      ...imports(db, config.policy),
      ...listing(db, config.policy.channels),
      ...reopening(db, config.policy),
    }
    return await work({ config, clock: systemClock, db, store: all })
  } finally {
    await close()
  }
}

/** What the store answered about one consent. Throws CommandFailed when it knows no such consent. */
export const orNoSuchConsent = <Answer>(answer: Answer | undefined): Answer => {
  if (answer === undefined) throw new CommandFailed('there is no consent with this id or credentials_id')
  return answer
}

/** The consent that an operator names by our id or by the credentials_id. Throws CommandFailed when there is none. */
export const getConsent = async (store: Pick<Store, 'findConsent'>, id: string): Promise<Consent> =>
  orNoSuchConsent(await store.findConsent(id))

/** The operator's login name, for the consent's events. Undefined where the system has no name for the user. */
export const operatorName = (): string | undefined => {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}
