// Starts the armed processes and reports what became of them. One process is always warmed up in advance, because
// loading the program takes longer than most runs.
import { type ChildProcess, fork } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChildOrder, FromChild, ToChild } from './order.ts'

export interface Armed {
  /** Resolves when the process has started, or at once if it is struck before that; rejects when it could not start. */
  readonly ready: Promise<void>
  /** Resolves when the process is at its crash point, dead or alive; rejects when it ends in another way. */
  readonly reached: Promise<void>
  /** Resolves when the process goes on after having hung, or when it will not hang any more. */
  readonly woke: Promise<void>
  /** Resolves when the process waits for what the run does meanwhile. */
  readonly waits: Promise<void>
  send(message: ToChild): void
  isAlive(): boolean
  end(): Promise<void>
}

const CHILD = join(import.meta.dirname, 'child.ts')
/** The log of a struck process is shown only on request: its errors are expected. */
const stdio = process.env['CRASH_LOG'] === undefined ? 'ignore' : 'inherit'

/**
 * A cache that lets the program be compiled once instead of some two hundred times: compiling is half of a start's
 * cost.
 */
const compiled = join(tmpdir(), 'reconsent-crash-compiled')

const spawn = (): ChildProcess =>
  fork(CHILD, {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', stdio, stdio, 'ipc'],
    env: { ...process.env, NODE_COMPILE_CACHE: compiled },
  })

const warm: ChildProcess[] = []
const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

/** Starts processes until `count` of them have loaded the program or are loading it. */
export const warmUp = (count: number): void => {
  while (warm.length < count) {
    const child = spawn()
    living.add(child)
    child.once('exit', () => living.delete(child))
    warm.push(child)
  }
}

/** Ends the processes that were warmed up and are not needed any more. */
export const coolDown = (): void => {
  for (const child of warm.splice(0)) child.kill('SIGKILL')
}

export const startArmed = (order: ChildOrder, onUnknownPlace: (place: string) => void): Armed => {
  warmUp(1)
  const child = warm.shift()
  if (child === undefined) throw new Error('no process was warmed up')
  const ready = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const woke = Promise.withResolvers<void>()
  const waits = Promise.withResolvers<void>()
  for (const { promise } of [ready, reached, woke, waits]) promise.catch(() => undefined)
  let ending = false

  child.on('message', (message: FromChild) => {
    if (message.kind === 'failed') {
      ready.reject(new Error(`the armed process could not start: ${message.why}`))
      reached.reject(new Error(`the armed process could not start: ${message.why}`))
    } else if (message.kind === 'unknown-place') onUnknownPlace(message.place)
    else if (message.kind === 'ready') ready.resolve()
    else if (message.kind === 'waiting') waits.resolve()
    else if (message.kind === 'reached') {
      reached.resolve()
      if (order.mode !== 'hung') woke.resolve()
    } else if (message.kind === 'woke') woke.resolve()
  })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      if (signal === 'SIGKILL' && !ending && order.mode === 'killed') reached.resolve()
      else reached.reject(new Error(`the armed process ended with ${signal ?? code} before it was at its crash point`))
      if (!ending && order.mode !== 'killed') woke.reject(new Error(`the armed process ended with ${signal ?? code}`))
      woke.resolve()
      ready.resolve()
      resolve()
    })
  })
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null
  const send = (message: ToChild): void => {
    if (isAlive() && child.connected) child.send(message, () => undefined)
  }
  send({ kind: 'start', order })
  return {
    ready: ready.promise,
    reached: reached.promise,
    woke: woke.promise,
    waits: waits.promise,
    send,
    isAlive,
    end: async () => {
      ending = true
      child.kill('SIGKILL')
      await exited
    },
  }
}
