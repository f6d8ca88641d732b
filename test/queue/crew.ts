// Workers and producers on a Redis that a test makes unavailable, and checks that they have recovered.
import { expect } from 'vitest'
import { done } from '../../src/processors/outcome.ts'
import type { BackendTarget } from '../../src/queue/connection.ts'
import { makeSweepSchedule } from '../../src/queue/schedule.ts'
import { aBackend, aGate, anId, aPrefix, eventually, workersOn } from './setup.ts'

export const aCrew = async (target: BackendTarget, prefix = aPrefix()) => {
  const { backend, work, lines } = await aBackend({ target, prefix })
  const runs: string[] = []
  const fed: string[] = []
  const gate = aGate()
  const held = anId()
  await workersOn(backend, {
    // As in production: a job's lock lasts longer than the time without Redis.
    timings: { lockDuration: 30_000 },
    handlers: {
      reauth: async (id = '') => {
        runs.push(id)
        if (id === held) await gate.promise
        return done('made a link')
      },
      sweep: async () => done('swept'),
    },
  })
  await makeSweepSchedule(backend).registerSweep('* * * * * *')
  /** As the sweep does: enqueues again what could not be enqueued. */
  const enqueue = async (id: string): Promise<void> =>
    eventually(async () => work.add('reauth', [{ id, dispatchNo: 1 }]), 20_000)
  return {
    backend,
    work,
    lines,
    runs,
    held,
    release: gate.resolve,
    /** A job that runs until `release`. */
    hold: async (): Promise<void> => {
      await enqueue(held)
      await expect.poll(() => runs).toContain(held)
    },
    feed: async (count: number): Promise<void> => {
      for (let made = 0; made < count; made += 1) {
        const id = anId()
        fed.push(id)
        await enqueue(id)
      }
    },
    /** The jobs that were enqueued and have not run. */
    missing: async (): Promise<string[]> => fed.filter((id) => !runs.includes(id)),
    /** Enqueues jobs until one is done within that time; where one fails, the next sweep would enqueue it again. */
    worksWithin: async (ms: number): Promise<void> =>
      eventually(async () => {
        const id = anId()
        await work.add('reauth', [{ id, dispatchNo: 1 }])
        await expect.poll(() => runs, { timeout: 1_000, interval: 20 }).toContain(id)
      }, ms),
  }
}
