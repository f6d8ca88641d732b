// Retries of a real queue, with the policy's own ratio of lease to first retry (60 s to 5 s), twenty times as fast:
// after a failure the job finds its record free, what may have been sent is never sent again, and after the last retry
// the record is rescheduled.
import { Duration } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Outcome, JobContext } from '../../src/processors/outcome.ts'
import { recordFailure } from '../../src/processors/record-failure.ts'
import { sweep } from '../../src/processors/sweep.ts'
import { plansFor } from '../../src/queue/catalogue.ts'
import { Secret } from '../../src/secret.ts'
import { aBackend, aPrefix, jobIn, type Place, workersOn } from '../queue/setup.ts'
import { createDatabase } from '../setup/database.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  authorisation,
  bringUpToDate,
  fault,
  renew,
  retireAll,
  rungsSent,
  seen,
  send,
  silent,
  withCode,
  withStore,
} from './rig.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(async () => retireAll(world))

const lease = Duration.fromObject({ seconds: 3 })
const plans = plansFor({
  concurrency: { reauth: 1, notify: 1, exchange: 1 },
  retry: { attempts: 4, firstDelay: Duration.fromMillis(250) },
})
const places: Record<'redis' | 'postgres', () => Promise<Place>> = {
  redis: async () => ({ target: { kind: 'redis', url: new Secret(inject('redisUrl')) }, prefix: aPrefix() }),
  postgres: async () => ({ target: { kind: 'postgres', url: new Secret(await createDatabase()) }, prefix: aPrefix() }),
}

const died = async (): Promise<never> => Promise.reject(new Error('a bug'))
const message = async (id: string) => world.db.prisma.notification.findUniqueOrThrow({ where: { id } })
const queued = async () => {
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
  await renew(world)(consent.id, aRun())
  return { consent, id: (await world.notificationsOf(consent.id))[0]?.id ?? '' }
}
const secondsUntil = (at: Date | null): number => ((at?.getTime() ?? Number.NaN) - world.clock.now().toMillis()) / 1000

/** The function, and a count of its calls. */
const counted = <Args extends unknown[], Result>(act: (...args: Args) => Result) => {
  const calls = { count: 0 }
  return [calls, (...args: Args): Result => ((calls.count += 1), act(...args))] as const
}

