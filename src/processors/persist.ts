// Keeps trying to write down something that must not be lost while the database is away: a token response in hand.
import { setTimeout } from 'node:timers/promises'
import { PermanentError, StaleClaim } from '../errors.ts'

const RETRY_DELAY_MS = 250

/**
 * Tries until it succeeds or the job is told to stop; then the last error is thrown. One that will not pass is thrown
 * at once.
 */
export const persist = async <Result>(write: () => Promise<Result>, signal: AbortSignal): Promise<Result> => {
  for (;;) {
    try {
      return await write()
    } catch (error) {
      if (signal.aborted || error instanceof PermanentError || error instanceof StaleClaim) throw error
      await setTimeout(RETRY_DELAY_MS, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) throw error
    }
  }
}
