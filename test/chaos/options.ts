// The options of a run: reads its command line.
import { parseArgs } from 'node:util'

export interface Options {
  readonly consents: number
  readonly minutes: number
  readonly seed: number
  /** How often Redis is emptied, in milliseconds, in addition to all faults. */
  readonly flushEveryMs: number | undefined
  /** How many processes use up the processors beside the run. */
  readonly busy: number
  /** A run without faults: no fault can explain what happens in it. */
  readonly calm: boolean
  /** Only the faults with these names; by default all. */
  readonly only: readonly string[]
  readonly keep: boolean
}

export const USAGE =
  'npm run chaos -- [--consents 500] [--minutes 3] [--seed N] [--flush-every 60s] [--busy N] [--calm] [--only ' +
  "'kill a worker,FLUSHALL'] [--keep] [--help]"

const whole = (name: string, text: string, least: number, most: number): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw new TypeError(`--${name} must be a whole number from ${least} to ${most}`)
  return value
}

const periodOf = (text: string): number => {
  const [, count, unit] = /^(\d{1,5})(s|m)$/.exec(text) ?? []
  if (count === undefined) throw new TypeError("--flush-every must be a duration such as '60s' or '1m'")
  return Number(count) * (unit === 'm' ? 60_000 : 1000)
}

const someOf = (list: string | undefined, known: readonly string[]): string[] => {
  const wanted = list?.split(',') ?? []
  const unknown = wanted.filter((name) => !known.includes(name))
  if (unknown.length > 0)
    throw new TypeError(`--only: there is no fault "${unknown.join('", "')}"; there are: ${known.join(', ')}`)
  return wanted
}

export const wantsHelp = (args: readonly string[]): boolean => args.includes('--help') || args.includes('-h')

/**
 * Throws a TypeError that says what is wrong. Without a seed, a random one is drawn and shown. `faults`: the names of
 * all faults.
 */
export const readOptions = (args: readonly string[], faults: readonly string[]): Options => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      consents: { type: 'string', default: '500' },
      minutes: { type: 'string', default: '3' },
      seed: { type: 'string' },
      'flush-every': { type: 'string' },
      busy: { type: 'string', default: '0' },
      calm: { type: 'boolean', default: false },
      only: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  })
  const minutes = Number(values.minutes)
  if (!(minutes >= 1 && minutes <= 600)) throw new TypeError('--minutes must be a number from 1 to 600')
  return {
    consents: whole('consents', values.consents, 20, 1_000_000),
    minutes,
    seed:
      values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : whole('seed', values.seed, 0, 4_294_967_295),
    flushEveryMs: values['flush-every'] === undefined ? undefined : periodOf(values['flush-every']),
    busy: whole('busy', values.busy, 0, 64),
    calm: values.calm,
    only: someOf(values.only, faults),
    keep: values.keep,
  }
}
