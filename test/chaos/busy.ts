// Processes that do nothing but use up the processors beside a run, as on a machine that others use too.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export interface Busy {
  readonly pids: readonly number[]
  stop(): Promise<void>
}

/** They also end when this process ends, however it does. */
export const startBusy = (count: number): Busy => {
  const processes = Array.from({ length: count }, () =>
    fork(join(import.meta.dirname, 'burner.ts'), { stdio: 'ignore' }),
  )
  return {
    pids: processes.flatMap(({ pid }) => pid ?? []),
    stop: async () => void (await Promise.all(processes.map(end))),
  }
}

const end = async (one: ChildProcess): Promise<void> => {
  if (one.exitCode !== null || one.signalCode !== null) return
  const gone = once(one, 'exit')
  one.kill('SIGKILL')
  await gone
}
