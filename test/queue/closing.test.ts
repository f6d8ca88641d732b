// Closing while Redis is out of reach: what happens to the connections afterwards must not reach the process's output.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../../chaos/fault-proxy.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { startWorkers } from '../../src/queue/runner.ts'
import { Secret } from '../../src/secret.ts'
import { type OwnRedis, startOwnRedis } from '../setup/redis.ts'
import { aLog, aPrefix } from './setup.ts'

let redis: OwnRedis
let proxy: FaultProxy
beforeAll(async () => {
  redis = await startOwnRedis()
  proxy = await startFaultProxy({ targets: () => [Number(new URL(redis.url).port)] })
})
afterAll(async () => {
  await proxy.close()
  await redis.stop()
})

test('a connection that is reset after it was closed prints nothing', async () => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => undefined)
  const backend = await openBackend({ kind: 'redis', url: new Secret(`redis://127.0.0.1:${proxy.port}`) }, { log: aLog().log, prefix: aPrefix() })
  const workers = startWorkers({
    backend, handlers: { reauth: async () => ({ kind: 'done', what: 'nothing' }) }, timings: { stopDeadline: 300, settle: 100 },
  })
  await workers.ready
  await backend.queue('reauth').waitUntilReady()
  await proxy.set({ kind: 'blackhole' })
  await workers.close()
  await backend.close()
  proxy.cut()
  await proxy.set({ kind: 'pass' })
  // Each time one comes back it has noticed that the last connection was reset.
  for (let time = 0; time < 3; time += 1) {
    await vi.waitFor(() => expect(proxy.open()).toBeGreaterThan(0), { timeout: 10_000 })
    proxy.cut()
  }
  expect(printed.mock.calls.flat().map(String).filter((line) => line.includes('Unhandled error event'))).toEqual([])
  printed.mockRestore()
})
