// A timer whose rounds never overlap and whose failures never end it: for the watchdog and the codes that wait for their exchange.
import type { Duration } from 'luxon'
import type { Log } from '../log.ts'

export interface Timekeeper {
  /** No further round; resolves when the running one has ended. */
  stop(): Promise<void>
}

/** Runs `round` at once and then `every` after each round's end. A round that rejects is logged by name and tried again in time. */
export const keepTime = ({ name, every, log, round }: { name: string; every: Duration; log: Log; round: () => Promise<void> }): Timekeeper => {
  let stopped = false
  let wake: () => void = () => undefined
  const loop = async (): Promise<void> => {
    while (!stopped) {
      try {
        await round()
      } catch (error) {
        log.warn({ timer: name, err: error }, 'a round of a timer failed: the next one tries again')
      }
      if (stopped) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, every.toMillis())
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
  const ended = loop()
  return {
    stop: async () => {
      stopped = true
      wake()
      await ended
    },
  }
}
