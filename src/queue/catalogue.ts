// How often and how fast each queue itself retries its job: seconds to minutes; delays of hours to days are dates on
// the record. All numbers but the sweep's come from the policy's `timing`. A job's data is one id.
import type { JobsOptions } from 'bullmq'
import type { Duration } from 'luxon'
import { type Dispatch, type RecordKind, recordJobs, recordKinds, type RecordQueue } from '../records.ts'
import type { QueueName } from './port.ts'

export interface QueuePlan {
  readonly job: string
  /** The one field of the job's data; the sweep has none. */
  readonly idField: string | undefined
  readonly attempts: number
  /** Milliseconds before the second attempt; the delay doubles from there. */
  readonly backoffMs: number
  /** How many jobs one worker process runs at a time. */
  readonly concurrency: number
}

export type QueuePlans = Readonly<Record<QueueName, QueuePlan>>

/**
 * The policy cannot change these numbers: the next sweep makes up for a lost one, and two sweeps at once are of no use.
 */
const sweepPlan: QueuePlan = { job: 'sweep', idField: undefined, attempts: 2, backoffMs: 5_000, concurrency: 1 }

/** The part of the policy's `timing` that the queues use. */
export interface QueueTiming {
  readonly concurrency: Readonly<Record<RecordQueue, number>>
  /**
   * All runs should fit into one minute, because a code expires after five. A retry needs the failed job to have
   * released its record's lease: while the lease is held, the worker does not try the record.
   */
  readonly retry: { readonly attempts: number; readonly firstDelay: Duration }
}

/**
 * The plans of a policy. Every program that opens a backend makes them from the policy's `timing`, because it is the
 * producer that decides how often its jobs are tried.
 */
export const plansFor = ({ concurrency, retry }: QueueTiming): QueuePlans => {
  const tries = { attempts: retry.attempts, backoffMs: retry.firstDelay.toMillis() }
  const plan = (kind: RecordKind): QueuePlan => {
    const { queue, job, idField } = recordJobs[kind]
    return { job, idField, ...tries, concurrency: concurrency[queue] }
  }
  return { sweep: sweepPlan, reauth: plan('consent'), notify: plan('notification'), exchange: plan('authorisation') }
}

export const queueNames: readonly QueueName[] = ['sweep', ...recordKinds.map((kind) => recordJobs[kind].queue)]

/**
 * The prefix of all keys. Redis Cluster needs all keys of a queue in one slot, and the part in braces decides the slot.
 */
export const prefixOf = (given = 'reconsent'): string => `{${given.replace(/[{}]/g, '')}}`

/** The name of our back-off in BullMQ's options; the worker computes the delay (see backoff.ts). */
export const BACKOFF_TYPE = 'paced'

const DAY = 24 * 60 * 60

/**
 * Options of every job of a queue. Ages are seconds. Finished jobs are kept for the board; the program does not need
 * them.
 */
export const jobOptions = (plan: QueuePlan): JobsOptions => ({
  attempts: plan.attempts,
  backoff: { type: BACKOFF_TYPE, delay: plan.backoffMs },
  removeOnComplete: { age: DAY, count: 2_000 },
  removeOnFail: { age: 14 * DAY, count: 5_000 },
  stackTraceLimit: 10,
})

/**
 * `<id>-<dispatchNo>`. A job id is never reused, because BullMQ silently ignores an id that it still holds, finished or
 * not.
 */
export const jobIdOf = ({ id, dispatchNo }: Dispatch): string => `${id}-${dispatchNo}`

/** The id of the record that a job is about. Undefined when the job's data was altered and holds no id. */
export const recordIdOf = (plan: QueuePlan, data: unknown): string | undefined => {
  if (plan.idField === undefined || typeof data !== 'object' || data === null) return undefined
  const id = (data as Record<string, unknown>)[plan.idField]
  return typeof id === 'string' && id !== '' ? id : undefined
}
