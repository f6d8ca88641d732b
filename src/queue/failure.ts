// Turns whatever a handler threw into an error that BullMQ may store. The board shows failure reasons and stacks as
// they are, so neither may contain a message that we did not write ourselves.
import { UnrecoverableError } from 'bullmq'
import { errorTable, PermanentError, TransientError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'

export interface Failure {
  readonly code: ErrorCode
  /** Whether a retry within seconds to minutes may help. */
  readonly transient: boolean
  readonly retryAfterMs: number | undefined
  /** The place in our own source where the error was thrown, for the log and the board. */
  readonly at: string | undefined
}

/**
 * The first stack frame in `src/` outside the queue's own folder. Only text of that pattern is taken, because the rest
 * of a stack repeats the message.
 */
const thrownAt = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || typeof error.stack !== 'string') return undefined
  const head = `${error.name}: ${error.message}`
  const frames = error.stack.startsWith(head) ? error.stack.slice(head.length) : ''
  return /\/(src\/(?!queue\/)[\w./-]+\.ts:\d+:\d+)/.exec(frames)?.[1]
}

export const failureOf = (error: unknown): Failure => {
  if (error instanceof TransientError) {
    return { code: error.code, transient: true, retryAfterMs: error.retryAfterMs, at: thrownAt(error) }
  }
  if (error instanceof PermanentError)
    return { code: error.code, transient: false, retryAfterMs: undefined, at: thrownAt(error) }
  // A bug of ours, or a driver's error that no code translated. The job is retried because the cause may pass, but the
  // error's text is not stored.
  return { code: 'internal', transient: true, retryAfterMs: undefined, at: thrownAt(error) }
}

/** The error that BullMQ stores: the message from our error table, and a stack of one line. */
export const storedError = (failure: Failure, mayRetry: boolean): Error & { retryAfterMs?: number } => {
  const message = `${failure.code}: ${errorTable[failure.code].message}`
  const error: Error & { retryAfterMs?: number } = mayRetry ? new Error(message) : new UnrecoverableError(message)
  error.stack = failure.at === undefined ? message : `${message}\n    at ${failure.at}`
  if (failure.retryAfterMs !== undefined) error.retryAfterMs = failure.retryAfterMs
  return error
}
