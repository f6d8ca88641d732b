// One movable clock for many processes: an offset from the real time in a small file. Every `now` reads the file, so
// that a process that was paused continues with the right time, as on a real machine.
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import type { DateTime } from 'luxon'
import type { MovableClock } from '../../simulator/src/clock.ts'
import { type Clock, systemClock } from '../../src/clock.ts'

const WIDTH = 24
const written = (offsetMs: number): Buffer => {
  const one = String(offsetMs).padStart(WIDTH)
  // The offset is written twice: a reader that sees only half of a write notices, and keeps its last offset.
  return Buffer.from(one + one)
}

/** A clock that follows the file. Throws when the file does not exist. */
export const followClock = (path: string): Clock => {
  const file = openSync(path, 'r')
  const bytes = Buffer.alloc(2 * WIDTH)
  let offsetMs = 0
  const look = (): void => {
    const length = readSync(file, bytes, 0, 2 * WIDTH, 0)
    const text = bytes.toString('latin1', 0, length)
    if (length === 2 * WIDTH && text.slice(0, WIDTH) === text.slice(WIDTH)) offsetMs = Number(text.slice(0, WIDTH))
  }
  return {
    now: () => {
      look()
      return systemClock.now().plus({ milliseconds: offsetMs })
    },
  }
}

export interface SharedClock extends MovableClock {
  /**
   * The real time, in milliseconds, at which this clock showed `instant` or jumped over it. There is one such time,
   * because the clock only jumps forwards.
   */
  realAt(instant: Date): number
  /** What this clock showed at this real time; both in milliseconds. */
  shownAt(real: number): number
  /** Whether the clock jumped in this span of real time, in milliseconds. */
  jumpedWithin(from: number, to: number): boolean
  close(): void
}

/** The clock that the others follow: it writes the file before it moves itself. */
export const leadClock = (path: string): SharedClock => {
  const file = openSync(path, 'w+')
  let offsetMs = 0
  const jumps: { readonly at: number; readonly offsetMs: number }[] = [{ at: 0, offsetMs: 0 }]
  const now = (): DateTime => systemClock.now().plus({ milliseconds: offsetMs })
  const set = (instant: DateTime): void => {
    const real = Date.now()
    const next = Math.max(offsetMs, Math.round(instant.toMillis() - real))
    writeSync(file, written(next), 0, 2 * WIDTH, 0)
    offsetMs = next
    jumps.push({ at: real, offsetMs })
  }
  set(systemClock.now())
  return {
    now,
    set,
    advance: (duration) => set(now().plus(duration)),
    realAt: (instant) => {
      const shown = instant.getTime()
      const index = Math.max(
        0,
        jumps.findLastIndex((one) => one.at + one.offsetMs <= shown),
      )
      return Math.min(shown - (jumps[index]?.offsetMs ?? 0), jumps[index + 1]?.at ?? Number.POSITIVE_INFINITY)
    },
    shownAt: (real) => real + (jumps.findLast(({ at }) => at <= real)?.offsetMs ?? 0),
    jumpedWithin: (from, to) => jumps.some(({ at }) => at >= from && at <= to),
    close: () => closeSync(file),
  }
}
