// Finds the command, reads its arguments, runs it, and turns the result or the error into an exit code.
import { catalogue, commandNames } from './catalogue.ts'
import { readCall, UsageError, unknownCommand } from './command.ts'
import { describeFailure } from './failure.ts'
import { helpOf, overview } from './help.ts'
import type { Terminal } from './terminal.ts'

/** `argv` excludes the interpreter and the program. Never rejects. */
export const runCommand = async (argv: readonly string[], terminal: Terminal): Promise<number> => {
  try {
    return await dispatch(argv, terminal)
  } catch (error) {
    const { exitCode, message } = describeFailure(error)
    terminal.note(
      error instanceof UsageError
        ? `${message}\nSee: reconsent ${knownName(argv[0]) ?? ''} --help`.replace('  ', ' ')
        : message,
    )
    return exitCode
  }
}

const knownName = (name: string | undefined): string | undefined =>
  name !== undefined && Object.hasOwn(catalogue, name) ? name : undefined

const dispatch = async ([first, ...rest]: readonly string[], terminal: Terminal): Promise<number> => {
  if (first === undefined) {
    terminal.note(overview())
    return 2
  }
  if (first === '--version' || first === '-v') {
    const { default: manifest } = (await import('../../package.json', { with: { type: 'json' } })) as {
      default: { version: string }
    }
    await terminal.line(manifest.version)
    return 0
  }
  const asksHelp = first === 'help' || first === '--help' || first === '-h'
  const name = asksHelp ? rest[0] : first
  if (name === undefined || (asksHelp && name.startsWith('-'))) {
    await terminal.line(overview())
    return 0
  }
  if (name.startsWith('-'))
    throw new UsageError(`${name.slice(0, 60)} comes before the command: write reconsent COMMAND ${name.slice(0, 60)}`)
  const entry = Object.hasOwn(catalogue, name) ? catalogue[name] : undefined
  if (entry === undefined) throw unknownCommand(name, commandNames)
  const { command } = await entry.load()
  if (asksHelp) {
    await terminal.line(helpOf(command))
    return 0
  }
  const call = readCall(command, rest, terminal)
  if (call.wantsHelp) {
    await terminal.line(helpOf(command))
    return 0
  }
  return command.run(call)
}
