// Defines a command and reads its arguments. Parsing is strict: for an unknown name, the error suggests the nearest
// known name.
import { parseArgs } from 'node:util'
import { nearest } from '../config/suggest.ts'
import type { Terminal } from './terminal.ts'

export interface Option {
  readonly type: 'string' | 'boolean'
  /** The placeholder for the option's value in the help: `TEXT`. */
  readonly value?: string
  readonly multiple?: boolean
  readonly help: string
}

export interface Call {
  readonly terminal: Terminal
  /** The positional argument with this name in `arguments`; all of them are present. */
  arg(name: string): string
  text(option: string): string | undefined
  texts(option: string): readonly string[]
  flag(option: string): boolean
}

export interface Command {
  /** `renew ID --reason TEXT [--resend]` */
  readonly usage: string
  readonly about: string
  readonly arguments: readonly string[]
  readonly options: Readonly<Record<string, Option>>
  readonly examples: readonly string[]
  /** Resolves to the exit code: 0 done, 1 failed. */
  run(call: Call): Promise<number>
}

/** The command was called incorrectly: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The command failed: exit code 1. `message` is the complete explanation for the operator. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
}

export const json: Option = { type: 'boolean', help: 'print JSON on standard output' }
export const reason: Option = { type: 'string', value: 'TEXT', help: "why, for the consent's events" }
const help: Option = { type: 'boolean', help: 'show this help' }

export const withHelp = (options: Command['options']): Command['options'] => ({ ...options, help })

const didYouMean = (name: string, known: readonly string[], dashes: string): string => {
  const meant = nearest(name, known)
  return meant === undefined ? '' : `: did you mean ${dashes}${meant}?`
}

export const unknownCommand = (name: string, known: readonly string[]): UsageError =>
  new UsageError(`unknown command ${JSON.stringify(name.slice(0, 60))}${didYouMean(name, known, '')}`)

type Values = Record<string, (string | boolean)[]>

/** Reads the arguments of one command. Throws UsageError on an unknown option or a wrong number of arguments. */
export const readCall = (
  command: Command,
  argv: readonly string[],
  terminal: Terminal,
): Call & { readonly wantsHelp: boolean } => {
  const options = withHelp(command.options)
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(
      Object.entries(options).map(([name, { type }]) => [name, { type, ...(name === 'help' ? { short: 'h' } : {}) }]),
    ),
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const values: Values = {}
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind === 'option') readOption(token, options, values)
  }
  const wantsHelp = values['help'] !== undefined
  if (!wantsHelp) checkPositionals(command, positionals)
  const texts = (name: string): string[] => (values[name] ?? []).map(String)
  return {
    terminal,
    wantsHelp,
    arg: (name) => positionals[command.arguments.indexOf(name)] ?? '',
    text: (name) => texts(name)[0],
    texts,
    flag: (name) => values[name] !== undefined,
  }
}

interface OptionToken {
  readonly name: string
  readonly rawName: string
  readonly value?: string | undefined
  readonly inlineValue?: boolean | undefined
}

const readOption = (token: OptionToken, options: Command['options'], values: Values): void => {
  const { name, rawName, value, inlineValue } = token
  const option = Object.hasOwn(options, name) ? options[name] : undefined
  if (option === undefined)
    throw new UsageError(`unknown option ${rawName}${didYouMean(name, Object.keys(options), '--')}`)
  if (option.type === 'boolean' && value !== undefined) throw new UsageError(`${rawName} takes no value`)
  if (option.type === 'string' && (value === undefined || value.trim() === ''))
    throw new UsageError(`${rawName} needs a value: ${rawName} ${option.value ?? 'VALUE'}`)
  if (option.type === 'string' && inlineValue === false && /^--?[a-z]|^--$/i.test(value ?? '')) {
    throw new UsageError(
      `${rawName} needs a value, but ${value?.slice(0, 40)} follows: if that is the value, write ${rawName}=…`,
    )
  }
  if (values[name] !== undefined && option.multiple !== true && option.type === 'string')
    throw new UsageError(`${rawName} is given twice`)
  values[name] = [...(values[name] ?? []), value ?? true]
}

const checkPositionals = (command: Command, positionals: readonly string[]): void => {
  const missing = command.arguments[positionals.length]
  if (missing !== undefined) throw new UsageError(`${missing} is missing: reconsent ${command.usage}`)
  if (positionals.length > command.arguments.length) {
    throw new UsageError(
      `${JSON.stringify(positionals[command.arguments.length]?.slice(0, 60))} is one argument too many: ` +
        `reconsent ${command.usage}`,
    )
  }
}

/** Reads an option as a number. Throws UsageError when it is not a whole number within the bounds. */
export const wholeNumber = (
  call: Call,
  option: string,
  [least, most]: readonly [number, number],
): number | undefined => {
  const text = call.text(option)
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d{1,12}$/.test(text) && value >= least && value <= most) return value
  throw new UsageError(`--${option} must be a whole number from ${least} to ${most}`)
}

/** Reads an option that must be one of `words`. Throws UsageError that suggests the nearest one. */
export const oneOf = <Word extends string>(call: Call, option: string, words: readonly Word[]): Word | undefined => {
  const text = call.text(option)
  if (text === undefined) return undefined
  const found = words.find((word) => word === text)
  if (found !== undefined) return found
  throw new UsageError(`--${option} must be one of ${words.join(', ')}${didYouMean(text, words, '')}`)
}
