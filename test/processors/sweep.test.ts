// The sweep and its helpers: pages, back-pressure, an unavailable queue, rows that no two sweeps share, claims that no
// two workers hold.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Duration } from 'luxon'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { CODE_TTL } from '../../src/domain/exchange.ts'
import { StaleClaim, TransientError } from '../../src/errors.ts'
import { makeEnqueue } from '../../src/processors/enqueue.ts'
import { recordFailure } from '../../src/processors/record-failure.ts'
import { type SweepDeps, sweep, sweepUrgent } from '../../src/processors/sweep.ts'
import type { QueueName, WorkQueue } from '../../src/queue/port.ts'
import type { Dispatch } from '../../src/records.ts'
import { Secret } from '../../src/secret.ts'
import { openStore } from '../../src/store/open-store.ts'
import { holdLocks } from '../setup/locks.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import {
  advance,
  askedConsent,
  authorisation,
  endLease,
  LEASE,
  renew,
  retireAll,
  silent,
  withCode,
  withStore,
} from './rig.ts'
import { planting } from '../setup/plant.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())
afterEach(async () => retireAll(world))

const HOLD = Duration.fromObject({ minutes: 10 })

/** A queue in memory whose jobs no worker takes; after `fails` calls it is unavailable. */
const aQueue = ({ fails = Number.POSITIVE_INFINITY }: { fails?: number } = {}) => {
  const jobs: { queue: QueueName; id: string; dispatchNo: number }[] = []
  let calls = 0
  const queue: WorkQueue = {
    add: async (name, dispatches: readonly Dispatch[]) => {
      calls += 1
      if (calls > fails) throw new Error('the queue is away')
      jobs.push(...dispatches.map((one) => ({ queue: name, ...one })))
    },
    countWaiting: async (name) => jobs.filter((job) => job.queue === name).length,
  }
  return { queue, jobs, take: () => jobs.splice(0) }
}

const deps = (queue: WorkQueue, over: Partial<SweepDeps> = {}): SweepDeps => ({
  store: world.store,
  queue,
  clock: world.clock,
  log: silent,
  pageSize: 10,
  maxWaiting: 1000,
  queuedFor: HOLD,
  ...over,
})

/** Consents that are due now and have no other data: the tests only dispatch them. */
const addRows = async (count: number, over: { dueInMinutes?: number } = {}): Promise<void> => {
  const now = world.clock.now()
  const nextActionAt = now.plus({ minutes: over.dueInMinutes ?? -1 }).toJSDate()
  await world.db.prisma.consent.createMany({
    data: Array.from({ length: count }, () => ({
      id: randomUUID(),
      credentialsId: randomUUID(),
      userId: 'u',
      providerId: 'uk-ob-monzo',
      country: 'GB',
      redirectUri: 'http://127.0.0.1/',
      expiresSource: 'imported',
      expiresAt: now.plus({ days: 10 }).toJSDate(),
      refreshToken: 'sealed',
      nextActionAt,
      createdAt: now.toJSDate(),
      updatedAt: now.toJSDate(),
    })),
  })
}

