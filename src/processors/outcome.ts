// What a processor answers. Only queue/ knows what each is in BullMQ's terms; the words are shown on the board.
import type { DateTime } from 'luxon'

export type Outcome =
  | { readonly kind: 'done'; readonly what: string }
  /** Nothing was due. Always a success. */
  | { readonly kind: 'skipped'; readonly reason: string }
  /** Not now: the record itself carries the date, the queue need not remember it. */
  | { readonly kind: 'snooze'; readonly until: DateTime; readonly reason: string }

export const done = (what: string): Outcome => ({ kind: 'done', what })
export const skipped = (reason: string): Extract<Outcome, { kind: 'skipped' }> => ({ kind: 'skipped', reason })
export const snooze = (until: DateTime, reason: string): Outcome => ({ kind: 'snooze', until, reason })

/** What woke a processor. A person's retry overrides a back-off, never a message already sent. */
export interface JobContext {
  readonly manual: boolean
  /** True when the queue will not try again by itself after this run fails. */
  readonly lastAttempt: boolean
  /** Aborted when the process must stop or the job hangs past its deadline. */
  readonly signal: AbortSignal
}

/** The answer of a job whose claim was taken over (errors.ts: StaleClaim). */
export const STALE_CLAIM = skipped('another worker, a stop or an import took over: nothing was written')
