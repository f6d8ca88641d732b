// The frame of every job that works on one record. It claims the record, and releases the claim when the job fails, so
// that the queue's next try finds the record free. A job that succeeds handles its claim itself.
import type { Duration } from 'luxon'
import type { RecordKind } from '../records.ts'
import type { Claim, Dispatching, Facts } from '../store/port.ts'
import { StaleClaim } from '../errors.ts'
import { type JobContext, type Outcome, STALE_CLAIM, skipped, snooze } from './outcome.ts'
import { persist } from './persist.ts'

/** If the database is back within this time, a retry is not delayed; otherwise the lease runs out by itself. */
const RELEASE_TRIED_FOR_MS = 5_000

interface Frame {
  readonly store: Pick<Dispatching, 'claim' | 'release'>
  readonly lease: Duration
}

/**
 * Runs `work` under a claim of the record, with the facts that were read together with the claim. If the record cannot
 * be claimed, or the claim was taken over, the outcome says so. The claim is released only once `work` itself has
 * failed: a job that was abandoned at its deadline and still runs keeps its claim, because its effects may still come.
 * The next claim then treats what that job began and did not settle (`exchanging`, `sending`) as perhaps done, and
 * never begins it again.
 */
export const withClaim = async <Kind extends RecordKind>(
  { store, lease }: Frame,
  { kind, id, run }: { readonly kind: Kind; readonly id: string; readonly run: JobContext },
  work: (claim: Claim, facts: Facts[Kind]) => Promise<Outcome>,
): Promise<Outcome> => {
  const answer = await store.claim(kind, id, lease)
  if (answer.kind === 'missing') return skipped(`there is no such ${kind}`)
  if (answer.kind === 'held') return snooze(answer.until, 'another worker is at it')
  const { claim } = answer
  try {
    return await work(claim, answer.facts())
  } catch (error) {
    if (error instanceof StaleClaim) return STALE_CLAIM
    // The fencing token protects the record: a stale claim releases nothing. A failure to release must not hide why the
    // job failed.
    const over = AbortSignal.any([run.signal, AbortSignal.timeout(RELEASE_TRIED_FOR_MS)])
    const queuedFor = run.isLastTry ? undefined : lease
    await persist(async () => store.release(claim, queuedFor), over).catch(() => undefined)
    throw error
  }
}