describe('a sweep', () => {
  test('goes through page by page, enqueues each row once, and says how many', async () => {
    await addRows(25)
    await addRows(3, { dueInMinutes: 5 })
    const { queue, jobs } = aQueue()
    expect(await sweep(deps(queue))()).toEqual({
      kind: 'done',
      what: 'dispatched 25 consents, 0 messages, 0 exchanges; 0 attempts expired',
    })
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(25)
    expect(jobs.every(({ queue: name, dispatchNo }) => name === 'reauth' && dispatchNo === 1)).toBe(true)
    expect(await world.store.sinceLastSweep()).toBeDefined()
    await sweep(deps(queue))()
    expect(jobs).toHaveLength(25)
  })

  test('is a sweep, on record, also when old answers of the API cannot be purged', async () => {
    await addRows(1)
    const { queue, jobs } = aQueue()
    const calls: string[] = []
    const store = {
      ...world.store,
      recordSweep: async () => void calls.push('recorded'),
      purgeAnswers: async () => {
        calls.push('purging')
        throw new TransientError('database-unavailable')
      },
    }
    expect(await sweep(deps(queue, { store }))()).toMatchObject({ kind: 'done' })
    expect([calls, jobs.length]).toEqual([['recorded', 'purging'], 1])
  })

  test('begins with what has waited longest', async () => {
    // Many, so that no order of ids fits by chance.
    const minutes = [-3, -9, -1, -7, -5, -8, -2, -6, -4, -10, -12, -11]
    for (const dueInMinutes of minutes) await addRows(1, { dueInMinutes })
    const { queue, jobs } = aQueue()
    await sweep(deps(queue))()
    const rows = await world.db.prisma.consent.findMany({ where: { id: { in: jobs.map(({ id }) => id) } } })
    const dueAt = jobs.map(({ id }) => rows.find((row) => row.id === id)?.nextActionAt?.getTime() ?? 0)
    expect(dueAt).toHaveLength(minutes.length)
    expect(dueAt).toEqual(dueAt.toSorted((a, b) => a - b))
  })

  test('exactly a full page is no reason to stop or to loop', async () => {
    await addRows(20)
    const { queue, jobs } = aQueue()
    await sweep(deps(queue))()
    expect(jobs).toHaveLength(20)
  })

  test('stops while the queue is full, and goes on when it is not', async () => {
    await addRows(25)
    const { queue, jobs, take } = aQueue()
    const full = deps(queue, { maxWaiting: 12 })
    await sweep(full)()
    expect(jobs).toHaveLength(12)
    await sweep(full)()
    expect(jobs).toHaveLength(12)
    take()
    await sweep(full)()
    expect(jobs).toHaveLength(12)
  })

  test('the queue fails in the middle: the rest is found again at once, the sweep is not successful', async () => {
    await addRows(25)
    const { queue, jobs } = aQueue({ fails: 1 })
    await expect(sweep(deps(queue))()).rejects.toThrow('away')
    expect(jobs).toHaveLength(10)
    expect(await world.store.sinceLastSweep()).toBeUndefined()
    const again = aQueue()
    await sweep(deps(again.queue))()
    expect(again.jobs).toHaveLength(15)
    // The dispatch number goes on, so that a job id is never used twice.
    expect(again.jobs.filter(({ dispatchNo }) => dispatchNo === 2)).toHaveLength(10)
  })

  test('a job that was lost is dispatched again when its mark expires, under another number', async () => {
    await addRows(1)
    const { queue, jobs } = aQueue()
    await sweep(deps(queue))()
    await world.db.prisma.$executeRaw`UPDATE consents SET queued_until = clock_timestamp() - interval '1 second'`
    await sweep(deps(queue))()
    expect(jobs.map(({ dispatchNo }) => dispatchNo)).toEqual([1, 2])
  })

  test('states older than a day expire; a young one does not', async () => {
    const { id } = await askedConsent(world)
    world.clock.advance({ hours: 23, minutes: 59 })
    await sweep(deps(aQueue().queue))()
    expect((await world.authorisationsOf(id)).map(({ status }) => status)).toEqual(['issued'])
    world.clock.advance({ minutes: 1 })
    expect(await sweep(deps(aQueue().queue))()).toMatchObject({ what: expect.stringContaining('1 attempts expired') })
    expect(await world.authorisationsOf(id)).toMatchObject([{ status: 'expired', link: null, nextActionAt: null }])
  })

  test('the short timer leaves consents to the cron pattern, and takes codes and messages', async () => {
    const { consent, codeId } = await withCode(world)
    await addRows(2)
    await planting(world.db).notification.updateMany({
      where: { consentId: consent.id },
      data: { status: 'pending', nextActionAt: world.clock.now().toJSDate() },
    })
    const { queue, jobs } = aQueue()
    expect(await sweepUrgent(deps(queue))()).toEqual({ authorisation: 1, notification: 1, consent: 0 })
    expect(jobs.map(({ queue: name }) => name)).toEqual(['exchange', 'notify'])
    expect(jobs[0]?.id).toBe(codeId)
  })
})

