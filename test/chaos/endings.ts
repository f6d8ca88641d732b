// Judges how the processes that got a SIGTERM ended: each must end in time by itself, whatever hangs, and without an
// error. Pure.
import type { Checked, Violation } from './checked.ts'
import { ENDED, LET_GO, STOP_FAILED } from './exit-codes.ts'
import { metWithin } from './obstacles.ts'
import { OWN } from './stalls.ts'
import type { Hindrance, Struck } from './struck.ts'

/** One process that got a SIGTERM. Real time, in milliseconds. */
export interface Ending {
  readonly seat: string
  readonly toldAt: number
  readonly goneAt: number
  /** The process had reported that it was ready; before that report it may have no handler for the signal yet. */
  readonly wasReady: boolean
  /** The exit code, or the signal that ended the process. */
  readonly how: number | NodeJS.Signals
  /** The process did not end by itself and got a SIGKILL. */
  readonly wasKilled: boolean
}

/** The kinds of fault on which the stop of a process may hang. */
const HANGS_ON: readonly Hindrance[] = [
  'database',
  'database-late',
  'queue',
  'provider-refuses',
  'provider-breaks',
  'provider-fails',
  'mail',
]
/** A stop hangs on its own process, and on the run itself, which holds the servers and the proxies. */
const hasStalled = (seat: string, { who }: Struck): boolean => who === OWN || who?.startsWith(`${seat}:`) === true

/** How long after such a fault a connection that it ended may still be missing. */
const MISSED_MS = 5_000
/** A busy machine makes a stop late: only a stop that takes more than this many times its limit is a violation. */
const LATE = 2

const codes: Readonly<Record<number, string>> = {
  1: 'exit code 1: an error that nobody caught',
  [STOP_FAILED]: `exit code ${STOP_FAILED}: its stop failed`,
}
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** `withinMs`: how long a stop may take according to the processes' own configuration. */
export const judgeEndings = (endings: readonly Ending[], log: readonly Struck[], withinMs: number): Checked => {
  const violations: Violation[] = []
  const excused: string[] = []
  let unready = 0
  for (const { seat, toldAt, goneAt, wasReady, how, wasKilled } of endings) {
    const took = goneAt - toldAt
    const say = (what: string): void =>
      void violations.push({
        invariant: 0,
        record: seat,
        what: `told to stop at ${new Date(toldAt).toISOString()}: ${what}`,
      })
    // No fault excuses a process that had to be killed: a stop abandons whatever hangs.
    if (wasKilled)
      say(`still there after ${seconds(took)}, and killed; a stop takes ${seconds(withinMs)} at most, whatever hangs`)
    else if (!wasReady && how === 'SIGTERM') unready += 1
    else if (how !== ENDED && how !== LET_GO)
      say(`ended with ${typeof how === 'number' ? (codes[how] ?? `exit code ${how}`) : how}`)
    else if (wasReady && took > LATE * withinMs)
      say(`gone only after ${seconds(took)}; a stop takes ${seconds(withinMs)} at most, whatever hangs`)
    else if (how === LET_GO) {
      const met = [
        ...metWithin(log, HANGS_ON, { from: toldAt - MISSED_MS, to: goneAt }),
        ...metWithin(log, ['one-process'], { from: toldAt, to: goneAt }).filter((one) => hasStalled(seat, one)),
      ]
      if (met.length === 0)
        say(`let something go after ${seconds(took)}, although nothing failed that it could hang on`)
      else
        excused.push(
          met
            .map(({ name }) => name)
            .toSorted()
            .join(', '),
        )
    }
  }
  const longest = Math.max(0, ...endings.map(({ toldAt, goneAt }) => goneAt - toldAt))
  return {
    invariant: 0,
    says: 'a process that is told to stop ends in time and well',
    looked: endings.length,
    violations,
    notes:
      endings.length === 0
        ? []
        : [
            `${endings.filter(({ how, wasKilled }) => how === ENDED && !wasKilled).length} with everything ` +
              `ended; the slowest took ${seconds(longest)}, of ${seconds(withinMs)}`,
            ...(unready === 0 ? [] : [`${unready} were told before they listened`]),
            ...(excused.length === 0
              ? []
              : [`${excused.length} let something go while something failed: ${[...new Set(excused)].join('; ')}`]),
          ],
  }
}
