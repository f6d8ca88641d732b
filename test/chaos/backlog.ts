// Records when more work was due than the workers had done by the next look: work that waits its turn then is late
// through no fault of the sweep.
import type { Span } from './obstacles.ts'

export interface Backlog {
  /** Ends the watch; returns the spans of real time in which work had queued up. */
  stop(): readonly Span[]
}

const LOOKS_EVERY_MS = 1_000
/** More than the workers have in hand at once, plus what one sweep finds. */
const MANY = 25

export const watchBacklog = (countDue: () => Promise<number>): Backlog => {
  const spans: Span[] = []
  let since: number | undefined
  let looking = false
  const look = async (): Promise<void> => {
    if (looking) return
    looking = true
    try {
      const due = await countDue()
      if (due > MANY) since ??= Date.now() - LOOKS_EVERY_MS
      else if (since !== undefined) {
        spans.push({ from: since, to: Date.now() })
        since = undefined
      }
    } catch {
      // The database is unavailable; the log of faults says so.
    } finally {
      looking = false
    }
  }
  const timer = setInterval(() => void look(), LOOKS_EVERY_MS)
  return {
    stop: () => {
      clearInterval(timer)
      return since === undefined ? spans : [...spans, { from: since, to: Date.now() }]
    },
  }
}
