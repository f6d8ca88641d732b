// Takes what the bank sent back through the user's browser. The code is committed before the browser gets an answer.
// The exchange is a job of its own: it is enqueued at once, and the timer finds the code if the queue is unavailable.
import type { Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Secret } from '../secret.ts'
import type { AtTheBank, CallbackAnswer } from '../store/port.ts'
import type { Enqueue } from './enqueue.ts'

/**
 * Parameters of a redirect that have passed the checks on shape: a state, and a code or an error. `by`: the name of the
 * API key that passed them on; none when the browser brought them.
 */
export type Callback = { readonly state: Secret; readonly by?: string | undefined } & (
  | { readonly code: Secret }
  | { readonly bankError: string }
)

/** Errors of RFC 6749 4.1.2.1, and others that banks invent: a short word is kept, any other text is not. */
const BANK_ERROR = /^[A-Za-z0-9_.-]{1,64}$/

interface ReceiveCallbackDeps {
  readonly store: AtTheBank
  readonly enqueue: Enqueue
  readonly clock: Clock
  /** How long the exchange of a code that is handed to the queue counts as queued. */
  readonly queuedFor: Duration
}

/** Rejects when the commit fails: nothing was stored then, and the same request may be repeated. */
export const receiveCallback =
  ({ store, enqueue, clock, queuedFor }: ReceiveCallbackDeps) =>
  async (callback: Callback): Promise<CallbackAnswer> => {
    if ('bankError' in callback) {
      const bankError = BANK_ERROR.test(callback.bankError) ? callback.bankError : 'other'
      return store.receiveRefusal(callback.state, bankError, { now: clock.now(), by: callback.by })
    }
    const answer = await store.receiveCode(callback.state, callback.code, {
      now: clock.now(),
      queuedFor,
      by: callback.by,
    })
    // Not awaited: the browser need not wait for a queue that may be unavailable.
    if (answer.kind === 'accepted' && answer.dispatch !== undefined) void enqueue('authorisation', answer.dispatch)
    return answer
  }
