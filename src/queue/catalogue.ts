// Every queue and job, named once, and how often and how fast the queue itself tries again (seconds to minutes; hours
// to days are the record's business). It has no numbers of its own but the sweep's: the policy's `timing` owns them. A
// job's data is one id.
import type { JobsOptions } from 'bullmq'
import type { Duration } from 'luxon'
import type { Dispatch, QueueName } from './port.ts'

export interface QueuePlan {
  readonly job: string
  /** The one field of the job's data; the sweep has none. */
  readonly idField: string | undefined
  readonly attempts: number
  /** Milliseconds before the second attempt; doubles from there. */
  readonly backoffMs: number
  /** Jobs one worker process runs at a time. */
  readonly concurrency: number
}

export type QueuePlans = Readonly<Record<QueueName, QueuePlan>>

const jobs = {
  reauth: { job: 'renew-consent', idField: 'consentId' },
  notify: { job: 'send-notification', idField: 'notificationId' },
  exchange: { job: 'advance-attempt', idField: 'authorisationId' },
} as const

/** No policy has a word in these: the next sweep makes up for a lost one, and two at once are of no use. */
const sweepPlan: QueuePlan = { job: 'sweep', idField: undefined, attempts: 2, backoffMs: 5_000, concurrency: 1 }

/** What of the policy's `timing` a queue goes by. */
export interface QueueTiming {
  readonly concurrency: Readonly<Record<keyof typeof jobs, number>>
  /**
   * All runs should lie within a minute, so that a code's five leave time for them. They count on a job that failed
   * giving its record back: one that is still held is not tried.
   */
  readonly retry: { readonly attempts: number; readonly firstDelay: Duration }
}

/**
 * The plans of a policy. Whoever opens a backend makes them from the policy's `timing`: a producer decides how often
 * its jobs are tried.
 */
export const plansFor = ({ concurrency, retry }: QueueTiming): QueuePlans => {
  const tries = { attempts: retry.attempts, backoffMs: retry.firstDelay.toMillis() }
  const plan = (name: keyof typeof jobs): QueuePlan => ({ ...jobs[name], ...tries, concurrency: concurrency[name] })
  return { sweep: sweepPlan, reauth: plan('reauth'), notify: plan('notify'), exchange: plan('exchange') }
}

export const queueNames: readonly QueueName[] = ['sweep', 'reauth', 'notify', 'exchange']

/** What all keys begin with. Redis Cluster needs all keys of a queue in one slot: the part in braces decides it. */
export const prefixOf = (given = 'reconsent'): string => `{${given.replace(/[{}]/g, '')}}`

/** The name of our backoff in BullMQ's options; the worker computes it (see backoff.ts). */
export const BACKOFF_TYPE = 'paced'

const DAY = 24 * 60 * 60

/** Options of every job of a queue. Ages are seconds; finished jobs stay for the board, not for the program. */
export const jobOptions = (plan: QueuePlan): JobsOptions => ({
  attempts: plan.attempts,
  backoff: { type: BACKOFF_TYPE, delay: plan.backoffMs },
  removeOnComplete: { age: DAY, count: 2_000 },
  removeOnFail: { age: 14 * DAY, count: 5_000 },
  stackTraceLimit: 10,
})

/** `<id>-<dispatchNo>`: never reused, because BullMQ silently ignores an id that it still holds, finished or not. */
export const jobIdOf = ({ id, dispatchNo }: Dispatch): string => `${id}-${dispatchNo}`

/** The id that a job is about. Undefined when the data was altered and names nothing. */
export const recordIdOf = (plan: QueuePlan, data: unknown): string | undefined => {
  if (plan.idField === undefined || typeof data !== 'object' || data === null) return undefined
  const id = (data as Record<string, unknown>)[plan.idField]
  return typeof id === 'string' && id !== '' ? id : undefined
}
