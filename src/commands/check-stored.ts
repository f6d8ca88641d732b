// Before anything runs: does what is stored fit the configuration? Without a key that stored secrets need, every
// consent it encrypts would be quarantined; over a callback that is not https, a real user's code would travel in
// clear.
import { setTimeout } from 'node:timers/promises'
import { ConfigError, type Config, type Problem, requiresHttps } from '../config.ts'
import { makeVault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import { DatabaseTrouble, troubleWords } from '../postgres/trouble.ts'
import { countPlainCallbacks } from '../store/redirect-uris.ts'
import { missingKeys } from '../store/cells.ts'
import { openDatabase } from '../store/database.ts'

/** It reads every row; on a connection that leads nowhere, the start must go on all the same. */
const ASKS_AT_MOST_MS = 60_000
/** A database that is away is asked again this often. */
const ASKS_AGAIN_MS = 1_000

/**
 * Throws a ConfigError (exit code 2) that names each missing key and how many secrets need it, and callbacks that are
 * not https where they must be. False when the database cannot be asked: a web process must answer without it, so the
 * start goes on, and `watchStored` asks for as long as it takes.
 */
export const checkStored = async (config: Config<'database' | 'keys'>, log: Log): Promise<boolean> => {
  const db = openDatabase({
    url: config.database.url,
    vault: makeVault({ keys: config.keys }),
    connections: 1,
    statementMs: ASKS_AT_MOST_MS,
  })
  try {
    const missing = await missingKeys(db, config.keys)
    const plain = requiresHttps(config) ? await countPlainCallbacks(db) : 0
    refuse([...keyProblems(missing), ...callbackProblems(plain)])
    return true
  } catch (error) {
    if (error instanceof ConfigError) throw error
    if (hasNoTables(error)) return true
    log.warn(
      { err: error, reason: error instanceof DatabaseTrouble ? error.message : troubleWords(error) },
      'the database cannot be asked which encryption keys are in use, and which callbacks',
    )
    return false
  } finally {
    await db.prisma.$disconnect()
  }
}

/** Resolves with the refusal once the database can be asked and something does not fit; otherwise never. */
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
 * A cell that is no sealed text needs no key: it is one row's trouble, quarantined when it is touched, and stops
 * nothing else.
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

/** An import made where http was allowed: the rows themselves are sound. */
const callbackProblems = (plain: number): Problem[] => {
  const what =
    `is not https for ${plain} stored consents, as NODE_ENV=production and TrueLayer's production host demand: ` +
    'import them again with the https one that is registered, or close them'
  return plain === 0 ? [] : [{ where: 'redirect_uri', what }]
}

const refuse = (problems: readonly Problem[]): void => {
  if (problems.length > 0) throw new ConfigError(problems)
}

/** PostgreSQL: undefined table. Not migrated yet: nothing is stored, and readiness says so. */
const hasNoTables = (error: unknown): boolean =>
  JSON.stringify([(error as { code?: unknown }).code, (error as { meta?: unknown }).meta]).includes('42P01')
