// Many writers, some of whose transactions abort, two sequencers and readers that never wait: every reader reads each
// event once, in the order of each consent.
import { setTimeout as delay } from 'node:timers/promises'
import { randomInt } from 'node:crypto'
import { Duration } from 'luxon'
import { expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { makeLog } from '../../src/log.ts'
import { runEvery } from '../../src/processors/run-every.ts'
import { placeEvents } from '../../src/processors/place-events.ts'
import { Secret } from '../../src/secret.ts'
import { appendEvent } from '../setup/append-event.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner } from '../setup/roles.ts'

const open = (url: string, connections = 8) =>
  openStore({ url: new Secret(url), vault: makeVault({ keys: ringOf('k1') }), connections })
type Opened = ReturnType<typeof open>

const importConsents = async ({ db, store }: Opened, count: number): Promise<string[]> => {
  const rows = Array.from({ length: count }, () => aRow({ expiresAt: NOW.plus({ days: 60 }) }))
  await imports(db, aPolicy()).importBatch(rows, { now: NOW, correct: false })
  return Promise.all(rows.map(async ({ credentialsId }) => (await store.findConsent(credentialsId))?.id ?? ''))
}

const event = { type: 'consent.updated', at: NOW, actor: 'company' } as const

/**
 * One transaction: a few events of a few consents, in their order; some transactions take their number early, some are
 * rolled back, some take long.
 */
const writeSome = async ({ db }: Opened, ids: readonly string[]): Promise<void> => {
  const chosen = [
    ...new Set(Array.from({ length: randomInt(1, 4) }, () => ids[randomInt(ids.length)] ?? '')),
  ].toSorted()
  const isUndone = randomInt(5) === 0
  await db.prisma
    .$transaction(async (tx) => {
      if (randomInt(3) === 0) await tx.$queryRaw`SELECT pg_current_xact_id()::text`
      for (const id of chosen) await appendEvent(tx, id, event)
      if (randomInt(4) === 0) await delay(randomInt(60))
      if (isUndone) throw new Error('undone')
    })
    .catch((error: unknown) => {
      if (!isUndone) throw error
    })
}

test('every reader sees every event exactly once, in the order of its consent', async () => {
  const url = await createDatabase()
  const [writers, sequencers, readers] = [open(url), open(url, 4), open(url, 4)]
  const ids = await importConsents(writers, 12)
  let writing = true
  let placing = true
  const write = async (): Promise<void> => {
    for (let times = 0; times < 60; times += 1) await writeSome(writers, ids)
  }
  // Small batches and no turns: each sequencer takes the lock when it is free.
  const sequence = async (): Promise<void> => {
    while (writing) await sequencers.store.sequenceEvents(randomInt(1, 8))
  }
  const read = async (limit: number): Promise<Map<string, number>> => {
    const lastSeq = new Map<string, number>()
    let cursor: string | undefined
    for (;;) {
      const wasPlacing = placing
      const page = await listing(readers.db).listFeed(cursor, limit)
      for (const { consentId, seq } of page) {
        expect(seq).toBe((lastSeq.get(consentId) ?? 0) + 1)
        lastSeq.set(consentId, seq)
      }
      cursor = page.at(-1)?.cursor ?? cursor
      if (page.length === 0 && !wasPlacing) return lastSeq
    }
  }
  const reading = [1, 3, 50].map(read)
  const sequencing = [sequence(), sequence()]
  await Promise.all(Array.from({ length: 6 }, write))
  writing = false
  await Promise.all(sequencing)
  while ((await sequencers.db.prisma.unsequencedEvent.count()) > 0) await sequencers.store.sequenceEvents(100)
  placing = false
  const { rows } = await asOwner(url, 'SELECT id, event_seq FROM consents')
  const expected = new Map(rows.map((row: { id: string; event_seq: number }) => [row.id, row.event_seq]))
  for (const seen of await Promise.all(reading))
    expect(new Map([...seen].toSorted())).toEqual(new Map([...expected].toSorted()))
  await Promise.all([writers, sequencers, readers].map(async ({ close }) => close()))
})

test('without its lock a second sequencer waits at the primary key and fails: no position is given twice', async () => {
  const url = await createDatabase()
  const opened = open(url)
  await importConsents(opened, 3)
  let release = (): void => undefined
  let placed = (): void => undefined
  const isPlaced = new Promise<void>((resolve) => (placed = resolve))
  // Does a sequencer's work without our lock, as if under another schema's lock.
  const other = opened.db.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`INSERT INTO event_positions SELECT 1, consent_id, seq, repeat('0', 16) FROM events LIMIT 1`
    placed()
    await new Promise<void>((resolve) => (release = resolve))
  })
  await isPlaced
  const ours = opened.store.sequenceEvents(10)
  const end = ours.then(
    () => 'placed',
    () => 'failed',
  )
  await expect
    .poll(
      async () =>
        (
          await asOwner(
            url,
            'SELECT count(*)::int AS waiting FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM ' +
              'pg_stat_activity WHERE datname = current_database())',
          )
        ).rows[0]?.waiting,
    )
    .toBe(1)
  release()
  await other
  expect(await end).toBe('failed')
  expect(await listing(opened.db).listFeed(undefined, 10)).toHaveLength(3)
  await opened.close()
})

