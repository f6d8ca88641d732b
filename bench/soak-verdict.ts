// Whether something keeps growing in a long run: its level in the last third beside that in the first, after a warm-up.
import { quantileOf } from './statistics.ts'

/** What was seen, and in which second of the run. */
export interface Seen {
  readonly second: number
  readonly value: number
}

export interface Level {
  readonly name: string
  readonly unit: string
  readonly seen: readonly Seen[]
  /** Which of the values is the level of a third: 0.5 is the median. */
  readonly share: number
  /** The last third may be so many times the first; undefined for what is shown and not judged. */
  readonly limit: number | undefined
}

export interface Judged {
  readonly grows: boolean
  readonly line: string
}

/** The first part of a run is not judged: until then a process compiles its code, and its caches fill. */
const WARM_UP = { share: 1 / 6, mostSeconds: 300 }

export const warmUpSeconds = (seconds: number): number => Math.min(seconds * WARM_UP.share, WARM_UP.mostSeconds)

/** A third in which nothing was seen says nothing: then nothing grows. */
export const judgeLevel = ({ name, unit, seen, share, limit }: Level, seconds: number): Judged => {
  const from = warmUpSeconds(seconds)
  const third = (seconds - from) / 3
  const levelOf = (start: number): number => {
    const values = seen.filter(({ second }) => second >= start && second < start + third).map(({ value }) => value)
    return quantileOf(values, share)
  }
  const [first, last] = [levelOf(from), levelOf(from + 2 * third)]
  if (Number.isNaN(first + last)) return { grows: false, line: `${name}: too little was seen` }
  const times = last / first
  const grows = limit !== undefined && times > limit
  const shown = limit === undefined ? 'not judged' : `at most ${limit}: ${grows ? 'GROWS' : 'ok'}`
  const [before, after] = [first, last].map((level) => `${level.toFixed(0)} ${unit}`)
  return { grows, line: `${name}: ${before}, then ${after}, ${times.toFixed(2)} times (${shown})` }
}
