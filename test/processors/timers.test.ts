// The timers that work without the queue: codes that no job took, the watchdog of the sweep, and the timekeeper they run on.
import { Duration } from 'luxon'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { exchangeStuckCodes } from '../../src/processors/exchange-stuck-codes.ts'
import { keepTime } from '../../src/processors/keep-time.ts'
import { done, type Outcome, type Run } from '../../src/processors/outcome.ts'
import { tooOldAfter, watchSweep } from '../../src/processors/watch-sweep.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { advance, authorisation, retireAll, seen, silent, withCode } from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const seconds = (amount: number): Duration => Duration.fromObject({ seconds: amount })
const stuck = (advanceOne: (id: string, run: Run) => Promise<Outcome> = advance(world)) =>
  exchangeStuckCodes({ store: world.store, advance: advanceOne, clock: world.clock, waited: seconds(10), log: silent, signal: new AbortController().signal })

describe('codes that no job has taken', () => {
  beforeEach(async () => retireAll(world))

  test('a young one is left to its job, one of ten seconds is exchanged here', async () => {
    const { consent, codeId } = await withCode(world)
    await stuck()()
    expect((await authorisation(world, codeId)).status).toBe('code_received')
    world.clock.advance({ seconds: 11 })
    await stuck()()
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('marked as queued, in a queue that is paused or gone: exchanged all the same', async () => {
    const { codeId } = await withCode(world)
    await world.store.dispatchOne('authorisation', codeId, Duration.fromObject({ minutes: 10 }))
    world.clock.advance({ seconds: 11 })
    await stuck()()
    expect((await authorisation(world, codeId)).status).toBe('renewed')
  })

  test('the late job comes at the same moment: sent once', async () => {
    const { consent, codeId } = await withCode(world)
    world.clock.advance({ seconds: 11 })
    await Promise.all([stuck()(), advance(world)(codeId, aRun()), stuck()()])
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('one that is put off is left alone until its date', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.faults.add({ endpoint: 'exchange', kind: 'rate-limited', retry_after: 60, count: 1, only: consent.credentialsId })
    world.clock.advance({ seconds: 11 })
    await stuck()()
    await stuck()()
    expect(seen(world, consent, 'exchange')).toEqual(['not-processed'])
    world.clock.advance({ seconds: 61 })
    await stuck()()
    expect((await authorisation(world, codeId)).status).toBe('renewed')
  })

  test('one that fails does not keep the round from the others, nor end it before them', async () => {
    const [bad, good] = [await withCode(world), await withCode(world)]
    world.clock.advance({ seconds: 11 })
    const one = advance(world)
    await stuck(async (id, run) => (id === bad.codeId ? Promise.reject(new Error('a bug')) : one(id, run)))()
    expect((await authorisation(world, good.codeId)).status).toBe('renewed')
    expect((await authorisation(world, bad.codeId)).status).toBe('code_received')
  })
})

describe('the watchdog of the sweep', () => {
  const watch = async (age: Duration | undefined, interval: Duration): Promise<string[]> => {
    const did: string[] = []
    await watchSweep({
      store: { sinceLastSweep: async () => age },
      sweep: async () => {
        did.push('swept')
        return done('')
      },
      registerSchedule: async () => void did.push('registered'),
      interval,
      log: silent,
    })()
    return did
  }
  const five = Duration.fromObject({ minutes: 5 })
  const day = Duration.fromObject({ days: 1 })
  const table: Record<string, { age: Duration | undefined; interval: Duration; acts: boolean }> = {
    'a sweep two and a half intervals ago is in time': { age: seconds(750), interval: five, acts: false },
    'a second older is late': { age: seconds(751), interval: five, acts: true },
    'none at all is late': { age: undefined, interval: five, acts: true },
    'of a daily pattern an hour is the limit': { age: seconds(3600), interval: day, acts: false },
    'and a second more is late': { age: seconds(3601), interval: day, acts: true },
  }
  test.each(Object.entries(table))('%s', async (_, { age, interval, acts }) => {
    expect(await watch(age, interval)).toEqual(acts ? ['registered', 'swept'] : [])
  })

  test('the limit is two and a half intervals, at most an hour', () => {
    expect([tooOldAfter(five).as('seconds'), tooOldAfter(day).as('seconds')]).toEqual([750, 3600])
  })

  test('the age is measured by the database’s clock', async () => {
    await world.db.prisma.$executeRaw`DELETE FROM sweeps`
    expect(await world.store.sinceLastSweep()).toBeUndefined()
    await world.store.recordSweep()
    world.clock.advance({ days: 3 })
    expect((await world.store.sinceLastSweep())?.as('seconds')).toBeLessThan(30)
    await world.db.prisma.$executeRaw`UPDATE sweeps SET last_good_at = clock_timestamp() - interval '1 hour'`
    expect((await world.store.sinceLastSweep())?.as('minutes')).toBeCloseTo(60, 0)
  })
})

describe('a timekeeper', () => {
  const rounds = (fail: (round: number) => boolean) => {
    let count = 0
    let running = 0
    let most = 0
    let reached: () => void = () => undefined
    const fifth = new Promise<void>((resolve) => (reached = resolve))
    const round = async (): Promise<void> => {
      count += 1
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      if (count === 5) reached()
      if (fail(count)) throw new Error('a failed round')
    }
    return { round, fifth, count: () => count, most: () => most }
  }

  test('its rounds never overlap, and one that fails does not end it', async () => {
    const { round, fifth, most } = rounds((number) => number % 2 === 0)
    const keeper = keepTime({ name: 'test', every: Duration.fromMillis(1), log: silent, round })
    await fifth
    await keeper.stop()
    expect(most()).toBe(1)
  })

  test('stopped, it starts no further round and waits for the one that runs', async () => {
    const { round, count } = rounds(() => false)
    const keeper = keepTime({ name: 'test', every: Duration.fromObject({ hours: 1 }), log: silent, round })
    await keeper.stop()
    expect(count()).toBe(1)
  })
})
