// For machines: does the process turn, should it get traffic, and its numbers. On the same port as everything else:
// what faces the internet should let only the paths of users and of the API through.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { FastifyInstance } from 'fastify'
import type { Log } from '../../log.ts'
import type { Metrics } from '../../metrics.ts'
import { within } from '../within.ts'

export interface Readiness {
  readonly ok: boolean
  /** For operators, shown to whoever asks: no address, no secret. */
  readonly detail: string
  /** What does not work although the process should get traffic. */
  readonly degraded?: 'queue' | undefined
  /** The last try of the queue, made in the background: asking here writes nothing. */
  readonly queue?:
    | { readonly ok: boolean; readonly answer?: string | undefined; readonly checked_seconds_ago: number }
    | undefined
}

export interface HealthDeps {
  /** Whether the database answers and has the schema that this release needs, and for some roles the queue. */
  readonly checkReady: () => Promise<Readiness>
  readonly metrics: Pick<Metrics, 'registry'>
  readonly log: Log
}

export interface HealthTimes {
  /** Half of the turns of the event loop since the last look later than this: the process hangs more than it works. */
  readonly maxLagMs: number
  readonly readyWithinMs: number
}

/** One answer of the database does for everybody who asks within this time. */
const READY_LASTS_MS = 1_000
const LOOK_BACK_MS = 10_000
const RESOLUTION_MS = 20

/** The median lateness of the event loop's turns, in ms: one long pause that is over says nothing about now. */
const watchLoop = (): { lagMs(): number; stop(): void } => {
  const turns = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  turns.enable()
  let since = performance.now()
  return {
    lagMs: () => {
      // A turn that is on time counts with its resolution.
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

/** Answers the function after which `/readyz` says 503 for good. */
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
