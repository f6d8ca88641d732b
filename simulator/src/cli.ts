// `truelayer-simulator`: the command as a program of its own. Exit codes: 0 done, 1 failed, 2 wrong usage.
import { createRequire } from 'node:module'
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { BadInput } from './bad-input.ts'
import { columns } from './columns.ts'
import { about, examples, type Given, type Option, options, type Output, run, usage } from './command.ts'

const PROGRAM = 'truelayer-simulator'

const all: Readonly<Record<string, Option>> = {
  ...options,
  version: { type: 'boolean', help: 'show its version' },
  help: { type: 'boolean', help: 'show this help' },
}

const help = (): string => {
  const rows = Object.entries(all).map(([name, option]) => {
    const value = option.type === 'string' ? ` ${option.value ?? 'VALUE'}` : ''
    return [`  ${name === 'help' ? '-h, ' : ''}--${name}${value}`, option.help]
  })
  return `Usage: ${PROGRAM} ${usage}

${about}

Options:
${columns(rows)}

Examples:
${examples.map((example) => `  ${PROGRAM} ${example}`).join('\n')}`
}

const output: Output = {
  line: async (text) => void process.stdout.write(`${text}\n`),
  json: async (value) => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`),
}

const read = (args: readonly string[]): Given => {
  const known = Object.entries(all).map(([name, { type, multiple = false }]) => [
    name,
    { type, multiple, ...(name === 'help' ? { short: 'h' } : {}) },
  ])
  const { values } = parseArgs({ args: [...args], options: Object.fromEntries(known) as ParseArgsOptionsConfig })
  const texts = (option: string): string[] => [values[option] ?? []].flat().map(String)
  return { texts, text: (option) => texts(option)[0], flag: (option) => values[option] === true }
}

const version = (): string => (createRequire(import.meta.url)('../package.json') as { version: string }).version

const main = async (): Promise<number> => {
  const given = read(process.argv.slice(2))
  if (given.flag('help') || given.flag('version')) {
    await output.line(given.flag('help') ? help() : version())
    return 0
  }
  return run(given, output)
}

const isWrongUsage = (error: unknown): boolean =>
  error instanceof BadInput || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS_')

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  if (isWrongUsage(error)) process.stderr.write(`See: ${PROGRAM} --help\n`)
  process.exitCode = isWrongUsage(error) ? 2 : 1
}
