// One real Reconsent process of the chaos run: the composition root with a clock that follows the run's clock. Stops on
// SIGTERM as `start` does.
import { flushCompileCache } from 'node:module'
import { untilStopped } from '../../src/commands/signals.ts'
import { loadConfig } from '../../src/config.ts'
import type { PolicyInput } from '../../src/config/define-config.ts'
import { makeLog } from '../../src/log.ts'
import { type Role, startReconsent } from '../../src/main.ts'
import { ENDED, LET_GO, STOP_FAILED } from './exit-codes.ts'
import { followClock } from './shared-clock.ts'
import { fieldsOf, STALL_MESSAGE, watchStalls } from './stalls.ts'
import { writerName } from './writer-name.ts'

export interface ChildOrder {
  readonly seat: string
  readonly roles: readonly Role[]
  readonly env: Readonly<Record<string, string>>
  readonly policy: PolicyInput
  readonly clockFile: string
  readonly queuePrefix: string
}

/**
 * What a process reports of itself when the run asks; after a garbage collection, if Node allows the process to start
 * one.
 */
export interface Sample {
  readonly heapBytes: number
  /** The memory that V8 holds outside of its heap, array buffers included. */
  readonly bufferBytes: number
  /** The memory that the system counts; the allocator returns it late, so the run shows it but does not judge it. */
  readonly rssBytes: number
  readonly handles: number
}

export type FromChild =
  | { readonly kind: 'ready'; readonly url: string }
  | { readonly kind: 'sample'; readonly sample: Sample }
export type ToChild = { readonly kind: 'sample' }

const tell = (message: FromChild): void => void process.send?.(message)

const sample = (): Sample => {
  // Two collections: the second frees what the first has finalised.
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

/** As in `start`: what the stop abandoned must not keep the process alive. */
const LETS_GO_AFTER_MS = 500

const stopped = untilStopped()
const order = JSON.parse(process.env['CHAOS_ORDER'] ?? '{}') as ChildOrder

/**
 * The database knows the process by seat and process id, so that writes of two processes of the same seat can be told
 * apart.
 */
const named = (url: string): string => {
  const known = new URL(url)
  known.searchParams.set('application_name', writerName(order.seat, process.pid))
  return known.href
}
const config = await loadConfig({
  cwd: process.cwd(),
  needs: ['database', 'queue', 'provider', 'keys', 'web', 'channels'],
  env: { ...order.env, DATABASE_URL: named(order.env['DATABASE_URL'] ?? '') },
  policy: order.policy,
})
const log = makeLog({ level: config.logLevel, pretty: false })
watchStalls((stall) => log.warn(fieldsOf(stall), STALL_MESSAGE))
const { roles, queuePrefix } = order
const reconsent = await startReconsent({
  config,
  roles,
  log,
  clock: followClock(order.clockFile),
  queuePrefix,
  port: 0,
})

// The run has ended: nobody will stop this process any more.
const onDisconnect = (): void => process.exit(ENDED)
process.once('disconnect', onDisconnect)
process.on('message', (message: ToChild) => {
  if (message.kind === 'sample') tell({ kind: 'sample', sample: sample() })
})
// Written now: otherwise each process would write the cache during its stop, and six at once take seconds for that.
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
