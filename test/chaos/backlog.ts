// When more work was due than the workers had done by the next look: what waits its turn then is late for no fault of
// the sweep's.
import type { Span } from './obstacles.ts'

export interface Backlog {
  /** Ends the watch; the spans of real time in which work queued up. */
  stop(): readonly Span[]
}

const LOOKS_EVERY_MS = 1_000
/** More than what the workers have in hand at once, and a sweep finds at its turn. */
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
      // The database is away, which the log of faults tells.
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
