// One real Reconsent process of the chaos run: the composition root with a clock that follows the run's. Stops on SIGTERM as `start` does.
import { loadConfig } from '../src/config.ts'
import type { PolicyInput } from '../src/config/define-config.ts'
import { makeLog } from '../src/log.ts'
import { type Role, startReconsent } from '../src/main.ts'
import { checkCron } from '../src/queue/cron.ts'
import { followClock } from './shared-clock.ts'

export interface ChildOrder {
  readonly roles: readonly Role[]
  readonly env: Readonly<Record<string, string>>
  readonly policy: PolicyInput
  readonly clockFile: string
  readonly queuePrefix: string
}

/** What a process says of itself when asked; after a collection, if the run was started so that it can ask for one. */
export interface Sample {
  readonly heapBytes: number
  readonly rssBytes: number
  readonly handles: number
}

export type FromChild = { readonly kind: 'ready'; readonly url: string } | { readonly kind: 'sample'; readonly sample: Sample }
export type ToChild = { readonly kind: 'sample' }

const tell = (message: FromChild): void => void process.send?.(message)

const sample = (): Sample => {
  // Twice: what the first collection finalises, the second takes.
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, rss } = process.memoryUsage()
  return { heapBytes: heapUsed, rssBytes: rss, handles: process.getActiveResourcesInfo().filter((name) => name !== 'Timeout' && name !== 'Immediate').length }
}

const order = JSON.parse(process.env['CHAOS_ORDER'] ?? '{}') as ChildOrder
const config = await loadConfig({
  cwd: process.cwd(),
  needs: ['database', 'queue', 'provider', 'keys', 'web', 'mail'],
  env: order.env,
  policy: order.policy,
  checkCron,
})
const log = makeLog({ level: config.logLevel, pretty: false })
const { roles, queuePrefix } = order
const reconsent = await startReconsent({ config, roles, log, clock: followClock(order.clockFile), queuePrefix, port: 0 })

process.once('SIGTERM', () => {
  void reconsent.stop().then(
    (inTime) => process.exit(inTime ? 0 : 3),
    () => process.exit(4),
  )
})
// The run is gone: nobody will ever stop us.
process.once('disconnect', () => process.exit(0))
process.on('message', (message: ToChild) => {
  if (message.kind === 'sample') tell({ kind: 'sample', sample: sample() })
})
tell({ kind: 'ready', url: reconsent.url })
