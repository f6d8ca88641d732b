// One real Reconsent process with one crash point armed: it dies there, throws there, or hangs past its lease and goes
// on.
import { setTimeout as wait } from 'node:timers/promises'
import { movableClock } from '../../simulator/src/clock.ts'
import { loadConfig } from '../../src/config.ts'
import { armCrashPoints } from '../../src/crash-point.ts'
import { makeLog } from '../../src/log.ts'
import { startReconsent } from '../../src/main.ts'
import type { ChildOrder, FromChild, ToChild } from './order.ts'

/** Longer than the lease of 2 s. */
const HANGS_MS = 3_000
/** What is done late has happened by then: a mail that leaves after its lease, a write that is refused. */
const LATE_MS = 500

const tell = (message: FromChild): void => void process.send?.(message)
const clock = movableClock()
let goOn = (): void => undefined

const arm = ({ point, nth, mode, waitAt }: ChildOrder): void => {
  let visits = 0
  let waitsAt = waitAt
  armCrashPoints(async (name) => {
    if (name === waitsAt) {
      waitsAt = undefined
      tell({ kind: 'waiting' })
      await new Promise<void>((resolve) => {
        goOn = resolve
      })
    }
    if (name !== point) return
    visits += 1
    if (visits !== nth) return
    // Before anything else of this process can run: its end tells the run that it was here.
    if (mode === 'killed') process.kill(process.pid, 'SIGKILL')
    tell({ kind: 'reached' })
    if (mode === 'thrown') throw new Error(`crash point ${name}`)
    await wait(HANGS_MS)
    void wait(LATE_MS).then(() => tell({ kind: 'woke' }))
  })
}

const start = async (order: ChildOrder): Promise<void> => {
  clock.advance(order.offsetMs)
  arm(order)
  const needs = ['database', 'queue', 'provider', 'keys', 'web', 'mail'] as const
  const config = await loadConfig({ cwd: process.cwd(), needs, env: order.env, policy: order.policy })
  const log = makeLog({ level: config.logLevel, pretty: false })
  await startReconsent({ config, roles: order.roles, log, clock, queuePrefix: order.queuePrefix, port: order.port })
  tell({ kind: 'ready' })
}

process.on('message', (message: ToChild) => {
  if (message.kind === 'go-on') goOn()
  else if (message.kind === 'advance') clock.advance(message.ms)
  else start(message.order).catch((error: unknown) => tell({ kind: 'failed', why: String(error) }))
})
// The run is gone: nobody will ever stop us.
process.once('disconnect', () => process.exit(0))
tell({ kind: 'awake' })
