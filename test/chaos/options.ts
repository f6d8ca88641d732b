// What a run is told on its command line, and what follows from it.
import { parseArgs } from 'node:util'

export interface Options {
  readonly consents: number
  readonly minutes: number
  readonly seed: number
  /** Redis is emptied this often, in milliseconds, beside everything else. */
  readonly flushEveryMs: number | undefined
  /** No faults at all: what happens then must be what no fault explains. */
  readonly calm: boolean
  /** Only faults of these names; all unless said. */
  readonly only: readonly string[]
  readonly keep: boolean
}

export const USAGE =
  "npm run chaos -- [--consents 500] [--minutes 3] [--seed N] [--flush-every 60s] [--calm] [--only 'kill a " +
  "worker,FLUSHALL'] [--keep]"

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

/**
 * Throws a TypeError that says what is wrong. Without a seed, one is drawn and shown. `faults`: the names that there
 * are.
 */
export const readOptions = (args: readonly string[], faults: readonly string[]): Options => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      consents: { type: 'string', default: '500' },
      minutes: { type: 'string', default: '3' },
      seed: { type: 'string' },
      'flush-every': { type: 'string' },
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
    calm: values.calm,
    only: someOf(values.only, faults),
    keep: values.keep,
  }
}
