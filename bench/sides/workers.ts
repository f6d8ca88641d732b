// The side `workers-N`: Reconsent as several processes, of which N have the role `worker` and do one job of each kind
// at a time; this process has the other roles.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { makeLog } from '../../src/log.ts'
import { type Role, startReconsent } from '../../src/main.ts'
import { runSide } from './order.ts'
import { configFor } from './reconsent-config.ts'

const WORKER = 'worker'
const [what = WORKER] = process.argv.slice(2)

const startWorkers = async (count: number): Promise<() => Promise<unknown>> => {
  const workers = Array.from({ length: count }, () => fork(import.meta.filename, [WORKER], { execArgv: [] }))
  await Promise.all(workers.map(async (worker) => once(worker, 'message')))
  for (const worker of workers) worker.once('exit', (code) => (process.exitCode = code ?? 1))
  return async () =>
    Promise.all(
      workers.map(async (worker) => {
        const ended = once(worker, 'exit')
        worker.kill('SIGTERM')
        await ended
      }),
    )
}

await runSide(async (order) => {
  const config = await configFor(order, { concurrency: 1 })
  const log = makeLog({ level: config.logLevel })
  const isWorker = what === WORKER
  const roles: readonly Role[] = isWorker ? ['worker'] : ['web', 'scheduler']
  const { stop } = await startReconsent({ config, roles, log, ...(isWorker ? { port: 0 } : {}) })
  const stopWorkers = isWorker ? undefined : await startWorkers(Number(what))
  return {
    stop: async () => {
      await stopWorkers?.()
      await stop()
    },
  }
})
