// Turns an error into one clean line and an exit code. Database drivers put addresses and arguments into their
// messages, so of a driver's error only names and codes are shown.
import { ConfigError } from '../config.ts'
import { TransientError, PermanentError } from '../errors.ts'
import { ImportFileError } from '../import/file-error.ts'
import { scrub } from '../log/clean.ts'
import { codesOf } from '../postgres/error-codes.ts'
import { DatabaseTrouble, troubleWords } from '../postgres/trouble.ts'
import { TextsError } from '../texts/texts-error.ts'
import { CommandFailed } from './command.ts'
import { NotInstalled } from './development.ts'
import { UsageError } from './usage-error.ts'

export interface Failure {
  readonly exitCode: 1 | 2
  readonly message: string
}

export const describeFailure = (error: unknown): Failure => {
  if (error instanceof UsageError || error instanceof ConfigError) return { exitCode: 2, message: error.message }
  if (error instanceof NotInstalled || error instanceof TextsError) return { exitCode: 2, message: error.message }
  if (error instanceof CommandFailed || error instanceof ImportFileError) return { exitCode: 1, message: error.message }
  if (error instanceof DatabaseTrouble) return { exitCode: error.isConfiguration ? 2 : 1, message: error.message }
  if (error instanceof TransientError || error instanceof PermanentError) return { exitCode: 1, message: error.message }
  return { exitCode: 1, message: troubleWords(error) ?? unexpected(error) }
}

const unexpected = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unexpected failure'
  const codes = [...new Set(codesOf(error))].join(', ')
  const isForeign =
    error.name.startsWith('Prisma') ||
    error.name === 'DatabaseError' ||
    error.name === 'error' ||
    error.name === 'DriverAdapterError'
  const said = isForeign ? 'the database reported an error' : scrub(error.message)
  return `unexpected failure: ${said}${codes === '' ? '' : ` (${codes})`}`
}
