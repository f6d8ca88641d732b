// A free port for a server that a test starts later, and may start again.
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const isFree = async (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })

/** Avoids the ports that the system itself assigns: another program might have taken the port by then. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = randomInt(10_240, 32_768)
    if (await isFree(port)) return port
  }
}
