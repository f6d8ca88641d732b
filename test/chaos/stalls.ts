// Stalls: the times in which a process of the run stood still although nobody had stopped it, as on a machine with too
// much to do. Each process measures its own and logs them; the checks count them as faults.
import { join } from 'node:path'
import { linesOf, logsIn } from './logs.ts'
import { freeParts } from './obstacles.ts'
import type { Pause, Struck } from './struck.ts'
import { writerName } from './writer-name.ts'

/** Real time, in milliseconds. */
export interface Measured {
  readonly from: number
  readonly to: number
}

export interface Stall extends Measured {
  /** The process's name in the database: its seat and process id; `OWN` for the run's own process. */
  readonly who: string
}

/** The run's own process: the provider, the mail server, the users and all proxies stand still with it. */
export const OWN = 'the run itself'
/** The name of all stalls in the log of faults. */
export const STALLED = 'a process stalled'
/** Calls take far less than this, so that a shorter stall costs no answer. */
export const STALL_MS = 500
const LOOKS_EVERY_MS = 100

/**
 * Calls `note` after each stall of this process: a timer that comes late has stood still with everything else. Returns
 * a function that ends the watch. The watch does not keep the process alive.
 */
export const watchStalls = (note: (stall: Measured) => void): (() => void) => {
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    const passed = now - last
    last = now
    const to = Date.now()
    if (passed - LOOKS_EVERY_MS >= STALL_MS) note({ from: Math.round(to - passed), to })
  }, LOOKS_EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** The message of the line in the log, and its fields. */
export const STALL_MESSAGE = 'this process stood still'
export const fieldsOf = ({ from, to }: Measured): { readonly stalled_from: number; readonly stalled_to: number } => ({
  stalled_from: from,
  stalled_to: to,
})

/** Undefined where the line reports no stall. `seat`: the seat that wrote the log. */
export const stallIn = (seat: string, line: string): Stall | undefined => {
  if (!line.includes(STALL_MESSAGE)) return undefined
  try {
    const {
      pid,
      stalled_from: from,
      stalled_to: to,
    } = JSON.parse(line) as ReturnType<typeof fieldsOf> & { pid: number }
    return { who: writerName(seat, pid), from, to }
  } catch {
    // A process that was killed may leave half a line.
    return undefined
  }
}

export const readStalls = async (logFolder: string): Promise<Stall[]> => {
  const stalls: Stall[] = []
  for (const name of await logsIn(logFolder)) {
    for await (const line of linesOf(join(logFolder, name))) {
      const stall = stallIn(name.replace(/\.log$/, ''), line)
      if (stall !== undefined) stalls.push(stall)
    }
  }
  return stalls
}

/** Leaves out the time in which the nemesis itself had stopped the process: that fault is in its log already. */
export const asFaults = (stalls: readonly Stall[], pauses: readonly Pause[]): Struck[] =>
  stalls.flatMap(({ who, from, to }) => {
    const stopped = pauses.filter(({ seat, pid }) => writerName(seat, pid) === who)
    return freeParts({ from, to }, stopped)
      .filter((part) => part.to - part.from >= STALL_MS)
      .map((part): Struck => ({
        ...part,
        name: STALLED,
        hinders: ['one-process'],
        each: 'worker',
        who,
        happened: 1,
        problem: undefined,
      }))
  })