describe('two schedulers or workers at once', () => {
  test('two schedulers over two pools share no row of five hundred, and leave none', async () => {
    await addRows(500)
    const second = openStore({ url: new Secret(await ownUrl()), vault: world.vault, connections: 10 })
    try {
      // Connected before the race begins: a pool that connects slowly would find no row left.
      await second.store.countDue('consent', world.clock.now())
      const queues = [aQueue(), aQueue()]
      const stores = [world.store, second.store]
      await Promise.all(
        queues.flatMap(({ queue }, index) =>
          [0, 1].map(async () => sweep(deps(queue, { store: stores[index] ?? world.store, pageSize: 7 }))()),
        ),
      )
      const ids = queues.flatMap(({ jobs }) => jobs.map(({ id }) => id))
      expect(ids).toHaveLength(500)
      expect(new Set(ids).size).toBe(500)
      expect(queues.every(({ jobs }) => jobs.length > 0)).toBe(true)
    } finally {
      await second.close()
    }
  })

  test('a row that a long transaction holds keeps no sweep waiting, and is dispatched by the next', async () => {
    await addRows(5)
    const { id } = await world.db.prisma.consent.findFirstOrThrow({ where: { status: 'active' } })
    const held = await holdLocks(world.db, 'SELECT 1 FROM consents WHERE id = $1 FOR UPDATE', [id])
    const { queue, jobs } = aQueue()
    const swept = sweep(deps(queue))()
    const first = await Promise.race([swept.then(() => 'went on'), delay(10_000, 'waited', { ref: false })])
    const without = jobs.map((job) => job.id)
    await held.commit()
    await swept
    expect([first, without.length, without.includes(id)]).toEqual(['went on', 4, false])
    await sweep(deps(queue))()
    expect(jobs.at(-1)?.id).toBe(id)
  })

  test('twenty claims of one record: one holds it, and each later claim moves the fencing token', async () => {
    await addRows(1)
    const { id } = await world.db.prisma.consent.findFirstOrThrow({ where: { status: 'active' } })
    const claims = await Promise.all(Array.from({ length: 20 }, async () => world.store.claim('consent', id, LEASE)))
    expect(claims.map(({ kind }) => kind).toSorted()).toEqual(['claimed', ...Array.from({ length: 19 }, () => 'held')])
    const first = claims.find((one) => one.kind === 'claimed')
    await endLease(world, 'consent', id)
    const later = await world.store.claim('consent', id, LEASE)
    if (first?.kind !== 'claimed' || later.kind !== 'claimed') throw new Error('not claimed')
    expect(later.claim.fencingToken).toBe(first.claim.fencingToken + 1)
    expect(await world.store.release(first.claim)).toBe(false)
    await expect(world.store.scheduleConsent(first.claim, world.clock.now(), 'stale')).rejects.toThrow(StaleClaim)
    await expect(world.store.closeByRule(first.claim, 'lapsed', world.clock.now(), 'stale')).rejects.toThrow(StaleClaim)
    const failure = { now: world.clock.now(), until: world.clock.now(), code: 'internal', counts: true } as const
    await expect(world.store.backOff(first.claim, failure)).rejects.toThrow(StaleClaim)
    expect(await world.store.release(later.claim)).toBe(true)
  })

  test('a row that is claimed, or closed, is not dispatched', async () => {
    await addRows(2)
    const [one, other] = await world.db.prisma.consent.findMany({ where: { status: 'active' } })
    await world.store.claim('consent', one?.id ?? '', LEASE)
    await planting(world.db).consent.update({
      where: { id: other?.id ?? '' },
      data: { status: 'paused', nextActionAt: null },
    })
    const { queue, jobs } = aQueue()
    await sweep(deps(queue))()
    expect(jobs).toEqual([])
    expect(await world.store.dispatchOne('consent', other?.id ?? '', HOLD)).toBeUndefined()
  })

  test('a late undispatch does not remove a later mark', async () => {
    await addRows(1)
    const [first] = await world.store.dispatchDue('consent', world.clock.now(), 10, Duration.fromMillis(0))
    const [second] = await world.store.dispatchDue('consent', world.clock.now(), 10, HOLD)
    await world.store.undispatch('consent', first === undefined ? [] : [first])
    expect(await world.store.dispatchDue('consent', world.clock.now(), 10, HOLD)).toEqual([])
    await world.store.undispatch('consent', second === undefined ? [] : [second])
    expect(await world.store.dispatchDue('consent', world.clock.now(), 10, HOLD)).toHaveLength(1)
  })
})

