// The program as commander's commands. A command's module is loaded, and its options are declared, only when the
// command is called.
import * as commander from 'commander'
import manifest from '../../package.json' with { type: 'json' }
import type { Catalogue } from './catalogue.ts'
import { type Call, type Command, UsageError } from './command.ts'
import type { Terminal } from './terminal.ts'

const AFTER_HELP = `
ID is Reconsent's own id or the credentials_id. Every command explains itself: reconsent COMMAND --help
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

Examples:
  reconsent migrate && reconsent start
  reconsent import consents.ndjson
  reconsent explain 7d0e4f8a-4c1b-4f0e-9b1e-0d5a2c6f1e33`

interface ProgramOptions {
  /** What is going to be parsed. */
  readonly argv: readonly string[]
  readonly catalogue: Catalogue
  readonly terminal: Terminal
  /** Receives the exit code of the command that was run. */
  readonly onEnd: (exitCode: number) => void
}

/** Parsing rejects with CommanderError on wrong usage, and also after a help or the version was shown. */
export const makeProgram = ({ argv, catalogue, terminal, onEnd }: ProgramOptions): commander.Command => {
  const program = new commander.Command('reconsent')
    .description('Reconsent keeps open-banking consents alive.')
    .usage('COMMAND [ARGUMENTS] [OPTIONS]')
    .version(manifest.version, '-v, --version', 'show the version')
    .addHelpText('after', AFTER_HELP)
    // commander would answer `nosuch --help` and `help COMMAND` with a help that lacks what is loaded later: run.ts
    // turns both into `COMMAND --help`.
    .helpOption(false)
    .helpCommand(false)
    .enablePositionalOptions()
    .configureHelp({ helpWidth: 120, optionTerm: ({ flags }) => flags.replaceAll(/[<>]/g, '') })
    .configureOutput({
      writeOut: (text) => void terminal.write(text),
      writeErr: (text) => terminal.note(text.replace(/\n$/, '')),
      outputError: () => undefined,
    })
    .exitOverride()
    .hook('preSubcommand', async (_program, called) => {
      const { command } = (await catalogue[called.name()]?.load()) ?? {}
      if (command === undefined) throw new TypeError(`${called.name()} is not in the catalogue`)
      declare(called, command)
      refuseMisread(argv.slice(1), called.options)
      called.action(async () => onEnd(await command.run(callOf(called, command, terminal))))
    })
  for (const [name, { summary }] of Object.entries(catalogue)) program.command(name).summary(summary)
  return program
}

const declare = (called: commander.Command, { usage, about, arguments: names, options, examples }: Command): void => {
  called
    .usage(usage)
    .description(about)
    .helpOption('-h, --help', 'show this help')
    .addHelpText(
      'after',
      `\n${examples.length === 1 ? 'Example' : 'Examples'}:\n${examples.map((example) => `  ${example}`).join('\n')}`,
    )
  for (const name of names) called.argument(`<${name}>`, '', notEmpty(name))
  for (const [name, { type, value = 'VALUE', multiple = false, required = false, help }] of Object.entries(options)) {
    const option = new commander.Option(type === 'string' ? `--${name} <${value}>` : `--${name}`, help)
    // A flag whose name begins with no- stands for itself: commander takes it for the opposite of another flag.
    option.negate = false
    if (type === 'string') option.argParser(valueOf(`--${name}`, value, multiple))
    called.addOption(option.makeOptionMandatory(required))
  }
}

const notEmpty =
  (name: string) =>
  (value: string): string => {
    if (value.trim() === '') throw new UsageError(`${name} is empty`)
    return value
  }

/** Of an option that is given twice, commander would silently take the last value. */
const valueOf =
  (flag: string, placeholder: string, multiple: boolean) =>
  (value: string, before: readonly string[] = []): readonly string[] => {
    if (value.trim() === '') throw new UsageError(`${flag} needs a value: ${flag} ${placeholder}`)
    if (before.length > 0 && !multiple) throw new UsageError(`${flag} is given twice`)
    return [...before, value]
  }

/**
 * Refuses what commander would misread: an option that stands where a value must be (it would become the value), and a
 * value for an option that takes none (it would be called an unknown option).
 */
const refuseMisread = (words: readonly string[], options: readonly commander.Option[]): void => {
  const end = words.indexOf('--')
  for (const [index, word] of (end === -1 ? words : words.slice(0, end)).entries()) {
    const [flag] = word.split('=')
    const option = options.find(({ long }) => long === flag)
    if (option === undefined) continue
    const next = words[index + 1] ?? ''
    if (!option.required && word !== flag) throw new UsageError(`${flag} takes no value`)
    if (option.required && word === flag && /^--?[a-z]|^--$/i.test(next))
      throw new UsageError(
        `${flag} needs a value, but ${next.slice(0, 40)} follows: if that is the value, write ${flag}=…`,
      )
  }
}

const callOf = (called: commander.Command, { arguments: names }: Command, terminal: Terminal): Call => {
  const values = new Map<string, unknown>(
    called.options.map((option) => [option.name(), called.getOptionValue(option.attributeName())]),
  )
  const texts = (name: string): readonly string[] => (values.get(name) as readonly string[] | undefined) ?? []
  return {
    terminal,
    arg: (name) => called.args[names.indexOf(name)] ?? '',
    texts,
    text: (name) => texts(name)[0],
    flag: (name) => values.get(name) === true,
  }
}
