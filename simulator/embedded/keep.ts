// Makes sure that a server and its folder do not outlive this process. A separate process does this (keeper.ts) rather
// than an exit hook in this one, which could change the exit code and would not run after SIGKILL.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

const KEEPER = fileURLToPath(new URL('keeper.ts', import.meta.url))

export interface Keeper {
  /** From now on, the keeper ends this server when this process has ended. */
  watch(server: ChildProcess): void
  /** Call this once the server has ended and the folder is removed. */
  release(): void
}

/**
 * Starts a keeper, which removes the folder when this process has ended, and first ends the server watched at that
 * time.
 */
export const keepFolder = (folder: string): Keeper => {
  // The keeper gets its own session: a signal to the terminal's or the test runner's whole process group must not end
  // the process that cleans up after it.
  const keeper = spawn(process.execPath, [KEEPER, folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  // In Node, a pipe is a socket; Node's types do not say so.
  const line = keeper.stdin as Socket
  for (const part of [keeper, line]) {
    part.on('error', () => undefined)
    part.unref()
  }
  const tell = (text: string): void => void line.write(`${text}\n`)
  return {
    watch: (server) => {
      tell(String(server.pid ?? ''))
      // The system may give a free process id to any other process.
      server.once('exit', () => tell(''))
    },
    release: () => void line.end(),
  }
}
