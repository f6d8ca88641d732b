// What the tests of the queue share: a backend of their own with fast timings, and ways to wait for what happens in it.
import type { Job, JobState } from 'bullmq'
import { Duration } from 'luxon'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { expect, onTestFinished, vi } from 'vitest'
import { openBackend } from '../../src/queue/backend.ts'
import type { Backend } from '../../src/queue/backend.ts'
import { plansFor } from '../../src/queue/catalogue.ts'
import type { QueuePlans } from '../../src/queue/catalogue.ts'
import type { BackendTarget } from '../../src/queue/connection.ts'
import type { QueueName } from '../../src/queue/port.ts'
import { makeLog } from '../../src/log.ts'
import { startWorkers } from '../../src/queue/runner.ts'
import type { Workers, WorkersOptions } from '../../src/queue/runner.ts'
import type { QueueTimings } from '../../src/queue/timings.ts'
import { makeWorkQueue } from '../../src/queue/work-queue.ts'

export const fastTimings: QueueTimings = {
  lockDuration: 1_000,
  stalledInterval: 300,
  jobDeadline: 10_000,
  settle: 500,
  stopDeadline: 3_000,
  reconnectDelay: 100,
}

/** For tests in which the number of retries does not matter. */
export const plans: QueuePlans = plansFor({
  concurrency: { reauth: 10, notify: 5, exchange: 10 },
  retry: { attempts: 4, firstDelay: Duration.fromObject({ seconds: 5 }) },
})

export const fastPlans: QueuePlans = {
  ...plans,
  sweep: { ...plans.sweep, backoffMs: 20 },
  reauth: { ...plans.reauth, attempts: 3, backoffMs: 20 },
}

/** Where a test's queue is stored; no other test uses the same place. */
export interface Place {
  readonly target: BackendTarget
  readonly prefix: string
}

/** What each backend provides for the contract's tests. */
export interface Bench {
  /** An empty place for one test. */
  place(): Promise<Place>
  /** Makes every place unreachable until the returned function is called. */
  cutOff(): Promise<() => Promise<void>>
  /** Breaks every open connection; the backend is available again at once. */
  breakConnections(): Promise<void>
}

export const aPrefix = (): string => `test-${randomBytes(6).toString('hex')}`
export const anId = (): string => randomUUID()

/** A log, and its lines as objects. */
export const aLog = () => {
  const lines: Record<string, unknown>[] = []
  const log = makeLog({
    level: 'debug',
    pretty: false,
    to: { write: (line: string) => void lines.push(JSON.parse(line)) },
  })
  return { log, lines }
}

export const aBackend = async (place: Place, planned: QueuePlans = fastPlans) => {
  const { log, lines } = aLog()
  const backend = await openBackend(place.target, { prefix: place.prefix, log, plans: planned })
  onTestFinished(() => backend.close())
  return { backend, work: makeWorkQueue(backend), lines }
}

/** Starts workers; they are waiting for jobs when this resolves. */
export const workersOn = async (
  backend: Backend,
  options: Omit<WorkersOptions, 'backend' | 'timings'> & { readonly timings?: Partial<QueueTimings> },
): Promise<Workers> => {
  const workers = startWorkers({ backend, ...options, timings: { ...fastTimings, ...options.timings } })
  onTestFinished(async () => {
    await workers.close()
  })
  await workers.ready
  return workers
}

/** Polls for a state that only the backend knows. */
export const eventually = <T>(look: () => Promise<T> | T, timeout = 15_000): Promise<T> =>
  vi.waitFor(look, { timeout, interval: 20 })

/** Waits until the job is in that state, and returns the job. */
export const jobIn = (backend: Backend, queue: QueueName, jobId: string, state: JobState): Promise<Job> =>
  eventually(async () => {
    expect(await backend.queue(queue).getJobState(jobId)).toBe(state)
    return (await backend.queue(queue).getJob(jobId)) as Job
  })

/** A promise that the test itself resolves or rejects: for handlers that a test holds and releases. */
export const aGate = () => Promise.withResolvers<void>()

/** A TCP relay that can be cut and restored: it makes a server unavailable to its clients for a while. */
export const startRelay = async (port: number) => {
  const sockets = new Set<Socket>()
  const join = (client: Socket): void => {
    const upstream = connect(port, '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  }
  let server = createServer(join).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as AddressInfo).port
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const cut = async (): Promise<void> => {
    const closed = once(server, 'close')
    server.close()
    dropAll()
    await closed
  }
  return {
    port: own,
    dropAll,
    cut,
    mend: async (): Promise<void> => {
      server = createServer(join).listen(own, '127.0.0.1')
      await once(server, 'listening')
    },
  }
}
