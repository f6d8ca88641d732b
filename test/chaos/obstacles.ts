// When the system could not act, or something was lost: the nemesis's log as spans of real time, selected by what the
// faults stood in the way of.
import type { Hindrance, Struck } from './struck.ts'

/** Real time, in milliseconds. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** The faults that really happened and touch this span; the one that began last comes first. */
export const metWithin = (log: readonly Struck[], kinds: readonly Hindrance[], { from, to }: Span): Struck[] =>
  log
    .filter(
      (one) =>
        one.happened !== 0 && one.from <= to && one.to >= from && one.hinders.some((kind) => kinds.includes(kind)),
    )
    .toSorted((a, b) => b.from - a.from)

/** `tailMs`: how long after its end a fault of this kind still has an effect, e.g. until a lease is over. */
export const spansOf = (log: readonly Struck[], kinds: readonly Hindrance[], tailMs = 0): Span[] =>
  log
    .filter((one) => one.happened !== 0 && one.hinders.some((kind) => kinds.includes(kind)))
    .map(({ from, to }) => ({ from, to: to + tailMs }))

/** The parts of `whole` in which nothing stood in the way. */
export const freeParts = (whole: Span, obstacles: readonly Span[]): Span[] => {
  const parts: Span[] = []
  let at = whole.from
  for (const { from, to } of obstacles.toSorted((a, b) => a.from - b.from)) {
    if (to <= at) continue
    if (from >= whole.to) break
    if (from > at) parts.push({ from: at, to: from })
    at = Math.max(at, to)
  }
  if (at < whole.to) parts.push({ from: at, to: whole.to })
  return parts
}

const lengthOf = ({ from, to }: Span): number => to - from
export const freeTime = (whole: Span, obstacles: readonly Span[]): number =>
  freeParts(whole, obstacles).reduce((sum, part) => sum + lengthOf(part), 0)
export const maxFree = (whole: Span, obstacles: readonly Span[]): number =>
  Math.max(0, ...freeParts(whole, obstacles).map(lengthOf))
