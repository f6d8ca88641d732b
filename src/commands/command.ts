// What commands have in common: how one is defined, options that many have, and how the values of options are read.
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { DateTime } from 'luxon'
import { systemClock } from '../clock.ts'
import { parseDuration } from '../config/durations.ts'
import { nearest } from '../config/suggest.ts'
import type { Terminal } from './terminal.ts'

/** What a command is given by the program. */
export interface Frame {
  readonly terminal: Terminal
  /** Turns work that resolves to the exit code (0 done, 1 failed) into the action of a command. */
  exits<Given extends unknown[]>(work: (...given: Given) => Promise<number>): (...given: Given) => Promise<void>
}

/** Gives a command its help, arguments, options and action: the compiler infers what the action receives. */
export type Define = (command: Command, frame: Frame) => unknown

/** The command failed: exit code 1. `message` is the complete explanation for the operator. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
}

const notEmpty = (value: string): string => {
  if (value.trim() === '') throw new InvalidArgumentError('It is empty.')
  return value
}

/**
 * Reads the value of an option that may be given once: commander would silently take the last one. `read` throws
 * InvalidArgumentError; commander puts the option and the value in front.
 */
export const once =
  <Value>(read: (text: string) => Value) =>
  (text: string, before?: Value): Value => {
    if (before !== undefined) throw new InvalidArgumentError('The option is given twice.')
    return read(notEmpty(text))
  }

/** Reads an option that may be given again. */
export const each =
  <Value>(read: (text: string) => Value) =>
  (text: string, before: readonly Value[] = []): readonly Value[] => [...before, read(notEmpty(text))]

export const text = once((value) => value)

export const wholeNumber = (least: number, most: number) =>
  once((value) => {
    const number = Number(value)
    if (/^\d{1,12}$/.test(value) && number >= least && number <= most) return number
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  })

/** Reads a date (`2026-12-31`, in UTC), or a span of time before or after now (`14d`). */
export const dateOrSpan = (spans: 'before now' | 'from now') =>
  once((value): DateTime => {
    const span = parseDuration(value)
    const now = systemClock.now()
    if (!('problem' in span)) return spans === 'from now' ? now.plus(span) : now.minus(span)
    try {
      return DateTime.fromISO(value, { zone: 'utc' })
    } catch {
      throw new InvalidArgumentError(`It must be a date such as 2026-12-31, or a time ${spans} such as 14d.`)
    }
  })

/** A sentence that names the known word that was most likely meant; empty when none is close. */
export const didYouMean = (value: string, known: readonly string[]): string => {
  const meant = nearest(value, known)
  return meant === undefined ? '' : ` Did you mean ${meant}?`
}

/** Like commander's own choices, and suggests the nearest. */
export const oneOf = <const Word extends string>(words: readonly Word[]) =>
  once((value) => {
    const found = words.find((word) => word === value)
    if (found !== undefined) return found
    throw new InvalidArgumentError(`It must be one of ${words.join(', ')}.${didYouMean(value, words)}`)
  })

export const json = new Option('--json', 'print JSON on standard output')
export const reason = new Option('--reason <TEXT>', "why, for the consent's events").argParser(text)
export const consentId = ['<ID>', "Reconsent's own id or the credentials_id", text] as const

/** Stands below the options in the help. */
export const examples = (...lines: readonly string[]): string =>
  `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}`).join('\n')}`
