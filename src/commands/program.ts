// The program as commander's commands. A command's module is loaded, and its options are defined, only when the command
// is called.
import { Command, type CommandUnknownOpts } from '@commander-js/extra-typings'
import manifest from '../../package.json' with { type: 'json' }
import type { Catalogue } from './catalogue.ts'
import type { Frame } from './command.ts'
import { UsageError } from './usage-error.ts'

const AFTER_HELP = `
ID is Reconsent's own id or the credentials_id. Every command explains itself: reconsent COMMAND --help
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

Examples:
  reconsent migrate && reconsent start
  reconsent import consents.ndjson
  reconsent explain 7d0e4f8a-4c1b-4f0e-9b1e-0d5a2c6f1e33`

/** Parsing rejects with CommanderError on wrong usage, and also after a help or the version was shown. */
export const makeProgram = (argv: readonly string[], catalogue: Catalogue, frame: Frame): Command => {
  const { terminal } = frame
  const program = new Command('reconsent')
    .description('Reconsent keeps open-banking consents alive.')
    .usage('COMMAND [ARGUMENTS] [OPTIONS]')
    .version(manifest.version, '-v, --version', 'show the version')
    .addHelpText('after', AFTER_HELP)
    // commander would answer `nosuch --help` and `help COMMAND` before the command is known or defined: run.ts turns
    // both into `COMMAND --help`.
    .helpOption(false)
    .helpCommand(false)
    .enablePositionalOptions()
    // Else `nosuch --version` would show the version, and be exit code 0.
    .passThroughOptions()
    .configureHelp({ helpWidth: 120 })
    .configureOutput({
      writeOut: (text) => void terminal.write(text),
      writeErr: (text) => terminal.note(text.replace(/\n$/, '')),
      outputError: () => undefined,
    })
    .exitOverride()
    .hook('preSubcommand', async (_program, called) => {
      const { define } = (await catalogue[called.name()]?.load()) ?? {}
      define?.(called as Command, frame)
      called.helpOption('-h, --help', 'show this help').usage(usageOf(called))
      refuseMisread(argv.slice(1), called)
    })
  for (const [name, { summary }] of Object.entries(catalogue)) program.command(name).summary(summary)
  return program
}

const usageOf = ({ registeredArguments, options }: CommandUnknownOpts): string =>
  [
    ...registeredArguments.map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`)),
    ...options.map(({ flags, mandatory }) => (mandatory ? flags : `[${flags}]`)),
  ].join(' ')

/**
 * Refuses what commander would misread: an option that stands where a value must be (it would become the value), and a
 * value for an option that takes none (it would be called an unknown option).
 */
const refuseMisread = (words: readonly string[], { options }: CommandUnknownOpts): void => {
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
