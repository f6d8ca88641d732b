// Durations as people write them in the policy: a whole number and a unit, `'10m'`, `'90d'`.
import { Duration } from 'luxon'

const units = { ms: 'milliseconds', s: 'seconds', m: 'minutes', h: 'hours', d: 'days', w: 'weeks' } as const
type Unit = keyof typeof units

/** A whole number and a unit. */
export type DurationText = `${number}${Unit}`

const PATTERN = /^(\d{1,9})(ms|s|m|h|d|w)$/
const HOW = "write a whole number and a unit (ms, s, m, h, d, w), such as '10m' or '90d'"

/**
 * Parses `'10m'` and the like: milliseconds `ms`, seconds `s`, minutes `m`, hours `h`, days `d`, weeks `w` (there are
 * no months). The Duration keeps its unit, so days stay calendar days when added. For any other value the result says
 * what is wrong.
 */
export const parseDuration = (value: unknown): Duration | { readonly problem: string } => {
  if (typeof value === 'number') return { problem: `${value} has no unit: ${HOW}` }
  if (typeof value !== 'string') return { problem: `must be a duration: ${HOW}` }
  const match = PATTERN.exec(value.trim())
  if (match === null) return { problem: `'${value.slice(0, 40)}' is not a duration: ${HOW}` }
  return Duration.fromObject({ [units[match[2] as Unit]]: Number(match[1]) })
}

/** Parses a duration that must lie between two others, both included. */
export const parseDurationWithin = (
  value: unknown,
  [least, most]: readonly [string, string],
): Duration | { readonly problem: string } => {
  const duration = parseDuration(value)
  if ('problem' in duration) return duration
  const outside = duration.toMillis() < millisOf(least) || duration.toMillis() > millisOf(most)
  return outside ? { problem: `'${String(value)}' is out of range: at least '${least}', at most '${most}'` } : duration
}

const millisOf = (text: string): number => {
  const duration = parseDuration(text)
  if ('problem' in duration) throw new RangeError(duration.problem)
  return duration.toMillis()
}
