// How many requests of the API work at once. Each may hold a connection of the pool while it waits for a lock, and the
// pages, the callbacks of browsers and the jobs of this process need connections, too.
import { within } from '../within.ts'

export interface TurnOptions {
  /** With the callbacks' own, fewer than a process has connections besides those of its jobs (roles/services.ts). */
  readonly atOnce: number
  /** Turns of the callbacks alone: a code is valid for minutes, and must not wait behind anything else. */
  readonly callbacksAtOnce: number
  /** Requests that wait for their turn; one more is refused at once. */
  readonly waiting: number
  readonly waitMs: number
}

export const usualTurns: TurnOptions = { atOnce: 6, callbacksAtOnce: 2, waiting: 200, waitMs: 2_000 }

/** Does the work when its turn comes; undefined when it does not come in time. */
export type InTurn = <Result>(work: () => Promise<Result>) => Promise<Result | undefined>

export const makeTurns = ({ atOnce, waiting, waitMs }: Omit<TurnOptions, 'callbacksAtOnce'>): InTurn => {
  const queue: (() => void)[] = []
  let working = 0
  const take = async (): Promise<boolean> => {
    if (working < atOnce) {
      working += 1
      return true
    }
    if (queue.length >= waiting) return false
    const turn = Promise.withResolvers<boolean>()
    const begin = (): void => turn.resolve(true)
    queue.push(begin)
    return within(waitMs, turn.promise, () => {
      const place = queue.indexOf(begin)
      // The turn came in the moment in which the wait ended.
      if (place < 0) return true
      queue.splice(place, 1)
      return false
    })
  }
  /** Passes the turn on, if somebody waits. */
  const give = (): void => {
    const next = queue.shift()
    if (next === undefined) working -= 1
    else next()
  }
  return async (work) => {
    if (!(await take())) return undefined
    try {
      return await work()
    } finally {
      give()
    }
  }
}
