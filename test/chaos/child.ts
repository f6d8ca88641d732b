// One real Reconsent process of the chaos run: the composition root with a clock that follows the run's. Stops on
// SIGTERM as `start` does.
import { flushCompileCache } from 'node:module'
import { untilStopped } from '../../src/commands/until-stopped.ts'
import { loadConfig } from '../../src/config.ts'
import type { PolicyInput } from '../../src/config/define-config.ts'
import { makeLog } from '../../src/log.ts'
import { type Role, startReconsent } from '../../src/main.ts'
import { checkCron } from '../../src/queue/cron.ts'
import { ENDED, LET_GO, STOP_FAILED } from './exit-codes.ts'
import { followClock } from './shared-clock.ts'
import { writerName } from './writer-name.ts'

export interface ChildOrder {
  readonly seat: string
  readonly roles: readonly Role[]
  readonly env: Readonly<Record<string, string>>
  readonly policy: PolicyInput
  readonly clockFile: string
  readonly queuePrefix: string
}

/** What a process says of itself when asked; after a collection, if the run was started so that it can ask for one. */
export interface Sample {
  readonly heapBytes: number
  /** What V8 holds outside of its heap, array buffers included. */
  readonly bufferBytes: number
  /** What the system counts, which the allocator gives back at its leisure: shown, not judged. */
  readonly rssBytes: number
  readonly handles: number
}

export type FromChild =
  | { readonly kind: 'ready'; readonly url: string }
  | { readonly kind: 'sample'; readonly sample: Sample }
export type ToChild = { readonly kind: 'sample' }

const tell = (message: FromChild): void => void process.send?.(message)

const sample = (): Sample => {
  // Twice: what the first collection finalises, the second takes.
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  return {
    heapBytes: heapUsed,
    bufferBytes: external,
    rssBytes: rss,
    handles: process.getActiveResourcesInfo().filter((name) => name !== 'Timeout' && name !== 'Immediate').length,
  }
}

/** As `start` has it: what was let go must not keep the process alive. */
const LETS_GO_AFTER_MS = 500

const stopped = untilStopped()
const order = JSON.parse(process.env['CHAOS_ORDER'] ?? '{}') as ChildOrder

/** Known to the database by seat and process: writes of two that sat in the same seat can be told apart. */
const named = (url: string): string => {
  const known = new URL(url)
  known.searchParams.set('application_name', writerName(order.seat, process.pid))
  return known.href
}
const config = await loadConfig({
  cwd: process.cwd(),
  needs: ['database', 'queue', 'provider', 'keys', 'web', 'mail'],
  env: { ...order.env, DATABASE_URL: named(order.env['DATABASE_URL'] ?? '') },
  policy: order.policy,
  checkCron,
})
const log = makeLog({ level: config.logLevel, pretty: false })
const { roles, queuePrefix } = order
const reconsent = await startReconsent({
  config,
  roles,
  log,
  clock: followClock(order.clockFile),
  queuePrefix,
  port: 0,
})

// The run is gone: nobody will ever stop us.
const onDisconnect = (): void => process.exit(ENDED)
process.once('disconnect', onDisconnect)
process.on('message', (message: ToChild) => {
  if (message.kind === 'sample') tell({ kind: 'sample', sample: sample() })
})
// Written now: else the first to end would do it when they are told to stop, and six at once take seconds over it.
flushCompileCache()
tell({ kind: 'ready', url: reconsent.url })

await stopped
process.exitCode = await reconsent.stop().then(
  (inTime) => (inTime ? ENDED : LET_GO),
  () => STOP_FAILED,
)
process.off('disconnect', onDisconnect)
process.disconnect()
setTimeout(() => process.exit(), LETS_GO_AFTER_MS).unref()
