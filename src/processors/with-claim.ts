// The frame of every job that works on one record: claims it, and gives the claim back when the job fails, so that the
// queue's next try finds the record free. What a job that goes well does with its claim is its own business.
import type { Duration } from 'luxon'
import type { Claim, Dispatching, RecordKind } from '../store/port.ts'
import { StaleClaim } from '../errors.ts'
import { type JobContext, type Outcome, STALE_CLAIM, skipped, snooze } from './outcome.ts'
import { persist } from './persist.ts'

/** A database that is back within this long costs a retry nothing; after it the lease runs out by itself. */
const RELEASE_TRIED_FOR_MS = 5_000

interface Frame {
  readonly store: Pick<Dispatching, 'claim' | 'release'>
  readonly lease: Duration
}

/**
 * Runs `work` under a claim of the record; answers for it when there is none to be had, or when it was taken over. Only
 * once `work` itself has
 * failed is the claim given back: a job that was abandoned at its deadline and still runs keeps it, because its effects
 * may still come. What was begun and not settled (`exchanging`, `sending`) is then taken by the next claim for what it
 * is, perhaps done, and never begun again.
 */
export const withClaim = async (
  { store, lease }: Frame,
  { kind, id, run }: { readonly kind: RecordKind; readonly id: string; readonly run: JobContext },
  work: (claim: Claim) => Promise<Outcome>,
): Promise<Outcome> => {
  const answer = await store.claim(kind, id, lease)
  if (answer.kind === 'missing') return skipped(`there is no such ${kind}`)
  if (answer.kind === 'held') return snooze(answer.until, 'another worker is at it')
  const { claim } = answer
  try {
    return await work(claim)
  } catch (error) {
    if (error instanceof StaleClaim) return STALE_CLAIM
    // Fenced: a claim that was taken over gives nothing back. A failure to release must not hide why the job failed.
    const over = AbortSignal.any([run.signal, AbortSignal.timeout(RELEASE_TRIED_FOR_MS)])
    const queuedFor = run.lastAttempt ? undefined : lease
    await persist(async () => store.release(claim, queuedFor), over).catch(() => undefined)
    throw error
  }
}
