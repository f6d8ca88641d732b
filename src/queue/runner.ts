// Runs the workers of a process and stops them: claims no more jobs, waits for the running ones, aborts them, closes.
// What a run's outcome means to BullMQ is in process-job.ts.
import type { Job, Worker } from 'bullmq'
import { setTimeout as delay } from 'node:timers/promises'
import type { Backend } from './backend.ts'
import { pacedBackoff } from './backoff.ts'
import { queueNames } from './catalogue.ts'
import { settlesWithin } from '../settles-within.ts'
import type { QueueName } from './port.ts'
import { processJob } from './process-job.ts'
import type { FinalFailure, Handler, RunEnded } from './process-job.ts'
import { ownTimings } from './timings.ts'
import type { OwnTimings, QueueTimings } from './timings.ts'

export interface WorkersOptions {
  readonly backend: Backend
  /** A queue without a handler gets no worker. */
  readonly handlers: Readonly<Partial<Record<QueueName, Handler>>>
  /** Called when the queue will not retry the job any more: reschedules the record. */
  readonly recordFailure?: (failure: FinalFailure) => Promise<void>
  /** Deadlines from the policy. Only tests replace the queue's own timings. */
  readonly timings: Omit<QueueTimings, keyof OwnTimings> & Partial<OwnTimings>
  /** Called at the end of each run, for the metrics. */
  readonly onEnd?: (run: RunEnded) => void
  /** Called for each job that was taken back from a worker that had stopped renewing the job's lock. */
  readonly onStalled?: (queue: QueueName) => void
}

export interface Workers {
  /** Resolves when every worker has reached the backend. Only tests wait for it: workers start by themselves. */
  readonly ready: Promise<void>
  /** How many jobs run in this process now. */
  running(): number
  /**
   * Stops within `stopDeadline` + `settle` + 3 s. Resolves to whether every job had ended; jobs that had not are
   * delivered again to another worker.
   */
  close(): Promise<boolean>
}

/**
 * BullMQ fails a job for good after this many stalls. The limit is high because a crash says little about the job, and
 * the next sweeps dispatch its record again anyway.
 */
const MAX_STALLED = 20

/**
 * How long a worker waits at the backend for a job, in seconds, before it asks again. A new job wakes it at once:
 * asking again only finds what came without a wake-up. BullMQ waits no longer for a job with a date, and
 * redis-client.ts gives up a connection that is silent for longer.
 */
const WAITS_FOR_JOB = 10

export const startWorkers = (options: WorkersOptions): Workers => {
  const { backend } = options
  const { log } = backend
  const timings: QueueTimings = { ...ownTimings, ...options.timings }
  const stopping = new AbortController()
  const running = new Map<string, AbortController>()

  const makeWorker = (queue: QueueName, handler: Handler): Worker => {
    const plan = backend.plans[queue]
    const { recordFailure, onEnd } = options
    const run = processJob({ queue, plan, handler, recordFailure, timings, log, onEnd, stopping: stopping.signal })
    const tracked = async (job: Job, token?: string) => {
      const key = `${queue} ${job.id}`
      const lost = new AbortController()
      running.set(key, lost)
      try {
        return await run(job, token, lost.signal)
      } finally {
        if (running.get(key) === lost) running.delete(key)
      }
    }
    const worker = backend.worker(queue, tracked, {
      autorun: false,
      concurrency: plan.concurrency,
      lockDuration: timings.lockDuration,
      stalledInterval: timings.stalledInterval,
      maxStalledCount: MAX_STALLED,
      drainDelay: WAITS_FOR_JOB,
      // BullMQ's default of 15 s would keep workers idle after an outage is over.
      runRetryDelay: timings.reconnectDelay,
      settings: { backoffStrategy: pacedBackoff },
    })
    worker.on('lockRenewalFailed', (jobIds: string[]) => {
      log.warn({ queue, job_ids: jobIds }, 'lost the lock of running jobs')
      for (const id of jobIds) running.get(`${queue} ${id}`)?.abort()
    })
    worker.on('stalled', (jobId: string) => {
      log.warn({ queue, job_id: jobId }, 'took a job back from a worker that went silent')
      options.onStalled?.(queue)
    })
    return worker
  }

  const workers = queueNames.flatMap((queue) => {
    const handler = options.handlers[queue]
    return handler === undefined ? [] : [{ queue, worker: makeWorker(queue, handler) }]
  })

  const start = async ({ queue, worker }: { queue: QueueName; worker: Worker }): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await worker.waitUntilReady()
        break
      } catch (error) {
        backend.logError({ queue, end: 'worker' }, error, 'a worker is waiting for the queue backend')
        // On PostgreSQL a first failure is remembered, so waiting again is useless; BullMQ's own loop copes with the
        // rest of the outage.
        if (backend.kind === 'postgres') break
        await delay(timings.reconnectDelay, undefined, { signal: stopping.signal }).catch(() => undefined)
      }
    }
    worker.run().catch((error: unknown) => backend.logError({ queue, end: 'worker' }, error, 'a worker ended'))
  }
  const ready = Promise.all(workers.map(start)).then(() => undefined)

  /**
   * Resolves when no job has run for two seconds and BullMQ's loops have still not ended: the backend is unavailable,
   * and waiting longer gains nothing.
   */
  const backendAway = async (until: AbortSignal): Promise<void> => {
    let quiet = 0
    while (quiet < 10) {
      await delay(200, undefined, { signal: until })
      quiet = running.size === 0 ? quiet + 1 : 0
    }
  }

  const stop = async (): Promise<boolean> => {
    // pause() stops claiming at once, even during a blocking wait. close() could no longer be forced once it waits.
    const idle = Promise.all(workers.map(({ worker }) => worker.pause()))
    const over = new AbortController()
    await settlesWithin(timings.stopDeadline, Promise.race([idle, backendAway(over.signal)]))
    stopping.abort()
    const ended = await settlesWithin(running.size === 0 ? 500 : timings.settle, idle)
    over.abort()
    const left = running.size
    if (left > 0) log.warn({ jobs: [...running.keys()] }, 'stopped before these jobs had ended')
    await Promise.all(workers.map(({ worker }) => settlesWithin(1_000, worker.close(!ended))))
    return left === 0
  }
  let stopped: Promise<boolean> | undefined
  return { ready, running: () => running.size, close: () => (stopped ??= stop()) }
}
