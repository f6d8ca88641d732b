// Checks and parses the reminder ladder and the quiet hours as written in the policy. What they mean is decided in the
// domain.
import type { QuietHours, RungOffset } from '../domain/policy.ts'

/** A whole number of days from the expiry of a consent, with its sign. */
export type OffsetText = `-${number}d` | '0d' | `+${number}d`

type Parsed<T> =
  | { readonly value: T }
  | { readonly problems: readonly { readonly at?: number; readonly what: string }[] }

const MAX_RUNGS = 50
const HOW = "write the days from expiry with their sign, such as '-14d', '0d' or '+7d'"

const parseRung = (entry: unknown): RungOffset | string => {
  if (typeof entry !== 'string') return `must be text: ${HOW}`
  const match = /^([+-]?)(\d{1,4})d$/.exec(entry)
  if (match === null) return `'${entry.slice(0, 40)}' is not an offset: ${HOW}`
  const [, sign = '', digits = ''] = match
  const days = Number(digits)
  const name = days === 0 ? '0d' : `${sign}${days}d`
  if (days !== 0 && sign === '') return `'${entry}' has no sign: '-${days}d' is before expiry, '+${days}d' after it`
  // Each rung has one spelling only, because its name identifies the rung in the ledger.
  if (entry !== name) return `write '${entry}' as '${name}'`
  return { name, days: sign === '-' ? -days : days }
}

/** Accepts offsets in any order and returns them sorted. */
export const parseLadder = (entries: readonly unknown[]): Parsed<readonly RungOffset[]> => {
  if (entries.length === 0)
    return { problems: [{ what: 'is empty, so nobody would ever be asked: give at least one offset' }] }
  if (entries.length > MAX_RUNGS) return { problems: [{ what: `has ${entries.length} offsets: at most ${MAX_RUNGS}` }] }
  const problems: { at: number; what: string }[] = []
  const rungs: RungOffset[] = []
  for (const [at, entry] of entries.entries()) {
    const rung = parseRung(entry)
    if (typeof rung === 'string') problems.push({ at, what: rung })
    else if (rungs.some(({ days }) => days === rung.days)) problems.push({ at, what: `'${rung.name}' is there twice` })
    else rungs.push(rung)
  }
  return problems.length > 0 ? { problems } : { value: rungs.toSorted((a, b) => a.days - b.days) }
}

/**
 * Rungs that no consent can reach, because they fall before the consent was given or after its grace window. The two
 * numbers of days are the longest that any consent has.
 */
export const unreachableRungs = (ladder: readonly RungOffset[], validityDays: number, graceDays: number): string[] => [
  ...ladder
    .filter(({ days }) => days <= -validityDays)
    .map(({ name }) => `'${name}' is not after the consent was given: consents are valid for ${validityDays} days`),
  ...ladder
    .filter(({ days }) => days > 0 && days >= graceDays)
    .map(
      ({ name }) =>
        `'${name}' is not before the end of grace: consents can be renewed for ${graceDays} days after expiry`,
    ),
]

const TIME = /^([01]\d|2[0-3]):([0-5]\d)$/
const DAY = 24 * 60
const MIN_OPEN = 60

/** Minutes from midnight to a wall time `HH:mm`; undefined when the text is not a wall time. */
const minutesOf = (time: string): number | undefined => {
  const match = TIME.exec(time)
  return match === null ? undefined : Number(match[1]) * 60 + Number(match[2])
}

export const isWallTime = (time: string): boolean => minutesOf(time) !== undefined

/** What is wrong with quiet hours whose two times are well-formed in themselves. */
export const quietHoursProblem = ({ from, to }: QuietHours): string | undefined => {
  const quiet = ((minutesOf(to) ?? 0) - (minutesOf(from) ?? 0) + DAY) % DAY
  if (quiet === 0) return 'from and to are the same time, which could mean always or never: write false for never'
  return DAY - quiet < MIN_OPEN
    ? `leaves ${DAY - quiet} minutes a day to send in: leave at least ${MIN_OPEN}`
    : undefined
}
