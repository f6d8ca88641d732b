// Every queue and job, named once, with how often and how fast the queue itself tries again (seconds to minutes; hours to days are
// the record's business). A job's data is one id: no facts, no secrets.
import type { JobsOptions } from 'bullmq'
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

/**
 * As the policy's own defaults (`timing.retry`): all within a minute, so that a code's five leave time for them. They count on a job that
 * failed giving its record back: one that is still held is not tried.
 */
const usual = { attempts: 4, backoffMs: 5_000 }

/** Without a policy; `plansFor` puts its numbers in. */
export const queuePlans: QueuePlans = {
  sweep: { job: 'sweep', idField: undefined, attempts: 2, backoffMs: 5_000, concurrency: 1 },
  reauth: { job: 'renew-consent', idField: 'consentId', ...usual, concurrency: 10 },
  notify: { job: 'send-notification', idField: 'notificationId', ...usual, concurrency: 5 },
  exchange: { job: 'advance-authorisation', idField: 'authorisationId', ...usual, concurrency: 10 },
}

/** The same with the policy's own numbers (`timing`). The sweep has neither: its next run makes up for a lost one. */
export const plansFor = (timing: {
  readonly concurrency: Readonly<Record<Exclude<QueueName, 'sweep'>, number>>
  readonly retry: { readonly attempts: number; readonly firstDelayMs: number }
}): QueuePlans => {
  const plan = (name: Exclude<QueueName, 'sweep'>): QueuePlan => ({
    ...queuePlans[name],
    concurrency: timing.concurrency[name],
    attempts: timing.retry.attempts,
    backoffMs: timing.retry.firstDelayMs,
  })
  return { sweep: queuePlans.sweep, reauth: plan('reauth'), notify: plan('notify'), exchange: plan('exchange') }
}

export const queueNames = Object.keys(queuePlans) as readonly QueueName[]

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
