// One real Reconsent process with one armed crash point: the process is killed there, throws there, or hangs past its
// lease and goes on.
import { setTimeout as wait } from 'node:timers/promises'
import { movableClock } from '../../simulator/src/clock.ts'
import { loadConfig } from '../../src/config.ts'
import { armCrashPoints } from '../../src/crash-point.ts'
import { makeLog } from '../../src/log.ts'
import { startReconsent } from '../../src/main.ts'
import { dieAround, type StrikeAt } from './die-around.ts'
import type { ChildOrder, FromChild, ToChild } from './order.ts'
import { crashPoints, isKnown } from './points.ts'

/** Longer than the lease of 2 s. */
const HANGS_MS = 3_000
/** Within this time the late effects happen: a mail that leaves after its lease, a write that is refused. */
const LATE_MS = 500

const tell = (message: FromChild): void => void process.send?.(message)
const clock = movableClock()
let goOn = (): void => undefined

const strikeOf = ({ point, nth, mode, waitAt }: ChildOrder): StrikeAt => {
  const places: readonly string[] = crashPoints[point].at
  const told = new Set<string>()
  let visits = 0
  let waits: readonly string[] = waitAt === undefined ? [] : crashPoints[waitAt].at
  return async (place) => {
    if (!isKnown(place) && !told.has(place)) {
      told.add(place)
      tell({ kind: 'unknown-place', place })
    }
    if (waits.includes(place)) {
      waits = []
      tell({ kind: 'waiting' })
      await new Promise<void>((resolve) => {
        goOn = resolve
      })
    }
    if (!places.includes(place)) return
    visits += 1
    if (visits !== nth) return
    // Killed before anything else of this process can run: its end tells the run that the point was reached.
    if (mode === 'killed') process.kill(process.pid, 'SIGKILL')
    tell({ kind: 'reached' })
    if (mode === 'thrown') throw new Error(`crash point ${point}`)
    await wait(HANGS_MS)
    void wait(LATE_MS).then(() => tell({ kind: 'woke' }))
  }
}

const start = async (order: ChildOrder): Promise<void> => {
  clock.advance(order.offsetMs)
  const strike = strikeOf(order)
  armCrashPoints(strike)
  const needs = ['database', 'queue', 'provider', 'keys', 'web', 'channels'] as const
  const config = await loadConfig({ cwd: process.cwd(), needs, env: order.env, policy: order.policy })
  const log = makeLog({ level: config.logLevel, pretty: false })
  const { roles, queuePrefix, port } = order
  await startReconsent({ config, roles, log, clock, queuePrefix, port, wrap: dieAround(strike) })
  tell({ kind: 'ready' })
}

process.on('message', (message: ToChild) => {
  if (message.kind === 'go-on') goOn()
  else if (message.kind === 'advance') clock.advance(message.ms)
  else start(message.order).catch((error: unknown) => tell({ kind: 'failed', why: String(error) }))
})
// The run is gone, so nobody would ever stop this process.
process.once('disconnect', () => process.exit(0))
tell({ kind: 'awake' })
