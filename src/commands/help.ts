// Builds the help texts from the commands' own descriptions.
import { catalogue } from './catalogue.ts'
import { type Command, withHelp } from './command.ts'
import { table } from './text.ts'

export const overview = (): string => `Reconsent keeps open-banking consents alive.

Usage: reconsent COMMAND [ARGUMENTS] [OPTIONS]

${table(Object.entries(catalogue).map(([name, { summary }]) => [`  ${name}`, summary]))}

ID is Reconsent's own id or the credentials_id. Every command explains itself: reconsent COMMAND --help
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

Examples:
  reconsent migrate && reconsent start
  reconsent import consents.ndjson
  reconsent explain 7d0e4f8a-4c1b-4f0e-9b1e-0d5a2c6f1e33`

export const helpOf = ({ usage, about, options, examples }: Command): string => {
  const rows = Object.entries(withHelp(options)).map(([name, option]) => {
    const value = option.type === 'string' ? ` ${option.value ?? 'VALUE'}` : ''
    return [`  ${name === 'help' ? '-h, ' : ''}--${name}${value}`, option.help]
  })
  return `Usage: reconsent ${usage}

${about}

Options:
${table(rows)}

${examples.length === 1 ? 'Example' : 'Examples'}:
${examples.map((example) => `  ${example}`).join('\n')}`
}
