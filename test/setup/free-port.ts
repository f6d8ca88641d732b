// A port for a server that is started later, and again.
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const isFree = async (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })

/** None of those that the system itself gives out: another would have it by then. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = randomInt(10_240, 32_768)
    if (await isFree(port)) return port
  }
}
