// One run of one job: calls the handler under a deadline and reports its outcome in BullMQ's terms. Nothing here is
// specific to a queue.
import { WaitingError } from 'bullmq'
import type { Job } from 'bullmq'
import type { Log } from '../log.ts'
import { PermanentError, TransientError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Outcome, JobContext } from '../processors/outcome.ts'
import { jobRunOf } from './job-run.ts'
import type { JobRun } from './job-run.ts'
import { recordIdOf } from './catalogue.ts'
import type { QueuePlan } from './catalogue.ts'
import { failureOf, storedError } from './failure.ts'
import type { Failure } from './failure.ts'
import type { QueueName } from './port.ts'
import type { QueueTimings } from './timings.ts'

export type Handler = (id: string | undefined, run: JobContext) => Promise<Outcome>

/** The queue has given up on this record for now: when to try again is a date on the record. */
export interface FinalFailure {
  readonly queue: QueueName
  readonly id: string
  readonly code: ErrorCode
  readonly manual: boolean
}

export interface RunEnded {
  readonly queue: QueueName
  readonly result: 'done' | 'skipped' | 'snoozed' | 'retry' | 'failed' | 'released'
  readonly code: ErrorCode | undefined
  readonly seconds: number
}

/** What the board shows as a job's return value. */
export type Report =
  | { result: 'done'; what: string }
  | { result: 'skipped'; reason: string }
  | { result: 'snoozed'; until: string; reason: string }

export const reportOf = (outcome: Outcome): Report => {
  if (outcome.kind === 'done') return { result: 'done', what: outcome.what }
  if (outcome.kind === 'skipped') return { result: 'skipped', reason: outcome.reason }
  return { result: 'snoozed', until: outcome.until.toUTC().toISO(), reason: outcome.reason }
}

export interface RunnerContext {
  readonly queue: QueueName
  readonly plan: QueuePlan
  readonly handler: Handler
  readonly recordFailure: ((failure: FinalFailure) => Promise<void>) | undefined
  readonly timings: QueueTimings
  readonly log: Log
  readonly onEnd: ((run: RunEnded) => void) | undefined
  /** Aborted when the process must stop. */
  readonly stopping: AbortSignal
}

/**
 * The handler's outcome. At the job's deadline the handler's signal is aborted; if the handler has still not ended
 * `settle` ms later, this rejects.
 */
const underDeadline = async (
  context: RunnerContext,
  lost: AbortSignal,
  work: (signal: AbortSignal) => Promise<Outcome>,
): Promise<Outcome> => {
  const { jobDeadline, settle } = context.timings
  const overdue = new AbortController()
  // A plain timer: to abort a promised one would cost an error with its stack for each job.
  let timer: NodeJS.Timeout | undefined
  const abandoned = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      overdue.abort(new TransientError('timed-out'))
      timer = setTimeout(() => reject(new TransientError('timed-out')), settle)
    }, jobDeadline)
  })
  try {
    return await Promise.race([work(AbortSignal.any([context.stopping, lost, overdue.signal])), abandoned])
  } catch (error) {
    // An error that the handler throws because we aborted it is not a bug.
    if (overdue.signal.aborted && failureOf(error).code === 'internal') throw new TransientError('timed-out')
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Gives the record of a job that the queue gives up a later date. */
const recordFinalFailure = async (
  { queue, recordFailure, log }: RunnerContext,
  id: string | undefined,
  { code }: Failure,
  { manual }: JobRun,
): Promise<void> => {
  if (id === undefined || recordFailure === undefined) return
  try {
    await recordFailure({ queue, id, code, manual })
  } catch (error) {
    // The record keeps its date, and the next sweep finds it again.
    log.error({ queue, id, err: error }, 'a failure could not be recorded')
  }
}

/**
 * Moves a running job back to the waiting jobs. The returned error tells BullMQ so; if the backend is unavailable, the
 * job returns to the queue when its lock expires.
 */
const returnToQueue = async (job: Job, token: string | undefined): Promise<Error> => {
  try {
    await job.moveToWait(token)
    return new WaitingError()
  } catch {
    return storedError(failureOf(new TransientError('stopped')), true)
  }
}

/**
 * Makes the function that BullMQ calls for each job. `lost` is aborted when another worker may have taken the job over.
 */
export const processJob =
  (context: RunnerContext) =>
  async (job: Job, token: string | undefined, lost: AbortSignal): Promise<Report> => {
    const { queue, plan, handler, log, stopping } = context
    const run = jobRunOf(job)
    const id = recordIdOf(plan, job.data)
    const started = performance.now()
    const end = (result: RunEnded['result'], code?: ErrorCode): void =>
      context.onEnd?.({ queue, result, code, seconds: (performance.now() - started) / 1000 })
    try {
      // This happens only when an operator edits or adds a job on the board.
      if (plan.idField !== undefined && id === undefined) throw new PermanentError('internal')
      const outcome = await underDeadline(context, lost, (signal) => handler(id, { ...run, signal }))
      const report = reportOf(outcome)
      end(report.result)
      log.debug({ queue, job_id: job.id, ...report }, 'job ended')
      return report
    } catch (error) {
      const failure = failureOf(error)
      if (stopping.aborted && (failure.code === 'internal' || failure.code === 'stopped')) {
        // The process stopped this run. The job goes back to the queue as if never taken, so that a deployment uses up
        // no job's attempts.
        end('released')
        throw await returnToQueue(job, token)
      }
      const mayRetry = failure.transient && !run.isLastTry
      if (!mayRetry) await recordFinalFailure(context, id, failure, run)
      const stored = storedError(failure, mayRetry)
      end(mayRetry ? 'retry' : 'failed', failure.code)
      const fields = {
        queue,
        job_id: job.id,
        error_code: failure.code,
        at: failure.at,
        attempt: job.attemptsMade + 1,
        manual: run.manual,
      }
      if (failure.code === 'internal') log.error({ ...fields, err: error }, 'unexpected error in a job')
      else if (mayRetry) log.info(fields, 'job will be tried again')
      else log.warn(fields, 'job failed')
      throw stored
    }
  }
