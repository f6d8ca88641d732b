// A timer whose rounds never overlap while they end in time, and which neither a failing nor a hanging round stops. The
// watchdog, the codes that wait for their exchange, and the feed use it.
import { setTimeout as delay } from 'node:timers/promises'
import type { Duration } from 'luxon'
import type { Log } from '../log.ts'
import { settlesWithin } from '../settles-within.ts'

export interface Ticker {
  /**
   * Starts no further round. The running round may end by itself for `endsWithinMs`; then its signal is aborted, and it
   * has `settlesWithinMs` to end; then it is abandoned. Returns whether the round had ended.
   */
  stop(waits: { readonly endsWithinMs: number; readonly settlesWithinMs: number }): Promise<boolean>
}

export interface TickerOptions {
  /** For the log. */
  readonly name: string
  /** The delay between a round's end and the next one's start. */
  readonly every: Duration
  /**
   * A round that takes longer has its signal aborted and is abandoned: claims and locks keep what it may still do apart
   * from the next round.
   */
  readonly tickWithin: Duration
  readonly log: Log
  readonly tick: (signal: AbortSignal) => Promise<void>
}

/**
 * Runs `tick` at once, and again `every` after each round's end. A round that rejects is logged by name, and the next
 * one comes as usual.
 */
export const runEvery = ({ name, every, tickWithin, log, tick }: TickerOptions): Ticker => {
  const stopping = new AbortController()
  let running = new AbortController()

  const runTick = async (signal: AbortSignal): Promise<void> => {
    try {
      await tick(signal)
    } catch (error) {
      log.warn({ timer: name, err: error }, 'a round of a timer failed: the next one tries again')
    }
  }
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      running = new AbortController()
      if (!(await settlesWithin(tickWithin.toMillis(), runTick(running.signal)))) {
        running.abort()
        log.warn(
          { timer: name, after_ms: tickWithin.toMillis() },
          'a round of a timer hangs: it is left behind, the next one starts in time',
        )
      }
      await delay(every.toMillis(), undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  const ended = loop()
  return {
    stop: async ({ endsWithinMs, settlesWithinMs }) => {
      stopping.abort()
      if (await settlesWithin(endsWithinMs, ended)) return true
      running.abort()
      return settlesWithin(settlesWithinMs, ended)
    },
  }
}
