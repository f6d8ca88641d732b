// How a command that failed says so: one clean line, and the exit code. Drivers put addresses and arguments into their messages:
// of theirs, only names and codes are shown.
import { ConfigError } from '../config.ts'
import { TransientError, PermanentError } from '../errors.ts'
import { ImportFileError } from '../import/csv-rows.ts'
import { scrub } from '../log/clean.ts'
import { CommandFailed, UsageError } from './command.ts'

export interface Failure {
  readonly exitCode: 1 | 2
  readonly message: string
}

export const describeFailure = (error: unknown): Failure => {
  if (error instanceof UsageError || error instanceof ConfigError) return { exitCode: 2, message: error.message }
  if (error instanceof CommandFailed || error instanceof ImportFileError) return { exitCode: 1, message: error.message }
  if (error instanceof TransientError || error instanceof PermanentError) return { exitCode: 1, message: error.message }
  const missing = missingPackage(error)
  if (missing !== undefined) {
    return { exitCode: 2, message: `this command needs the development packages (${missing} is not installed): run npm ci without --omit=dev` }
  }
  return { exitCode: 1, message: databaseWords(error) ?? unexpected(error) }
}

/** A package by its name, or a room that production installations leave out; no other file of ours. */
const missingPackage = (error: unknown): string | undefined => {
  if ((error as { code?: unknown } | null)?.code !== 'ERR_MODULE_NOT_FOUND' || !(error instanceof Error)) return undefined
  const [, name, room] = /Cannot find (?:package '([^']+)'|module '[^']*\/(src\/(?:demo|simulator|embedded)\/))/.exec(error.message) ?? []
  return name ?? room
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the database could not be reached: nothing listens at DATABASE_URL',
  ENOTFOUND: "the database could not be reached: DATABASE_URL's host is not known",
  EAI_AGAIN: "the database could not be reached: DATABASE_URL's host could not be looked up",
  ETIMEDOUT: 'the database could not be reached in time',
  ECONNRESET: 'the connection to the database was cut',
  P1000: 'the database refused our user or password',
  P1001: 'the database could not be reached',
  P1002: 'the database could not be reached in time',
  P1003: 'the database that DATABASE_URL names does not exist',
  P1010: 'the database denied us access',
  P1017: 'the database closed the connection',
  P2021: 'the database has no tables of ours yet: run reconsent migrate',
  P2022: "the database's tables are older than this program: run reconsent migrate",
  P2024: 'no connection to the database became free in time',
  '28000': 'the database refused our user',
  '28P01': 'the database refused our user or password',
  '3D000': 'the database that DATABASE_URL names does not exist',
  '42P01': 'the database has no tables of ours yet: run reconsent migrate',
  '42703': "the database's tables are older than this program: run reconsent migrate",
  '42501': "the database's role lacks a right that this needs",
  '53300': 'the database has no connection left for us',
  '57P03': 'the database is starting up',
}

/** Codes from the error and from what caused it, outermost last: the innermost knows best. */
const codesOf = (error: unknown, depth = 0): string[] => {
  if (typeof error !== 'object' || error === null || depth > 5) return []
  const { code, originalCode, cause, meta, errors } = error as Record<string, unknown>
  const inner = [cause, (meta as Record<string, unknown> | undefined)?.['driverAdapterError'], ...(Array.isArray(errors) ? (errors as unknown[]) : [])]
  return [...inner.flatMap((one) => codesOf(one, depth + 1)), originalCode, code].filter((one): one is string => typeof one === 'string')
}

const databaseWords = (error: unknown): string | undefined => {
  const code = codesOf(error).find((one) => Object.hasOwn(words, one))
  return code === undefined ? undefined : `${words[code]} (${code})`
}

const unexpected = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unexpected failure'
  const codes = [...new Set(codesOf(error))].join(', ')
  const isForeign = error.name.startsWith('Prisma') || error.name === 'DatabaseError' || error.name === 'error' || error.name === 'DriverAdapterError'
  const said = isForeign ? 'the database reported an error' : scrub(error.message)
  return `unexpected failure: ${said}${codes === '' ? '' : ` (${codes})`}`
}
