// Before anything runs: are all the keys there that stored secrets need? Without one, every consent it encrypts would be quarantined.
import { setTimeout } from 'node:timers/promises'
import { ConfigError, type Config } from '../config.ts'
import { makeVault } from '../crypto/vault.ts'
import type { Log } from '../log.ts'
import { missingKeys } from '../store/cells.ts'
import { openDatabase } from '../store/database.ts'

/** A database that is away is asked again this often. */
const ASKS_AGAIN_MS = 1_000

/**
 * Throws a ConfigError (exit code 2) that names each missing key and how many secrets need it. False when the database cannot be
 * asked: a web process must answer without it, so the start goes on, and `watchKeys` asks for as long as it takes.
 */
export const checkKeys = async (config: Config<'database' | 'keys'>, log: Log): Promise<boolean> => {
  const db = openDatabase({ url: config.database.url, vault: makeVault({ keys: config.keys }), connections: 1 })
  try {
    refuse(await missingKeys(db, config.keys))
    return true
  } catch (error) {
    if (error instanceof ConfigError) throw error
    if (hasNoTables(error)) return true
    log.warn({ err: error }, 'the database cannot be asked which encryption keys are in use')
    return false
  } finally {
    await db.prisma.$disconnect()
  }
}

/** Resolves with the refusal once the database can be asked and a key is missing; otherwise never. */
export const watchKeys = async (config: Config<'database' | 'keys'>, log: Log, stop: AbortSignal): Promise<ConfigError> => {
  while (!stop.aborted) {
    await setTimeout(ASKS_AGAIN_MS, undefined, { signal: stop }).catch(() => undefined)
    try {
      if (stop.aborted || (await checkKeys(config, { ...log, warn: () => undefined }))) break
    } catch (error) {
      if (error instanceof ConfigError) return error
      throw error
    }
  }
  return new Promise(() => undefined)
}

/** A cell that is no sealed text needs no key: it is one row's trouble, quarantined when it is touched, and stops nothing else. */
const refuse = (missing: Awaited<ReturnType<typeof missingKeys>>): void => {
  const problems = missing
    .filter(({ keyId }) => keyId !== '')
    .map(({ keyId, cells }) => ({
      where: 'ENCRYPTION_KEYS',
      what: `lacks the key ${JSON.stringify(keyId)}, which ${cells} stored secrets need: put it back behind the first one, and run reconsent keys rotate before it is removed`,
    }))
  if (problems.length > 0) throw new ConfigError(problems)
}

/** PostgreSQL: undefined table. Not migrated yet: nothing is stored, and readiness says so. */
const hasNoTables = (error: unknown): boolean => JSON.stringify([(error as { code?: unknown }).code, (error as { meta?: unknown }).meta]).includes('42P01')
