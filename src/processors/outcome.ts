// What a processor returns. Only queue/ knows what each outcome means in BullMQ's terms; the texts are shown on the
// board.
import type { DateTime } from 'luxon'

export type Outcome =
  | { readonly kind: 'done'; readonly what: string }
  /** Nothing was due. Always a success. */
  | { readonly kind: 'skipped'; readonly reason: string }
  /** Not now: the record itself carries the date, so the queue need not remember it. */
  | { readonly kind: 'snooze'; readonly until: DateTime; readonly reason: string }

export const done = (what: string): Outcome => ({ kind: 'done', what })
export const skipped = (reason: string): Extract<Outcome, { kind: 'skipped' }> => ({ kind: 'skipped', reason })
export const snooze = (until: DateTime, reason: string): Outcome => ({ kind: 'snooze', until, reason })

/** How a processor was started. A retry by an operator overrides a back-off, but never sends a sent message again. */
export interface JobContext {
  readonly manual: boolean
  /** True when the queue will not retry by itself after this run fails. */
  readonly isLastTry: boolean
  /** Aborted when the process must stop or the job hangs past its deadline. */
  readonly signal: AbortSignal
}

/** The outcome of a job whose claim was taken over (errors.ts: StaleClaim). */
export const STALE_CLAIM = skipped('another worker, a stop or an import took over: nothing was written')
