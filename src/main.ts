// The composition root; with roles/, the only place that constructs things. Starts the parts that a process needs for
// its roles, in order, and stops them within one deadline.
import { type HttpServer, makeHealthServer } from './http/server.ts'
import { openBackend } from './queue/backend.ts'
import { plansFor } from './queue/catalogue.ts'
import { settlesWithin } from './settles-within.ts'
import { watchQueue } from './queue/watch.ts'
import { healthDeps, makeServices, type ServicesOptions, type Stop } from './roles/services.ts'
import { startSchedulerRole } from './roles/scheduler.ts'
import { makeWebServer, stopWeb } from './roles/web.ts'
import { startWorkerRole } from './roles/worker.ts'

export const roles = ['web', 'worker', 'scheduler'] as const
export type Role = (typeof roles)[number]

export interface StartOptions extends ServicesOptions {
  readonly roles: readonly Role[]
  /** The prefix of our keys on a Redis that others use too. */
  readonly queuePrefix?: string
  /** Replaces the configured port; 0 for any free port. */
  readonly port?: number
}

export interface Reconsent {
  /** The address where this process listens: pages and API with the role `web`, health and metrics with every role. */
  readonly url: string
  /**
   * Makes the process unready, takes no new work, then finishes the running work or abandons it. Ends within
   * `timing.stopWithin`, even if a part hangs. Resolves to true when all work had ended. A second call waits for the
   * same stop.
   */
  stop(): Promise<boolean>
}

/** How long the start waits for the first check of the queue. An unavailable queue does not prevent the start. */
const FIRST_TRY_WITHIN_MS = 3_000

/** Rejects when a part does not start; the parts that had started by then are stopped. */
export const startReconsent = async (options: StartOptions): Promise<Reconsent> => {
  const { config, roles: wanted, port = config.web.port } = options
  // The roles stop at the same time; the parts that they use are closed after them, the last opened first.
  const running: Stop[] = []
  const dependencies: Stop[] = []
  const stopAll = async (): Promise<boolean> => {
    const end = performance.now() + config.timing.stopWithin.toMillis()
    const stopInTime = async (stop: Stop): Promise<boolean> => endsWithin(Math.max(0, end - performance.now()), stop())
    const ended = await Promise.all(running.map(stopInTime))
    for (const close of dependencies.toReversed()) ended.push(await stopInTime(close))
    return ended.every(Boolean)
  }
  let stopped: Promise<boolean> | undefined
  const stop = async (): Promise<boolean> => (stopped ??= stopAll())
  try {
    const backend = await openBackend(config.queue, queueOptions(options))
    dependencies.push(async () => backend.close().then(() => true))
    const services = makeServices(options, backend)
    dependencies.push(services.close)
    const watch = watchQueue({ backend, log: services.log, onTried: services.metrics.recordQueue })
    dependencies.push(async () => (watch.stop(), true))
    const isWeb = wanted.includes('web')
    const health = healthDeps(services, watch, { isWeb })
    const server = await (isWeb ? makeWebServer(services, health) : makeHealthServer(health))
    dependencies.push(async () => server.close().then(() => true))
    if (wanted.includes('worker')) {
      if (config.channels === undefined)
        throw new TypeError('the role worker needs the section channels of the configuration')
      running.push(startWorkerRole(services, config.channels))
    }
    if (wanted.includes('scheduler')) running.push(startSchedulerRole(services))
    // Listens only after the queue's first check, so that an early `/readyz` reports its result.
    await settlesWithin(FIRST_TRY_WITHIN_MS, watch.first)
    const url = await server.listen({ host: config.web.host, port })
    // Without pages, no user waits at the listener: it stays open, and reports how the stop goes, until the work has
    // ended.
    running.push(isWeb ? stopWeb(server, services) : async () => setUnready(server))
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const setUnready = (server: Pick<HttpServer, 'setUnready'>): true => {
  server.setUnready()
  return true
}

const queueOptions = ({ config, log, queuePrefix }: StartOptions): Parameters<typeof openBackend>[1] => {
  return { log, plans: plansFor(config.timing), ...(queuePrefix === undefined ? {} : { prefix: queuePrefix }) }
}

/** What `work` resolves to; false when it fails or takes longer than `ms`. */
const endsWithin = async (ms: number, work: Promise<boolean>): Promise<boolean> => {
  const answer = work.catch(() => false)
  return (await settlesWithin(ms, answer)) && answer
}
