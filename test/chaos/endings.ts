// What became of the processes that were told to stop: each ends within its time, whatever hangs, by itself and without
// an error. Pure.
import type { Checked, Violation } from './checked.ts'
import { ENDED, LET_GO, STOP_FAILED } from './exit-codes.ts'
import { metWithin } from './obstacles.ts'
import type { Hindrance, Struck } from './struck.ts'

/** One process that got a SIGTERM. Real time, in milliseconds. */
export interface Ending {
  readonly seat: string
  readonly toldAt: number
  readonly goneAt: number
  /** It had said that it runs: before that, nobody may listen for the signal yet. */
  readonly wasReady: boolean
  /** Its exit code, or the signal that ended it. */
  readonly how: number | NodeJS.Signals
  /** It did not go by itself. */
  readonly wasKilled: boolean
}

/** What a process may hang on. */
const HANGS_ON: readonly Hindrance[] = [
  'database',
  'database-late',
  'queue',
  'provider-refuses',
  'provider-breaks',
  'provider-fails',
  'mail',
]
/** How long a connection that such a fault has ended is missed. */
const MISSED_MS = 5_000
/** A busy machine is late, not wrong; twice the time is wrong. */
const LATE = 2

const codes: Readonly<Record<number, string>> = {
  1: 'exit code 1: an error that nobody caught',
  [STOP_FAILED]: `exit code ${STOP_FAILED}: its stop failed`,
}
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

/** `withinMs`: what a stop may take by the processes' own configuration. */
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
    // No fault is a reason for this: what hangs is let go.
    if (wasKilled)
      say(`still there after ${seconds(took)}, and killed; a stop takes ${seconds(withinMs)} at most, whatever hangs`)
    else if (!wasReady && how === 'SIGTERM') unready += 1
    else if (how !== ENDED && how !== LET_GO)
      say(`ended with ${typeof how === 'number' ? (codes[how] ?? `exit code ${how}`) : how}`)
    else if (wasReady && took > LATE * withinMs)
      say(`gone only after ${seconds(took)}; a stop takes ${seconds(withinMs)} at most, whatever hangs`)
    else if (how === LET_GO) {
      const met = metWithin(log, HANGS_ON, { from: toldAt - MISSED_MS, to: goneAt })
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
