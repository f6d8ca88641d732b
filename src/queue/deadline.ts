// Waiting with a limit: an unavailable queue must delay its callers by seconds, not block them for ever.
import { setTimeout as delay } from 'node:timers/promises'
import { TransientError } from '../errors.ts'

/** Whether `work` settled within `ms`. Never rejects. */
export const settlesWithin = async (ms: number, work: Promise<unknown>): Promise<boolean> => {
  const over = new AbortController()
  const settled = work.then(
    () => true,
    () => true,
  )
  try {
    return await Promise.race([settled, delay(ms, false, { signal: over.signal })])
  } finally {
    over.abort()
    settled.catch(() => undefined)
  }
}

/**
 * The result of a call to the queue's backend, or `TransientError('queue-unavailable')` when the call fails or takes
 * longer than `ms`. Only `onError` sees the backend's own error, and logs its first word: the rest may contain
 * addresses and arguments.
 */
export const callBackend = async <T>(
  ms: number,
  call: () => Promise<T>,
  onError: (error: unknown) => void,
): Promise<T> => {
  const over = new AbortController()
  const late = delay(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error('Command timed out')
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([call(), late])
  } catch (error) {
    onError(error)
    throw new TransientError('queue-unavailable')
  } finally {
    over.abort()
  }
}
