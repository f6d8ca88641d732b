// The timers that work without the queue: codes that no job took, the watchdog of the sweep, and the ticker that runs
// both.
import { Duration } from 'luxon'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Log, makeLog } from '../../src/log.ts'
import { exchangeStuckCodes } from '../../src/processors/exchange-stuck-codes.ts'
import { runEvery } from '../../src/processors/run-every.ts'
import { done, type Outcome, type JobContext } from '../../src/processors/outcome.ts'
import { tooOldAfter, watchSweep } from '../../src/processors/watch-sweep.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { advance, authorisation, retireAll, seen, silent, withCode } from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const seconds = (amount: number): Duration => Duration.fromObject({ seconds: amount })
const stuck = (advanceOne: (id: string, run: JobContext) => Promise<Outcome> = advance(world), log: Log = silent) =>
  exchangeStuckCodes({
    store: world.store,
    advance: advanceOne,
    clock: world.clock,
    waited: seconds(10),
    log,
    signal: new AbortController().signal,
  })

/** A log that keeps its lines. The text of the error below must not appear in it. */
const aLog = () => {
  const lines: string[] = []
  return {
    log: makeLog({ level: 'debug', pretty: false, to: { write: (line: string) => void lines.push(line) } }),
    lines,
  }
}
const telling = (): Error => Object.assign(new Error('planted: what came from elsewhere'), { code: 'P2025' })

