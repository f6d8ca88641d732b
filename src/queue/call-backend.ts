// Calls of the queue's backend with a limit: an unavailable queue must delay its callers by seconds, not block them for
// ever.
import { TransientError } from '../errors.ts'

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
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('Command timed out')), ms)
  })
  try {
    return await Promise.race([call(), late])
  } catch (error) {
    onError(error)
    throw new TransientError('queue-unavailable')
  } finally {
    clearTimeout(timer)
  }
}
