// What a job may ask of Redis, step by step, counted on the wire: so that it cannot creep up, with a new release of
// BullMQ either. The numbers are exact where nothing depends on time.
import type { RedisQueueBackend } from 'bullmq'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { done } from '../../src/processors/outcome.ts'
import { Secret } from '../../src/secret.ts'
import { type RedisCounter, startRedisCounter } from '../setup/redis-counter.ts'
import { aBackend, aGate, anId, aPrefix, eventually, workersOn } from './setup.ts'

let counter: RedisCounter
beforeAll(async () => {
  counter = await startRedisCounter(inject('redisUrl'))
})
afterAll(async () => counter.close())

/** What ioredis keeps of the scripts that it was given. */
interface WithScripts {
  readonly scriptsSet: Readonly<Record<string, { readonly sha: string }>>
}

const aCountedBackend = async () => {
  const { backend, work } = await aBackend({
    target: { kind: 'redis', url: new Secret(counter.url) },
    prefix: aPrefix(),
  })
  /** BullMQ's name of each of its scripts. */
  const own = backend.queue('reauth').getBackend() as unknown as RedisQueueBackend
  const { scriptsSet } = (await own.client) as unknown as WithScripts
  const names = new Map(Object.entries(scriptsSet).map(([name, { sha }]) => [sha, name.split(':')[0] ?? '']))
  const asked: Record<string, number> = {}
  /** All that was asked since the last `forget`. */
  const look = (): Record<string, number> => {
    for (const [key, count] of counter.take()) {
      const name = names.get(key) ?? key
      asked[name] = (asked[name] ?? 0) + count
    }
    return { ...asked }
  }
  const forget = (): void => {
    look()
    for (const name of Object.keys(asked)) delete asked[name]
  }
  const dispatches = (count: number) => Array.from({ length: count }, () => ({ id: anId(), dispatchNo: 1 }))
  // Each queue writes its settings once.
  await eventually(() => expect(look()).toMatchObject({ hset: 4 }))
  return { backend, work, look, forget, dispatches }
}

test('a page of a sweep asks how full the queue is, and sends one command for each job', async () => {
  const { work, look, forget, dispatches } = await aCountedBackend()
  forget()
  await work.countWaiting('reauth')
  await work.add('reauth', dispatches(300))
  expect(look()).toEqual({ getCounts: 1, addStandardJob: 300 })
})

test('a job that comes to a resting worker asks so much and no more', async () => {
  const { backend, work, look, forget, dispatches } = await aCountedBackend()
  const gate = aGate()
  const runs: unknown[] = []
  const handler = async (id: unknown) => {
    runs.push(id)
    await gate.promise
    return done('made a link')
  }
  await workersOn(backend, { handlers: { reauth: handler }, timings: { stalledInterval: 60_000 } })
  // Each worker asks once, and then waits.
  await eventually(() => expect(look()).toMatchObject({ moveToActive: 1, bzpopmin: 1 }))
  forget()
  await work.add('reauth', dispatches(1))
  // BullMQ's wake-up is for all workers: each takes what there is until there is no more, and then waits again.
  const taken = { addStandardJob: 1, moveToActive: 3, bzpopmin: 2 }
  await eventually(() => expect(look()).toEqual(taken))
  expect(runs).toHaveLength(1)
  gate.resolve()
  await eventually(() => expect(look()).toEqual({ ...taken, moveToFinished: 1 }))
})

test('a job of many is asked for when it is added and when it ends: the next comes with that answer', async () => {
  const { backend, work, look, forget, dispatches } = await aCountedBackend()
  let runs = 0
  const handler = async () => {
    runs += 1
    return done('made a link')
  }
  await work.add('reauth', dispatches(200))
  forget()
  await workersOn(backend, { handlers: { reauth: handler }, timings: { stalledInterval: 60_000 } })
  await eventually(() => expect([runs, look()['moveToFinished']]).toEqual([200, 200]))
  // As many as run at once begin by being asked for, and a few times nothing is found.
  expect(look()['moveToActive']).toBeLessThanOrEqual(20)
})