describe('codes that no job has taken', () => {
  beforeEach(async () => retireAll(world))

  test('a young one is left to its job, one that is ten seconds old is exchanged here', async () => {
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

  test('the late job comes at the same moment: the code is sent once', async () => {
    const { consent, codeId } = await withCode(world)
    world.clock.advance({ seconds: 11 })
    await Promise.all([stuck()(), advance(world)(codeId, aRun()), stuck()()])
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('one that is rescheduled is left alone until its date', async () => {
    const { consent, codeId } = await withCode(world)
    world.simulator.faults.add({
      endpoint: 'exchange',
      kind: 'rate-limited',
      retry_after: 60,
      count: 1,
      only: consent.credentialsId,
    })
    world.clock.advance({ seconds: 11 })
    await stuck()()
    await stuck()()
    expect(seen(world, consent, 'exchange')).toEqual(['not-processed'])
    world.clock.advance({ seconds: 61 })
    await stuck()()
    expect((await authorisation(world, codeId)).status).toBe('renewed')
  })

  test('one that fails neither delays the others nor ends the tick before them', async () => {
    const [bad, good] = [await withCode(world), await withCode(world)]
    world.clock.advance({ seconds: 11 })
    const one = advance(world)
    await stuck(async (id, run) => (id === bad.codeId ? Promise.reject(new Error('a bug')) : one(id, run)))()
    expect((await authorisation(world, good.codeId)).status).toBe('renewed')
    expect((await authorisation(world, bad.codeId)).status).toBe('code_received')
  })

  test('one that fails is logged by its error’s code, not in its words', async () => {
    const { codeId } = await withCode(world)
    world.clock.advance({ seconds: 11 })
    const { log, lines } = aLog()
    await stuck(async () => Promise.reject(telling()), log)()
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({
        level: 'warn',
        authorisation_id: codeId,
        err: expect.objectContaining({ code: 'P2025' }),
      }),
    ])
    expect(lines.join('')).not.toContain('planted')
  })
})

describe('more codes than run at once', () => {
  beforeEach(async () => retireAll(world))

  test('twelve: all exchanged in one tick', async () => {
    const codes = await Promise.all(Array.from({ length: 12 }, async () => withCode(world)))
    world.clock.advance({ seconds: 11 })
    await stuck()()
    for (const { codeId } of codes) expect((await authorisation(world, codeId)).status).toBe('renewed')
  })

  /**
   * Any number of waiting codes, the oldest first; a code that was taken stops waiting, unless `stays` says otherwise.
   */
  const backlog = (
    size: number,
    {
      stays = () => false,
      onTaken = () => undefined,
    }: { stays?: (id: string) => boolean; onTaken?: (count: number) => void } = {},
  ) => {
    const waiting = Array.from({ length: size }, (_, number) => `code-${number}`)
    const stopping = new AbortController()
    const taken: string[] = []
    let [running, most] = [0, 0]
    const advanceOne = async (id: string): Promise<Outcome> => {
      taken.push(id)
      running += 1
      most = Math.max(most, running)
      onTaken(taken.length)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      if (!stays(id)) waiting.splice(waiting.indexOf(id), 1)
      return done('exchanged')
    }
    const store = { findStuckCodes: async (_before: unknown, _now: unknown, limit: number) => waiting.slice(0, limit) }
    const tick = exchangeStuckCodes({
      store,
      advance: advanceOne,
      clock: world.clock,
      waited: seconds(10),
      log: silent,
      signal: stopping.signal,
    })
    return { tick, taken, most: () => most, stop: () => stopping.abort() }
  }

  test('hundreds: page after page, each once, never more than ten at once', async () => {
    const { tick, taken, most } = backlog(350)
    await tick()
    expect(new Set(taken).size).toBe(350)
    expect(taken).toHaveLength(350)
    expect(most()).toBe(10)
  })

  test('those that stay where they are neither hide the others nor keep the tick from ending', async () => {
    const { tick, taken } = backlog(350, { stays: (id) => Number(id.slice(5)) < 150 })
    await tick()
    expect(new Set(taken).size).toBe(350)
    expect(taken).toHaveLength(350)
  })

  test('told to stop, it begins no further code', async () => {
    const { tick, taken, stop } = backlog(350, { onTaken: (count) => (count === 25 ? stop() : undefined) })
    await tick()
    expect(taken).toHaveLength(25)
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

describe('a ticker', () => {
  const patiently = { endsWithinMs: 10_000, settlesWithinMs: 10_000 }
  const ticking = (fail: (tick: number) => boolean) => {
    let count = 0
    let running = 0
    let most = 0
    let reached: () => void = () => undefined
    const fifth = new Promise<void>((resolve) => (reached = resolve))
    const tick = async (): Promise<void> => {
      count += 1
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      if (count === 5) reached()
      if (fail(count)) throw new Error('a failed tick')
    }
    return { tick, fifth, count: () => count, most: () => most }
  }

  test('its ticking never overlap, and one that fails does not end it', async () => {
    const { tick, fifth, most } = ticking((number) => number % 2 === 0)
    const keeper = runEvery({
      name: 'test',
      every: Duration.fromMillis(1),
      tickWithin: seconds(10),
      log: silent,
      tick,
    })
    await fifth
    expect(await keeper.stop(patiently)).toBe(true)
    expect(most()).toBe(1)
  })

  test('a tick that fails is logged by its error’s code, not in its words', async () => {
    const { log, lines } = aLog()
    const keeper = runEvery({
      name: 'test',
      every: Duration.fromObject({ hours: 1 }),
      tickWithin: seconds(10),
      log,
      tick: async () => Promise.reject(telling()),
    })
    await expect.poll(() => lines.length).toBe(1)
    await keeper.stop(patiently)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'warn', timer: 'test', err: { code: 'P2025' } })
    expect(lines.join('')).not.toContain('planted')
  })

  test('stopped, it starts no further tick and waits for the running one', async () => {
    const { tick, count } = ticking(() => false)
    const keeper = runEvery({
      name: 'test',
      every: Duration.fromObject({ hours: 1 }),
      tickWithin: seconds(10),
      log: silent,
      tick,
    })
    expect(await keeper.stop(patiently)).toBe(true)
    expect(count()).toBe(1)
  })

  test('stopped, it aborts a long tick by its signal, and reports that it ended', async () => {
    const told = Promise.withResolvers<boolean>()
    const tick = async (signal: AbortSignal): Promise<void> =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          told.resolve(true)
          resolve()
        })
      })
    const keeper = runEvery({ name: 'test', every: seconds(3600), tickWithin: seconds(3600), log: silent, tick })
    expect(await keeper.stop({ endsWithinMs: 20, settlesWithinMs: 10_000 })).toBe(true)
    expect(await told.promise).toBe(true)
  })

  test('stopped, it abandons a tick that ignores the signal, and says so', async () => {
    const keeper = runEvery({
      name: 'test',
      every: seconds(3600),
      tickWithin: seconds(3600),
      log: silent,
      tick: async () => new Promise(() => undefined),
    })
    const began = performance.now()
    expect(await keeper.stop({ endsWithinMs: 50, settlesWithinMs: 50 })).toBe(false)
    expect(performance.now() - began).toBeLessThan(2_000)
  })

  test('a tick that hangs is aborted, abandoned and logged; the next ones run', async () => {
    const signals: AbortSignal[] = []
    const third = Promise.withResolvers<void>()
    const warned: string[] = []
    const log = { ...silent, warn: (_: object, message: string) => void warned.push(message) }
    const tick = async (signal: AbortSignal): Promise<void> => {
      signals.push(signal)
      if (signals.length === 3) third.resolve()
      if (signals.length === 1) await new Promise(() => undefined)
    }
    const keeper = runEvery({
      name: 'test',
      every: Duration.fromMillis(1),
      tickWithin: Duration.fromMillis(30),
      log,
      tick,
    })
    await third.promise
    expect(await keeper.stop(patiently)).toBe(true)
    expect(signals.map(({ aborted }) => aborted).slice(0, 2)).toEqual([true, false])
    expect(warned).toEqual([expect.stringContaining('hangs')])
  })
})
