// A Redis that changes under open connections: the workers and the producers must notice by its answers and find the right server.
import { writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../../chaos/fault-proxy.ts'
import { loadConfig } from '../../src/config.ts'
import { done } from '../../src/processors/outcome.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { makeSweepSchedule } from '../../src/queue/schedule.ts'
import { makeWorkQueue } from '../../src/queue/work-queue.ts'
import { Secret } from '../../src/secret.ts'
import { startRedisServer } from '../setup/redis.ts'
import { type Pair, startPair, startSentinels } from '../setup/redis-topologies.ts'
import { aBackend, aGate, aLog, anId, aPrefix, eventually, fastPlans, jobIn, workersOn } from './setup.ts'

/** The next jobs are taken and done; what fails meanwhile, the next sweep would hand out again. */
const worksAgain = async ({ work, runs }: { work: ReturnType<typeof makeWorkQueue>; runs: string[] }, withinMs: number): Promise<void> =>
  eventually(async () => {
    const id = anId()
    await work.add('reauth', [{ id, dispatchNo: 1 }])
    await expect.poll(() => runs, { timeout: 1_000, interval: 20 }).toContain(id)
  }, withinMs)

describe('a primary that becomes a replica while its connections stay', () => {
  let pair: Pair
  let address: FaultProxy
  let primary: number
  beforeAll(async () => {
    pair = await startPair()
    primary = pair.first.port
    // As DNS or a balancer does: new connections reach the new primary, old ones stay where they are.
    address = await startFaultProxy({ targets: () => [primary] })
  })
  afterAll(async () => {
    await address.close()
    await pair.stop()
  })

  test('jobs go on within seconds; the one that ran at the time is done once, and the log says READONLY and where', async () => {
    const prefix = aPrefix()
    const place = { target: { kind: 'redis', url: new Secret(`redis://:hush@127.0.0.1:${address.port}`) }, prefix } as const
    await Promise.all([pair.first, pair.second].map(async (server) => server.ask((client) => client.config('SET', 'requirepass', 'hush'))))
    await pair.second.ask((client) => client.config('SET', 'masterauth', 'hush')).catch(() => undefined)
    const { backend, work, lines } = await aBackend(place)
    const runs: string[] = []
    const gate = aGate()
    const slow = anId()
    await workersOn(backend, {
      handlers: {
        reauth: async (id = '') => {
          runs.push(id)
          if (id === slow) await gate.promise
          return done('made a link')
        },
        sweep: async () => done('swept'),
      },
    })
    await makeSweepSchedule(backend).registerSweep('* * * * * *')
    await work.add('reauth', [{ id: slow, dispatchNo: 1 }])
    await expect.poll(() => runs).toContain(slow)
    await failOver(pair.first, pair.second)
    primary = pair.second.port
    gate.resolve()
    await worksAgain({ work, runs }, 10_000)
    await jobIn(backend, 'reauth', `${slow}-1`, 'completed')
    expect(runs.filter((id) => id === slow)).toHaveLength(1)
    expect(await backend.tryOut()).toEqual({ ok: true })
    expect(lines.find(({ answer }) => answer === 'READONLY')).toMatchObject({ error_class: 'ReplyError', server: `127.0.0.1:${address.port}` })
    expect(JSON.stringify(lines)).not.toMatch(/hush|censored/)
  })

  const failOver = async (from: Pair['first'], to: Pair['first']): Promise<void> => {
    const as = (port: number) => ({ host: '127.0.0.1', port, password: 'hush' })
    const { Redis } = await import('ioredis')
    const [old, next] = [new Redis(as(from.port)), new Redis(as(to.port))]
    await next.replicaof('NO', 'ONE')
    await old.config('SET', 'masterauth', 'hush')
    await old.replicaof('127.0.0.1', to.port)
    old.disconnect()
    next.disconnect()
  }
})
