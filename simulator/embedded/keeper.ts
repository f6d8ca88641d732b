// A process of its own that outlives the one which started a server, by moments: when that one is gone, however it went
// (SIGKILL, a crash, process.exit), it ends the server and removes its folder. Started by keep.ts alone; its end of
// stdin is all that it lives for.
import { existsSync, rmSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'

const ENDS_WITHIN_MS = 6_000
const LOOKS_EVERY_MS = 20

const [folder = ''] = process.argv.slice(2)

// Its end comes with its starter's, and with nothing else.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

/** Whether it is there to be signalled, a dead one that nobody has waited for included. */
const signalled = (pid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/**
 * By PostgreSQL's immediate shutdown (SIGQUIT), which leaves no process and no shared memory behind; by force if it
 * does not end.
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

/** The last line is the process that runs now; an empty one says that none does. */
let told = ''
try {
  for await (const chunk of process.stdin.setEncoding('utf8')) told = `${told}${String(chunk)}`.slice(-64)
} catch {
  // The other end is gone without a word: just what is waited for.
}
const pid = Number(told.split('\n').at(-2))
if (pid > 0) await end(pid)
if (existsSync(folder)) rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