test('a process that sequences delays no other: the other one finds it at work and leaves', async () => {
  const url = await createDatabase()
  const opened = open(url)
  await importConsents(opened, 3)
  await opened.db.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`SELECT pg_advisory_xact_lock(1720635, 'event_positions'::regclass::oid::int)::text`
    expect(await opened.store.sequenceEvents(10)).toBe(0)
    expect(await listing(opened.db).listFeed(undefined, 10)).toEqual([])
  })
  expect(await opened.store.sequenceEvents(10)).toBe(3)
  await opened.close()
})

test('killed in the middle of a batch: nothing is lost, the next one does the whole batch', async () => {
  const url = await createDatabase()
  const opened = open(url)
  await importConsents(opened, 3)
  const ours = await opened.db.prisma.$transaction(async (tx) => {
    // The sequencer has taken the notes and waits to write the positions.
    await tx.$executeRaw`LOCK TABLE event_positions IN EXCLUSIVE MODE`
    const end = opened.store.sequenceEvents(10).then(
      () => 'placed',
      () => 'failed',
    )
    const kill = `
      SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'event_positions'::regclass AND NOT granted`
    await expect.poll(async () => (await asOwner(url, kill)).rowCount).toBe(1)
    return { end }
  })
  expect(await ours.end).toBe('failed')
  expect(await opened.db.prisma.eventPosition.count()).toBe(0)
  expect(await opened.store.sequenceEvents(10)).toBe(3)
  expect(await listing(opened.db).listFeed(undefined, 10)).toHaveLength(3)
  await opened.close()
})

// Retried, because the load of other tests does not count.
test('under load an event has its position within a second of its commit', { retry: 2 }, async () => {
  const url = await createDatabase()
  const [writers, scheduler, reader] = [open(url), open(url, 2), open(url, 2)]
  const ids = await importConsents(writers, 200)
  const timer = runEvery({
    name: 'feed',
    every: Duration.fromMillis(250),
    tickWithin: Duration.fromMillis(10_000),
    log: makeLog({ level: 'silent' }),
    tick: placeEvents({ store: scheduler.store }),
  })
  const lags: number[] = []
  const write = async (first: number): Promise<void> => {
    for (let no = first; no < ids.length; no += 4) {
      await writers.db.prisma.$transaction(async (tx) => appendEvent(tx, ids[no] ?? '', event))
      const committed = performance.now()
      if (no % 40 !== first) continue
      // Not through `listFeed`, which would itself give the event a position.
      while ((await reader.db.prisma.eventPosition.count({ where: { consentId: ids[no] ?? '', seq: 2 } })) === 0)
        await delay(10)
      lags.push(performance.now() - committed)
    }
  }
  await Promise.all([0, 1, 2, 3].map(write))
  await timer.stop({ endsWithinMs: 5_000, settlesWithinMs: 5_000 })
  console.log(`places were given after ${lags.map((lag) => Math.round(lag)).join(', ')} ms`)
  expect(lags).toHaveLength(20)
  expect(Math.max(...lags)).toBeLessThan(1_000)
  await Promise.all([writers, scheduler, reader].map(async ({ close }) => close()))
})