describe.each(['redis', 'postgres'] as const)('on %s', (kind) => {
  /** Runs the job of one record until the job is in that state; returns the number of runs. */
  const runUntil = async (
    state: 'completed' | 'failed',
    queue: 'notify' | 'exchange',
    id: string,
    job: (id: string, run: JobContext) => Promise<Outcome>,
  ): Promise<number> => {
    const { backend, work } = await aBackend(await places[kind](), plans)
    const [runs, handler] = counted(async (recordId: string | undefined, run: JobContext) => job(recordId ?? '', run))
    await workersOn(backend, { handlers: { [queue]: handler }, recordFailure: recordFailure(world) })
    await work.add(queue, [{ id, dispatchNo: 1 }])
    await jobIn(backend, queue, `${id}-1`, state)
    return runs.count
  }

  test('the provider is unavailable for half a minute, the retries used up: the user is asked soon after', async () => {
    const { backend, work } = await aBackend(await places[kind](), plans)
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    const [runs, job] = counted(async (id: string | undefined, run: JobContext) =>
      renew(world, { lease })(id ?? '', run),
    )
    await workersOn(backend, { handlers: { reauth: job }, recordFailure: recordFailure(world) })
    const sweepNow = sweep({
      store: world.store,
      queue: work,
      clock: world.clock,
      log: silent,
      pageSize: 100,
      maxWaiting: 1_000,
      queuedFor: Duration.fromObject({ minutes: 10 }),
    })
    // One more than there are tries: a kept connection that is reset is tried again at once.
    fault(world, consent, { endpoint: 'reauthuri', kind: 'reset-before', count: 5 })
    await sweepNow()
    await jobIn(backend, 'reauth', `${consent.id}-1`, 'completed')
    expect(runs.count).toBe(4)
    expect([4, 5]).toContain(seen(world, consent, 'reauthuri').length)
    world.simulator.faults.clear()
    const row = await world.consentOf(consent.id)
    expect(row).toMatchObject({ lastErrorCode: 'provider-unreachable', outages: 1, failedAttempts: 0 })
    expect(secondsUntil(row.nextActionAt?.toJSDate() ?? null)).toBeLessThanOrEqual(330)
    // By then the provider has been available for a long time; the next sweep finds the consent.
    world.clock.advance({ seconds: 331 })
    await sweepNow()
    await jobIn(backend, 'reauth', `${consent.id}-2`, 'completed')
    await bringUpToDate(world, consent.id)
    expect([await rungsSent(world, consent.id), (await world.consentOf(consent.id)).outages]).toEqual([
      ['-14d sent'],
      0,
    ])
  })

  test('a message whose template throws: four tries, then a quarter of an hour', async () => {
    const { consent, id } = await queued()
    const [composed, compose] = counted((): never => {
      throw new TypeError('a bug in a template')
    })
    expect(await runUntil('failed', 'notify', id, send(world, { channel: { compose }, lease }))).toBe(4)
    expect(composed.count).toBe(4)
    const row = await message(id)
    expect(row).toMatchObject({ status: 'pending', errorCode: 'internal', leaseUntil: null })
    expect(secondsUntil(row.nextActionAt)).toBeCloseTo(900, 0)
    expect(world.mailsTo(consent)).toEqual([])
  })

  test('a proof that throws: the code is sent once, its proof tried four times, then after 15 minutes', async () => {
    const { consent, codeId } = await withCode(world)
    const [asked, readMe] = counted(died)
    expect(
      await runUntil('failed', 'exchange', codeId, advance(world, { provider: { ...world.provider, readMe }, lease })),
    ).toBe(4)
    expect(asked.count).toBe(4)
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
    const row = await authorisation(world, codeId)
    expect(row).toMatchObject({ status: 'verifying', errorCode: 'internal', leaseUntil: null })
    expect(secondsUntil(row.nextActionAt)).toBeCloseTo(900, 0)
  })

  test('a code whose attempt cannot be claimed: four tries, then soon again, while the code is valid', async () => {
    const { codeId } = await withCode(world)
    const [begun, beginExchange] = counted(died)
    expect(
      await runUntil(
        'failed',
        'exchange',
        codeId,
        advance(world, { store: withStore(world, { beginExchange }), lease }),
      ),
    ).toBe(4)
    expect(begun.count).toBe(4)
    const row = await authorisation(world, codeId)
    expect(row).toMatchObject({ status: 'code_received', errorCode: 'internal', leaseUntil: null })
    expect(secondsUntil(row.nextActionAt)).toBeCloseTo(10, 0)
  })

  test('the database is unavailable for a moment before the code is sent: sent at the second try', async () => {
    const { consent, codeId } = await withCode(world)
    let failures = 1
    const store = withStore(world, {
      beginExchange: async (...args) => (failures-- > 0 ? died() : world.store.beginExchange(...args)),
    })
    expect(await runUntil('completed', 'exchange', codeId, advance(world, { store, lease }))).toBe(2)
    expect((await authorisation(world, codeId)).status).toBe('renewed')
    expect(seen(world, consent, 'exchange')).toEqual(['ok'])
  })

  test('the job fails between intent and sending: the code is never sent again, polled at the second try', async () => {
    const { consent, codeId } = await withCode(world)
    const [sent, exchangeCode] = counted(died)
    expect(
      await runUntil(
        'completed',
        'exchange',
        codeId,
        advance(world, { provider: { ...world.provider, exchangeCode }, lease }),
      ),
    ).toBe(2)
    expect([sent.count, seen(world, consent, 'exchange'), seen(world, consent, 'refresh')]).toEqual([1, [], ['ok']])
    expect(await authorisation(world, codeId)).toMatchObject({
      status: 'in_doubt',
      code: null,
      errorCode: 'not-renewed',
    })
  })

  test('the job fails between sending and the answer: never sent again, proven at the second try', async () => {
    const { consent, codeId } = await withCode(world)
    const [sent, exchangeCode] = counted(async (...args: Parameters<World['provider']['exchangeCode']>) =>
      world.provider.exchangeCode(...args).then(died),
    )
    expect(
      await runUntil(
        'completed',
        'exchange',
        codeId,
        advance(world, { provider: { ...world.provider, exchangeCode }, lease }),
      ),
    ).toBe(2)
    expect([sent.count, seen(world, consent, 'exchange')]).toEqual([1, ['ok']])
    expect((await world.consentOf(consent.id)).cycle).toBe(2)
  })

  test('the job fails after it handed over a mail: sent once more at the second try, and never again', async () => {
    const { consent, id } = await queued()
    let isFirst = true
    const [sent, enqueue] = counted(async (...args: Parameters<World['channel']['send']>) => {
      const delivery = await world.channel.send(...args)
      if (!isFirst) return delivery
      isFirst = false
      return died()
    })
    expect(
      await runUntil('completed', 'notify', id, send(world, { channel: { ...world.channel, send: enqueue }, lease })),
    ).toBe(2)
    expect(await message(id)).toMatchObject({ status: 'sent', repeatedAt: expect.any(Date) })
    expect([sent.count, world.mailsTo(consent).length]).toEqual([2, 2])
  })
})
