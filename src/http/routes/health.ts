// For machines: whether the process is alive, whether it should get traffic, and its metrics. The routes use the same
// port as all others: a proxy that faces the internet should pass on only the paths of users and of the API.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { FastifyInstance } from 'fastify'
import type { Log } from '../../log.ts'
import type { Metrics } from '../../metrics.ts'
import { within } from '../within.ts'

export interface Readiness {
  readonly ok: boolean
  /** For operators, but shown to every caller: no address, no secret. */
  readonly detail: string
  /** The part that does not work although the process should get traffic. */
  readonly degraded?: 'queue' | undefined
  /** The last check of the queue, made in the background: a request to `/readyz` writes nothing to the queue. */
  readonly queue?:
    | { readonly ok: boolean; readonly answer?: string | undefined; readonly checked_seconds_ago: number }
    | undefined
}

export interface HealthDeps {
  /**
   * Whether the database answers and has the schema that this release needs and, for some roles, whether the queue
   * works.
   */
  readonly checkReady: () => Promise<Readiness>
  readonly metrics: Pick<Metrics, 'registry'>
  readonly log: Log
}

export interface HealthTimes {
  /** If the median delay of the event loop's turns is longer than this, the process hangs more than it works. */
  readonly maxLagMs: number
  readonly readyWithinMs: number
}

/** One answer of the database serves every request within this time. */
const READY_LASTS_MS = 1_000
const LOOK_BACK_MS = 10_000
/** Each look wakes the process, also one that rests. Two a second find a loop that is late by seconds as well. */
const RESOLUTION_MS = 500

/** The median delay of the event loop's turns, in ms: one long pause in the past does not count as hanging now. */
const watchLoop = (): { lagMs(): number; stop(): void } => {
  const turns = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  turns.enable()
  let since = performance.now()
  return {
    lagMs: () => {
      // A turn that is on time is recorded with the resolution as its delay.
      const lag = turns.count === 0 ? 0 : Math.max(0, turns.percentile(50) / 1e6 - RESOLUTION_MS)
      if (performance.now() - since > LOOK_BACK_MS) {
        turns.reset()
        since = performance.now()
      }
      return lag
    },
    stop: () => turns.disable(),
  }
}

/** Returns the function that makes `/readyz` answer 503 for good. */
export const registerHealth = (
  app: FastifyInstance,
  deps: HealthDeps & { readonly times: HealthTimes },
): (() => void) => {
  const { times, log, metrics } = deps
  const loop = watchLoop()
  app.addHook('onClose', async () => loop.stop())
  let stopping = false
  let latest: { readonly at: number; readonly answer: Promise<Readiness> } | undefined

  const ask = async (): Promise<Readiness> => {
    try {
      return await within(times.readyWithinMs, deps.checkReady(), () => ({
        ok: false,
        detail: 'the check took too long',
      }))
    } catch (error) {
      log.warn({ err: error instanceof Error ? error : new Error('not an error') }, 'the check for readiness failed')
      return { ok: false, detail: 'the check failed: the log says why' }
    }
  }
  const ready = async (): Promise<Readiness> => {
    if (stopping) return { ok: false, detail: 'stopping' }
    const now = performance.now()
    if (latest === undefined || now - latest.at > READY_LASTS_MS) latest = { at: now, answer: ask() }
    const answer = await latest.answer
    return stopping ? { ok: false, detail: 'stopping' } : answer
  }

  app.get('/livez', async (_request, reply) => {
    const lagMs = Math.round(loop.lagMs())
    const live = lagMs <= times.maxLagMs
    return reply.code(live ? 200 : 503).send({ status: live ? 'live' : 'hanging', event_loop_lag_ms: lagMs })
  })
  app.get('/readyz', async (_request, reply) => {
    const { ok, detail, degraded, queue } = await ready()
    return reply.code(ok ? 200 : 503).send({ status: ok ? 'ready' : 'unready', detail, degraded, queue })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
  return () => {
    stopping = true
  }
}
