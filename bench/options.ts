// The options of `npm run bench`, and what the other measurements need to read theirs. Whatever cannot be understood
// ends the program with exit code 2.
import { parseArgs, type ParseArgsConfig } from 'node:util'

export interface Options {
  readonly consents: number
  readonly warmUp: number
  readonly restSeconds: number
  readonly rounds: number
  readonly latencyMs: number
  readonly sides: readonly string[]
  /** Whether to show the statements of each side. */
  readonly statements: boolean
  readonly json: string | undefined
  readonly svg: string | undefined
}

export const USAGE = `npm run bench -- [options]
  --consents N    consents that are renewed in each turn of each side (500)
  --warm-up N     consents that are renewed before the clock starts (100)
  --rest S        seconds between warm-up and clock (11: a connection of PostgreSQL reports what it has counted after
                  ten idle seconds; after a shorter rest, commits of the warm-up are counted too)
  --rounds N      turns of each side (5)
  --latency MS    how long each call of the provider's API takes (0)
  --sides A,B     only these sides, in this order
  --statements    shows what each side asks of PostgreSQL, and how often
  --json FILE     writes the figures of every turn
  --svg FILE      writes a plot`

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Throws UsageError. */
export const wholeNumber = (name: string, text: string, least: number): number => {
  if (/^\d{1,8}$/.test(text) && Number(text) >= least) return Number(text)
  throw new UsageError(`--${name} must be a whole number from ${least} on`)
}

/** As parseArgs; throws UsageError. */
export const readWords = <const Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> => {
  try {
    return parseArgs(config)
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** Throws UsageError. `known` are the sides. */
export const readOptions = (
  args: readonly string[],
  known: readonly { readonly name: string; readonly isUsual: boolean }[],
): Options => {
  const names = known.map(({ name }) => name)
  const usual = known.filter(({ isUsual }) => isUsual).map(({ name }) => name)
  const { values } = readWords({
    args: [...args],
    options: {
      consents: { type: 'string', default: '500' },
      'warm-up': { type: 'string', default: '100' },
      rest: { type: 'string', default: '11' },
      rounds: { type: 'string', default: '5' },
      latency: { type: 'string', default: '0' },
      sides: { type: 'string', default: usual.join(',') },
      statements: { type: 'boolean', default: false },
      json: { type: 'string' },
      svg: { type: 'string' },
    },
  })
  const sides = values.sides.split(',').map((name) => name.trim())
  for (const name of sides)
    if (!names.includes(name)) throw new UsageError(`there is no side ${name}: known are ${names.join(', ')}`)
  return {
    consents: wholeNumber('consents', values.consents, 1),
    warmUp: wholeNumber('warm-up', values['warm-up'], 1),
    restSeconds: wholeNumber('rest', values.rest, 0),
    rounds: wholeNumber('rounds', values.rounds, 1),
    latencyMs: wholeNumber('latency', values.latency, 0),
    sides: [...new Set(sides)],
    statements: values.statements,
    json: values.json,
    svg: values.svg,
  }
}
