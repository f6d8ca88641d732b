// Retries work on a database that is unavailable, so that a token response in hand is not lost.
import { setTimeout } from 'node:timers/promises'
import { PermanentError, StaleClaim } from '../errors.ts'

const RETRY_DELAY_MS = 250

/**
 * Tries until `write` succeeds or the job's signal is aborted; then the last error is thrown. An error that will not
 * pass is thrown at once. `write` must be repeatable: where it was committed and only the acknowledgement was lost, it
 * is called again.
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