describe('enqueueing at once', () => {
  test('a new message goes to the queue without waiting for the sweep', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    const { queue, jobs } = aQueue()
    const enqueue = makeEnqueue({ store: world.store, queue, log: silent, queuedFor: HOLD })
    await renew(world, { enqueue, queuedFor: HOLD })(consent.id, aRun())
    expect(jobs.map(({ queue: name }) => name)).toEqual(['notify'])
  })

  test('a message that was committed and never handed over is swept when its mark has run out', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    await renew(world, { queuedFor: HOLD })(consent.id, aRun())
    const { queue, jobs } = aQueue()
    await sweepUrgent(deps(queue))()
    expect(jobs).toEqual([])
    await world.db.sql.$executeRaw`
      UPDATE notifications SET queued_until = clock_timestamp() - interval '1 second'
      WHERE consent_id = ${consent.id}::uuid`
    await sweepUrgent(deps(queue))()
    expect(jobs.map(({ queue: name, dispatchNo }) => [name, dispatchNo])).toEqual([['notify', 2]])
  })

  test('again, when its job was lost: under another number', async () => {
    const { id } = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    const { queue, jobs } = aQueue()
    const hand = makeEnqueue({ store: world.store, queue, log: silent, queuedFor: HOLD })
    await hand('consent', id)
    await hand('consent', id)
    await world.db.prisma
      .$executeRaw`UPDATE consents SET queued_until = clock_timestamp() - interval '1 second' WHERE id = ${id}::uuid`
    await hand('consent', id)
    expect(jobs.map(({ dispatchNo }) => dispatchNo)).toEqual([1, 2])
  })

  test('the queue is unavailable: nothing fails, the next sweep finds the record at once', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    const hand = makeEnqueue({ store: world.store, queue: aQueue({ fails: 0 }).queue, log: silent, queuedFor: HOLD })
    expect((await renew(world, { enqueue: hand, queuedFor: HOLD })(consent.id, aRun())).kind).toBe('done')
    const { queue, jobs } = aQueue()
    await sweepUrgent(deps(queue))()
    expect(jobs.map(({ queue: name }) => name)).toEqual(['notify'])
  })

  test('the database is unavailable: nothing fails either', async () => {
    const store = withStore(world, { dispatchOne: async () => Promise.reject(new Error('gone')) })
    await makeEnqueue({ store, queue: aQueue().queue, log: silent, queuedFor: HOLD })('consent', randomUUID())
  })
})

