// Starts and ends the process of a side, and keeps what it says.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Side } from './sides.ts'
import { type FromSide, ORDER, type Order, type ToSide } from './sides/order.ts'

export interface SideProcess {
  readonly pid: number
  /** Resolves when the process says that it is ready. Rejects when it ends before. */
  readonly ready: Promise<void>
  /** How the process has ended, if it has: nothing but a stop should end it. */
  ended(): string | undefined
  tellDue(): void
  /** Ends the process: by SIGTERM, after a while by SIGKILL. */
  stop(): Promise<void>
  /** The last lines of its output. */
  log(): Promise<string>
}

/** The side did not do its work. The message ends with the last lines of its log. */
export class SideFailed extends Error {
  override readonly name = 'SideFailed'
}

const ENDS_WITHIN_MS = 40_000
const SHOWN_LINES = 100

/**
 * Its output goes to the file, as that of a service goes to a log. The process writes it itself, so that all of it is
 * there when the process has ended.
 */
export const startSideProcess = (
  { entry, args }: Pick<Side, 'entry' | 'args'>,
  order: Order,
  logFile: string,
): SideProcess => {
  const log = openSync(logFile, 'w')
  const child: ChildProcess = fork(entry, [...args], {
    env: { PATH: process.env['PATH'], [ORDER]: JSON.stringify(order) },
    // The bench's own options, such as a profiler, are not for the sides.
    execArgv: [],
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  let how: string | undefined
  const exited = once(child, 'exit').then(([code, signal]) => {
    how = `ended with ${String(code ?? signal)}`
  })
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', ({ kind }: FromSide) => {
      if (kind === 'ready') resolve()
    })
    void exited.then(() => reject(new Error(`the process ${how}`)))
  })
  return {
    pid: child.pid ?? 0,
    ready,
    ended: () => how,
    tellDue: () => void child.send({ kind: 'due' } satisfies ToSide),
    stop: async () => {
      child.kill('SIGTERM')
      const deadline = setTimeout(() => child.kill('SIGKILL'), ENDS_WITHIN_MS)
      await exited
      clearTimeout(deadline)
    },
    log: async () => (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-SHOWN_LINES).join('\n'),
  }
}
