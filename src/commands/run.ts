// Runs the command line, and turns the result or the error into an exit code.
import { CommanderError } from '@commander-js/extra-typings'
import { type Catalogue, catalogue as ours } from './catalogue.ts'
import { makeProgram } from './program.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** `argv` excludes the interpreter and the program. Never rejects. */
export const runCommand = async (
  argv: readonly string[],
  terminal: Terminal,
  catalogue: Catalogue = ours,
): Promise<number> => {
  let exitCode = 0
  const program = makeProgram(argv, catalogue, {
    terminal,
    exits:
      (work) =>
      async (...given) => {
        exitCode = await work(...given)
      },
  })
  const [first = '', second = ''] = argv
  const asksHelp = ['help', '--help', '-h'].includes(first)
  try {
    if (asksHelp && (second === '' || second.startsWith('-'))) program.outputHelp()
    else await program.parseAsync(asksHelp ? [second, '--help'] : argv, { from: 'user' })
    return exitCode
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0) return 0
      // There was no command, and the help is shown for that.
      if (thrown.code === 'commander.help') return 2
    }
    const error = thrown instanceof CommanderError ? usageError(thrown, first) : thrown
    // Knows the errors of every part, which loads them: help must not wait for that.
    const { describeFailure } = await import('./failure.ts')
    const { exitCode: failed, message } = describeFailure(error)
    const name = Object.hasOwn(catalogue, first) ? `${first} ` : ''
    terminal.note(error instanceof UsageError ? `${message}\nSee: reconsent ${name}--help` : message)
    return failed
  }
}

/** What a long message shows of its beginning, and of its end. */
const MAX_END = 150

/** One short line without control characters: commander quotes all that was typed, as it is. */
const usageError = ({ code, message }: CommanderError, first: string): UsageError => {
  const line = message
    .replace(/^error: /, '')
    .replace('\n(Did', ' (Did')
    .replaceAll(/\p{Cc}/gu, '?')
  const shown = line.length > 2 * MAX_END ? `${line.slice(0, MAX_END)} … ${line.slice(-MAX_END)}` : line
  const isEarly = code === 'commander.unknownOption' && first.startsWith('-')
  return new UsageError(`${shown}${isEarly ? ': the options of a command follow its name' : ''}`)
}
