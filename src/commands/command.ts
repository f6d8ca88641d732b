// What a command declares: its help, arguments, options and work; and how its work reads the values of options.
// program.ts turns the declaration into a command of commander.
import { nearest } from '../config/suggest.ts'
import type { Terminal } from './terminal.ts'

export interface Option {
  readonly type: 'string' | 'boolean'
  /** The placeholder for the option's value in the help: `TEXT`. */
  readonly value?: string
  readonly multiple?: boolean
  /** The command cannot be called without this option. */
  readonly required?: boolean
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
  /** What follows the command's name: `ID --reason TEXT [--resend]` */
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
  const meant = nearest(text, words)
  const hint = meant === undefined ? '' : `: did you mean ${meant}?`
  throw new UsageError(`--${option} must be one of ${words.join(', ')}${hint}`)
}
