// Sees to it that a server and its folder do not outlive this process: by a process beside it (keeper.ts), and by no
// hook in this one, where a hook would have a say in the exit code and none under SIGKILL.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

const KEEPER = fileURLToPath(new URL('keeper.ts', import.meta.url))

export interface Keeper {
  /** From now on this server is ended when this process is gone. */
  watch(server: ChildProcess): void
  /** To be called once the server has ended and the folder is removed. */
  release(): void
}

/** Removes the folder when this process is gone, and ends the server that is watched then. */
export const keepFolder = (folder: string): Keeper => {
  // A session of its own: what ends the terminal's or the runner's whole process group must not end the one that tidies
  // up after it.
  const keeper = spawn(process.execPath, [KEEPER, folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  // A pipe is a socket to Node, which its types do not say.
  const line = keeper.stdin as Socket
  for (const part of [keeper, line]) {
    part.on('error', () => undefined)
    part.unref()
  }
  const tell = (text: string): void => void line.write(`${text}\n`)
  return {
    watch: (server) => {
      tell(String(server.pid ?? ''))
      // A number that is free again may be given to anybody.
      server.once('exit', () => tell(''))
    },
    release: () => void line.end(),
  }
}
