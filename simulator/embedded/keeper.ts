// A separate process that briefly outlives the process which started a server. However that process ends (SIGKILL, a
// crash, process.exit), the keeper then ends the server and removes its folder. Only keep.ts starts it; it runs until
// its stdin closes.
import { existsSync, rmSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'

const ENDS_WITHIN_MS = 6_000
const LOOKS_EVERY_MS = 20

const [folder = ''] = process.argv.slice(2)

// The keeper ends only after the process that started it; signals must not end it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

/**
 * Sends the signal; returns whether the process exists. A zombie process, which its parent has not waited for, counts
 * too.
 */
const signalled = (pid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/**
 * Ends the server by PostgreSQL's immediate shutdown (SIGQUIT), which leaves no process and no shared memory behind, or
 * by SIGKILL if it does not end in time.
 */
const end = async (pid: number): Promise<void> => {
  if (!signalled(pid, 'SIGQUIT')) return
  const until = Date.now() + ENDS_WITHIN_MS
  while (signalled(pid, 0)) {
    if (Date.now() > until) {
      signalled(pid, 'SIGKILL')
      return
    }
    await wait(LOOKS_EVERY_MS)
  }
}

/** The input from keep.ts: its last line is the id of the running server, or empty when none runs. */
let told = ''
try {
  for await (const chunk of process.stdin.setEncoding('utf8')) told = `${told}${String(chunk)}`.slice(-64)
} catch {
  // The other end closed with an error, which also means that the process has ended.
}
const pid = Number(told.split('\n').at(-2))
if (pid > 0) await end(pid)
if (existsSync(folder)) rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