describe('the queue has given up a job', () => {
  const failed = async (id: string, queue: QueueName = 'exchange') =>
    recordFailure(world)({ queue, id, code: 'internal' })
  const died = async (): Promise<never> => Promise.reject(new Error('died'))
  const nextOf = async (id: string, queue: QueueName): Promise<number> => {
    const row =
      queue === 'exchange'
        ? await authorisation(world, id)
        : await world.db.prisma.notification.findUniqueOrThrow({ where: { id } })
    return row.nextActionAt?.getTime() ?? Number.NaN
  }
  /** The delay that a failure sets. The clock runs on while it is stored: the delay lies between two bounds. */
  const expectDelay = async (id: string, seconds: number, queue: QueueName = 'exchange'): Promise<void> => {
    const before = world.clock.now().toMillis()
    await failed(id, queue)
    const after = world.clock.now().toMillis()
    const next = await nextOf(id, queue)
    expect(next - after, `${seconds} s at least`).toBeLessThanOrEqual(seconds * 1000)
    expect(next - before, `${seconds} s at most`).toBeGreaterThanOrEqual(seconds * 1000)
  }
  /** The job of an attempt failed during `call`; returns the attempt's id. */
  const failedAt = async (call: 'exchangeCode' | 'readMe'): Promise<string> => {
    const { codeId } = await withCode(world)
    await expect(advance(world, { provider: { ...world.provider, [call]: died } })(codeId, aRun())).rejects.toThrow(
      'died',
    )
    return codeId
  }

  test('its record gets the code and a date in 15 minutes; a second failure does not bring it forward', async () => {
    const id = await failedAt('readMe')
    await expectDelay(id, 900)
    expect(await authorisation(world, id)).toMatchObject({ status: 'verifying', errorCode: 'internal' })
    const nextActionAt = world.clock.now().plus({ hours: 5 }).toJSDate()
    await world.db.prisma.authorisation.update({ where: { id }, data: { nextActionAt } })
    await failed(id)
    expect(await authorisation(world, id)).toMatchObject({ nextActionAt })
  })

  test('a valid code is delayed ten seconds, never past its expiry, an expired one a quarter of an hour', async () => {
    const { codeId } = await withCode(world)
    const { codeReceivedAt } = await authorisation(world, codeId)
    await expectDelay(codeId, 10)
    world.clock.advance({ seconds: 275 })
    await expectDelay(codeId, 10)
    world.clock.advance({ seconds: 8 })
    await failed(codeId)
    const expiresAt = new Date((codeReceivedAt?.getTime() ?? Number.NaN) + CODE_TTL.toMillis())
    expect(await authorisation(world, codeId)).toMatchObject({ nextActionAt: expiresAt })
    world.clock.advance({ seconds: 8 })
    await expectDelay(codeId, 900)
  })

  test('a code whose job an operator retried in vain is exchanged by the code timer while it is valid', async () => {
    const { codeId } = await withCode(world)
    const beginExchange = died
    await expect(
      advance(world, { store: withStore(world, { beginExchange }) })(codeId, aRun({ manual: true })),
    ).rejects.toThrow('died')
    await failed(codeId)
    world.clock.advance({ seconds: 11 })
    const now = world.clock.now()
    expect(await world.store.findStuckCodes(now.minus({ seconds: 10 }), now, 10)).toEqual([codeId])
  })

  test('a code that was perhaps sent is settled soon', async () => {
    const id = await failedAt('exchangeCode')
    await expectDelay(id, 10)
    expect((await authorisation(world, id)).status).toBe('exchanging')
  })

  test('a message that was perhaps sent is settled soon, one that was certainly not sent is delayed', async () => {
    const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
    await renew(world)(consent.id, aRun())
    const [{ id } = { id: '' }] = await world.notificationsOf(consent.id)
    const claim = await world.store.claim('notification', id, LEASE)
    if (claim.kind !== 'claimed') throw new Error('not claimed')
    await world.store.beginSending(claim.claim, world.clock.now(), 1000)
    await world.store.release(claim.claim)
    await expectDelay(id, 10, 'notify')
    await planting(world.db).notification.update({ where: { id }, data: { status: 'pending' } })
    await expectDelay(id, 900, 'notify')
  })

  test('a record that another worker holds is left alone, whatever that worker is about to do', async () => {
    const { codeId } = await withCode(world)
    const messages = await world.db.prisma.notification.findMany({ where: { status: 'sent' }, take: 1 })
    const id = messages[0]?.id ?? ''
    await planting(world.db).notification.update({
      where: { id },
      data: { status: 'pending', nextActionAt: world.clock.now().toJSDate() },
    })
    await world.store.claim('authorisation', codeId, LEASE)
    await world.store.claim('notification', id, LEASE)
    const rows = async () => [
      await authorisation(world, codeId),
      await world.db.prisma.notification.findUniqueOrThrow({ where: { id } }),
    ]
    const before = await rows()
    await failed(codeId)
    await failed(id, 'notify')
    expect(await rows()).toEqual(before)
  })

  test('a closed record stays closed; an unknown id or queue does no harm', async () => {
    const { codeId } = await withCode(world)
    await planting(world.db).authorisation.update({
      where: { id: codeId },
      data: { status: 'refused', nextActionAt: null },
    })
    await failed(codeId)
    expect((await authorisation(world, codeId)).nextActionAt).toBeNull()
    for (const queue of ['sweep', 'reauth', 'notify', 'exchange'] as const) await failed('no id', queue)
  })
})

const ownUrl = async (): Promise<string> => {
  const [row] = await world.db.prisma.$queryRaw<{ name: string }[]>`SELECT current_database() AS name`
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${row?.name ?? ''}`
  return url.href
}
