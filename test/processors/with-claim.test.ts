// The frame of a job: what becomes of its claim when the job fails, when another worker has taken over, when the job is
// told to stop, when the database is unavailable.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PermanentError, TransientError } from '../../src/errors.ts'
import { done, type Outcome, type JobContext } from '../../src/processors/outcome.ts'
import { withClaim } from '../../src/processors/with-claim.ts'
import type { Claim } from '../../src/store/port.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { authorisation, endLease, LEASE, withCode, withStore } from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const away = async (): Promise<never> => Promise.reject(new TransientError('database-unavailable'))
const fails = async (): Promise<Outcome> => Promise.reject(new PermanentError('internal'))
const isHeld = async (id: string): Promise<boolean> => (await authorisation(world, id)).leaseUntil !== null
const framed = async (
  id: string,
  work: (claim: Claim) => Promise<Outcome>,
  { store = world.store, ...run }: Partial<JobContext> & { store?: World['store'] } = {},
): Promise<Outcome> => withClaim({ store, lease: LEASE }, { kind: 'authorisation', id, run: aRun(run) }, work)

test('a job that fails gives its claim back, and its error is reported', async () => {
  const { codeId } = await withCode(world)
  await expect(framed(codeId, fails)).rejects.toThrow(new PermanentError('internal'))
  expect(await isHeld(codeId)).toBe(false)
  expect((await framed(codeId, async () => done('at once'))).kind).toBe('done')
})

test('between two retries of the queue no sweep makes a second job; after the last one it may', async () => {
  const { codeId } = await withCode(world)
  const dispatched = async (): Promise<string[]> =>
    (await world.store.dispatchDue('authorisation', world.clock.now(), 100, LEASE)).map(({ id }) => id)
  await expect(framed(codeId, fails, { isLastTry: false })).rejects.toThrow('internal')
  expect(await dispatched()).not.toContain(codeId)
  await expect(framed(codeId, fails)).rejects.toThrow('internal')
  expect(await dispatched()).toContain(codeId)
})

test('a job that succeeds keeps it, unless it gave it back itself', async () => {
  const { codeId } = await withCode(world)
  await framed(codeId, async () => done('nothing'))
  expect(await isHeld(codeId)).toBe(true)
  expect(await framed(codeId, fails)).toMatchObject({ kind: 'snooze', reason: 'another worker is at it' })
})

test('a job with a stale claim takes nothing away from the worker that took over', async () => {
  const { codeId } = await withCode(world)
  const overtaken = framed(codeId, async () => {
    await endLease(world, 'authorisation', codeId)
    await world.store.claim('authorisation', codeId, LEASE)
    return fails()
  })
  await expect(overtaken).rejects.toThrow('internal')
  expect(await isHeld(codeId)).toBe(true)
})

test('a job that is told to stop and still runs keeps it until it ends: its effects may still come', async () => {
  const { codeId } = await withCode(world)
  const [begun, gate, stopping] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), new AbortController()]
  const running = framed(
    codeId,
    async () => {
      begun.resolve()
      await gate.promise
      return fails()
    },
    { signal: stopping.signal },
  )
  await begun.promise
  stopping.abort()
  expect((await framed(codeId, fails)).kind).toBe('snooze')
  gate.resolve()
  await expect(running).rejects.toThrow('internal')
  expect(await isHeld(codeId)).toBe(false)
})

test('the database is unavailable for a moment: the claim is given back as soon as it is available', async () => {
  const { codeId } = await withCode(world)
  let failures = 3
  const store = withStore(world, { release: async (claim) => (failures-- > 0 ? away() : world.store.release(claim)) })
  await expect(framed(codeId, away, { store })).rejects.toThrow(new TransientError('database-unavailable'))
  expect(await isHeld(codeId)).toBe(false)
})

test('the database stays unavailable: the job fails by its own error, and the lease runs out', async () => {
  const { codeId } = await withCode(world)
  await expect(
    framed(codeId, fails, { store: withStore(world, { release: away }), signal: AbortSignal.timeout(300) }),
  ).rejects.toThrow(new PermanentError('internal'))
  expect(await isHeld(codeId)).toBe(true)
})
