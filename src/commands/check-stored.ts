// Runs before the program starts: does the stored data fit the configuration? If a key that stored secrets need is
// missing, every consent encrypted with it would be quarantined; if a stored callback is not https, a real user's code
// would travel unencrypted.
import { setTimeout } from 'node:timers/promises'
import { ConfigError, type Config, type Problem, requiresHttps } from '../config.ts'
import { makeVault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import { DatabaseTrouble, troubleWords } from '../postgres/trouble.ts'
import { countPlainCallbacks } from '../store/redirect-uris.ts'
import { missingKeys } from '../store/cells.ts'
import { openDatabase } from '../store/database.ts'
import { classify } from '../store/database-errors.ts'

/** The check reads every row. This limit lets the program start even if the database connection hangs. */
const ASKS_AT_MOST_MS = 60_000
/** How often the check is repeated while the database is unavailable. */
const ASKS_AGAIN_MS = 1_000

/**
 * Throws a ConfigError (exit code 2) that names each missing key and how many secrets need it, and the number of
 * callbacks that must be https and are not. Returns false when the database is unavailable: a web process must answer
 * without it, so the program starts, and `watchStored` repeats the check until it succeeds.
 */
export const checkStored = async (config: Config<'database' | 'keys'>, log: Log): Promise<boolean> => {
  const db = openDatabase({
    url: config.database.url,
    vault: makeVault({ keys: config.keys }),
    connections: 1,
    statementMs: ASKS_AT_MOST_MS,
  })
  try {
    const missing = await missingKeys(db.sql, config.keys)
    const plain = requiresHttps(config) ? await countPlainCallbacks(db) : 0
    refuse([...keyProblems(missing), ...callbackProblems(plain)])
    return true
  } catch (error) {
    if (error instanceof ConfigError) throw error
    // Nothing is stored yet. Readiness reports that the tables are missing.
    if (classify(error) === 'no-tables') return true
    log.warn(
      { err: error, reason: error instanceof DatabaseTrouble ? error.message : troubleWords(error) },
      'the database cannot be asked which encryption keys are in use, and which callbacks',
    )
    return false
  } finally {
    await db.prisma.$disconnect()
  }
}

/** Resolves with the ConfigError once the database is available and the check fails; otherwise it never resolves. */
export const watchStored = async (
  config: Config<'database' | 'keys'>,
  log: Log,
  stop: AbortSignal,
): Promise<ConfigError> => {
  while (!stop.aborted) {
    await setTimeout(ASKS_AGAIN_MS, undefined, { signal: stop }).catch(() => undefined)
    try {
      if (stop.aborted || (await checkStored(config, { ...log, warn: () => undefined }))) break
    } catch (error) {
      if (error instanceof ConfigError) return error
      throw error
    }
  }
  return new Promise(() => undefined)
}

/**
 * A value that is not sealed text needs no key. Only its own row is at fault: its consent is quarantined when a worker
 * reads the value, and the program may start.
 */
const keyProblems = (missing: Awaited<ReturnType<typeof missingKeys>>): Problem[] =>
  missing
    .filter(({ keyId }) => keyId !== '')
    .map(({ keyId, cells }) => ({
      where: 'ENCRYPTION_KEYS',
      what:
        `lacks the key ${JSON.stringify(keyId)}, which ${cells} stored secrets need: put it back behind the ` +
        'first one, and run reconsent keys rotate before it is removed',
    }))

/** Such consents were imported where http was allowed; the rows themselves are valid. */
const callbackProblems = (plain: number): Problem[] => {
  const what =
    `is not https for ${plain} stored consents, as NODE_ENV=production and TrueLayer's production host demand: ` +
    'import them again with the https one that is registered, or close them'
  return plain === 0 ? [] : [{ where: 'redirect_uri', what }]
}

const refuse = (problems: readonly Problem[]): void => {
  if (problems.length > 0) throw new ConfigError(problems)
}
