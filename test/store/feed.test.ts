// The feed as its readers see it: each event once, none skipped however late it commits, and no cursor taken for
// another event's.
import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { CursorUnknown } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import type { FeedEvent } from '../../src/store/administration-port.ts'
import { noteForgottenEvents } from '../../src/store/event-sequencer.ts'
import { appendEvent } from '../setup/append-event.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { asOwner, createAppRole } from '../setup/roles.ts'

let url: string
let opened: ReturnType<typeof openStore>
let ids: string[]
beforeEach(async () => {
  url = await createDatabase()
  opened = openStore({ url: new Secret(url), vault: makeVault({ keys: ringOf('k1') }), connections: 6 })
  const rows = Array.from({ length: 4 }, () => aRow({ expiresAt: NOW.plus({ days: 60 }) }))
  await imports(opened.db, aPolicy()).importBatch(rows, { now: NOW, correct: false })
  ids = await Promise.all(
    rows.map(async ({ credentialsId }) => (await opened.store.findConsent(credentialsId))?.id ?? ''),
  )
  return async () => opened.close()
})

const add = async (consent: number, reason: string): Promise<void> =>
  opened.db.prisma.$transaction(async (tx) =>
    appendEvent(tx, ids[consent] ?? '', { type: 'consent.updated', at: NOW, actor: 'company', reason }),
  )

const readAll = async (after?: string, limit = 2): Promise<FeedEvent[]> => {
  const all: FeedEvent[] = []
  for (;;) {
    const page = await listing(opened.db).listFeed(all.at(-1)?.cursor ?? after, limit)
    all.push(...page)
    if (page.length < limit) return all
  }
}
const reasons = (events: readonly FeedEvent[]) => events.map(({ reason }) => reason)
const cursorOf = (events: readonly FeedEvent[]): string => events.at(-1)?.cursor ?? ''

/** A transaction that has written an event; calling the returned function commits it. */
const slowly = async (consent: number, reason: string) => {
  let release = (): void => undefined
  let written = (): void => undefined
  const isWritten = new Promise<void>((resolve) => (written = resolve))
  const committed = opened.db.prisma.$transaction(async (tx) => {
    await appendEvent(tx, ids[consent] ?? '', { type: 'consent.updated', at: NOW, actor: 'company', reason })
    written()
    await new Promise<void>((resolve) => (release = resolve))
  })
  await isWritten
  return async (): Promise<void> => {
    release()
    await committed
  }
}

test('has each event once, of all consents, those of one consent in order', async () => {
  await add(3, 'last')
  const feed = await readAll()
  expect(feed).toHaveLength(5)
  expect(new Set(feed.map(({ consentId, seq }) => `${consentId} ${seq}`)).size).toBe(5)
  expect(feed.at(-1)).toMatchObject({ type: 'consent.updated', consentId: ids[3], seq: 2, reason: 'last' })
  expect(await listing(opened.db).listFeed(cursorOf(feed), 10)).toEqual([])
})

test('a transaction that commits late delays only its own events, and no event is skipped', async () => {
  const from = cursorOf(await readAll())
  const commit = await slowly(0, 'slow')
  await add(1, 'fast')
  const first = await readAll(from)
  expect(reasons(first)).toEqual(['fast'])
  await commit()
  expect(reasons(await readAll(cursorOf(first)))).toEqual(['slow'])
})

test('a rollback leaves no gap', async () => {
  const from = cursorOf(await readAll())
  await expect(
    opened.db.prisma.$transaction(async (tx) => {
      await appendEvent(tx, ids[0] ?? '', { type: 'consent.updated', at: NOW, actor: 'company', reason: 'undone' })
      throw new Error('undone')
    }),
  ).rejects.toThrow('undone')
  await add(0, 'done')
  expect(reasons(await readAll(from))).toEqual(['done'])
  const { rows } = await asOwner(url, 'SELECT max(position)::int AS last, count(*)::int AS count FROM event_positions')
  expect(rows).toEqual([{ last: 5, count: 5 }])
})

test('a transaction with an earlier number that waited for the consent comes after the one it waited for', async () => {
  await readAll()
  let mayWrite = (): void => undefined
  let hasNumber = (): void => undefined
  const numbered = new Promise<void>((resolve) => (hasNumber = resolve))
  const early = opened.db.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`SELECT pg_current_xact_id()::text`
    hasNumber()
    await new Promise<void>((resolve) => (mayWrite = resolve))
    await appendEvent(tx, ids[2] ?? '', { type: 'consent.updated', at: NOW, actor: 'company', reason: 'second' })
  })
  await numbered
  await add(2, 'first')
  mayWrite()
  await early
  expect(reasons(await readAll()).slice(-2)).toEqual(['first', 'second'])
})

test('the role with few rights gives events positions, and can neither note nor move any by itself', async () => {
  const appUrl = await createAppRole(url)
  const app = openStore({ url: new Secret(appUrl), vault: makeVault({ keys: ringOf('k1') }), connections: 2 })
  await app.db.prisma.$transaction(async (tx) =>
    appendEvent(tx, ids[0] ?? '', { type: 'consent.updated', at: NOW, actor: 'company' }),
  )
  expect(await listing(app.db).listFeed(undefined, 100)).toHaveLength(5)
  await app.close()
  for (const statement of [
    'UPDATE event_positions SET position = 0',
    'DELETE FROM event_positions',
    'TRUNCATE event_positions',
    'INSERT INTO unsequenced_events (consent_id, seq) VALUES (gen_random_uuid(), 1)',
  ]) {
    await expect(asOwner(appUrl, statement)).rejects.toThrow('permission denied')
  }
})

test('a search path without our schema does not keep an event from being noted', async () => {
  const [{ schema }] = (await asOwner(url, 'SELECT current_schema() AS schema')).rows as [{ schema: string }]
  await asOwner(
    url,
    `SET search_path = ''`,
    `
    INSERT INTO ${schema}.events (consent_id, seq, type, at, actor, hash) VALUES ('${ids[0]}', 2, 'consent.updated',
      now(), 'company', repeat('0', 64))`,
  )
  expect((await readAll()).at(-1)).toMatchObject({ consentId: ids[0], seq: 2 })
})

describe('notes of events that wait', () => {
  test('a note that comes twice, or too late, changes nothing', async () => {
    await add(0, 'noted twice')
    await asOwner(url, 'INSERT INTO unsequenced_events (consent_id, seq) SELECT consent_id, seq FROM events')
    const feed = await readAll()
    await asOwner(
      url,
      'INSERT INTO unsequenced_events (consent_id, seq) SELECT consent_id, seq FROM events',
      `INSERT INTO unsequenced_events (consent_id, seq) VALUES ('${randomUUID()}', 1)`,
    )
    expect(await readAll()).toEqual(feed)
    expect(await opened.store.sequenceEvents(10)).toBe(0)
  })

  test("a note that is lost is replaced by the consent's next one", async () => {
    await readAll()
    await add(0, 'unnoted')
    await asOwner(url, 'DELETE FROM unsequenced_events')
    await add(0, 'noted')
    expect(reasons(await readAll()).slice(-2)).toEqual(['unnoted', 'noted'])
  })

  test('notes that are lost are found by migrate', async () => {
    await add(1, 'unnoted')
    await asOwner(url, 'DELETE FROM unsequenced_events')
    expect(await readAll()).toEqual([])
    expect(await noteForgottenEvents(url)).toBe(5)
    expect(await noteForgottenEvents(url)).toBe(0)
    expect(await readAll()).toHaveLength(5)
  })
})

describe('a cursor', () => {
  const refused = async (cursor: string): Promise<void> =>
    expect(listing(opened.db).listFeed(cursor, 1)).rejects.toThrow(CursorUnknown)

  test('that is malformed is a RangeError', async () => {
    for (const cursor of [
      '',
      'x',
      '1',
      '1.2.3',
      "1.1'--",
      '1-',
      '1-xyz',
      '-1-0123456789abcdef',
      '1-0123456789ABCDEF',
      ' 1.1',
      '9999999999999999999.1',
    ]) {
      await expect(listing(opened.db).listFeed(cursor, 1)).rejects.toThrow(RangeError)
    }
  })

  test('from after a restored backup is refused, also when another event has its position', async () => {
    const kept = cursorOf(await readAll())
    await add(0, 'lost')
    const lost = cursorOf(await readAll(kept))
    await asOwner(
      url,
      `SET reconsent.rewrite_events = 'allowed'`,
      'DELETE FROM event_positions WHERE position = 5',
      'DELETE FROM events WHERE seq = 2',
      `
      UPDATE consents SET event_seq = 1, event_hash = events.hash FROM events WHERE events.consent_id = consents.id AND
        seq = 1`,
    )
    await refused(lost)
    await add(1, 'instead')
    expect(reasons(await readAll(kept))).toEqual(['instead'])
    await refused(lost)
  })

  test('whose event still has its position, but after others than before, is refused', async () => {
    const kept = cursorOf(await readAll())
    await add(0, 'before')
    await add(1, 'behind')
    const seen = cursorOf(await readAll(kept))
    // A failover that lost one event and both positions: on the other server an event with an older number comes in
    // between.
    await asOwner(
      url,
      `SET reconsent.rewrite_events = 'allowed'`,
      'DELETE FROM event_positions WHERE position > 4',
      `DELETE FROM events WHERE reason = 'before'`,
      `
      INSERT INTO events (consent_id, seq, type, at, actor, hash, transaction_id) VALUES ('${ids[2]}', 2,
        'consent.updated', now(), 'company', repeat('0', 64), 1)`,
    )
    expect(await noteForgottenEvents(url)).toBe(1)
    expect((await readAll(kept)).map(({ consentId }) => consentId)).toEqual([ids[2], ids[1]])
    expect(cursorOf(await readAll(kept)).split('-')[0]).toBe(seen.split('-')[0])
    await refused(seen)
  })

  describe('of the previous release', () => {
    const oldCursorOf = async (reason: string): Promise<string> =>
      (await asOwner(url, `SELECT transaction_id || '.' || position AS cursor FROM events WHERE reason = '${reason}'`))
        .rows[0]?.cursor ?? ''

    test('goes on after the event it names', async () => {
      for (const reason of ['a', 'b', 'c']) await add(0, reason)
      expect(reasons(await readAll(await oldCursorOf('a')))).toEqual(['b', 'c'])
      expect(await readAll(await oldCursorOf('c'))).toEqual([])
    })

    test('goes back to before the events that its reader has not seen, if they come earlier here', async () => {
      await readAll()
      // In the old feed `seen` came after `slow`, whose transaction is older; here `seen` gets its position first.
      const commit = await slowly(0, 'slow')
      await add(1, 'seen')
      await readAll()
      await commit()
      await add(2, 'next')
      expect(reasons(await readAll(await oldCursorOf('slow')))).toEqual(['seen', 'slow', 'next'])
      expect(reasons(await readAll(await oldCursorOf('seen')))).toEqual(['slow', 'next'])
    })

    test('of no event is refused', async () => {
      for (const cursor of ['1.1', '999999999.1', `${(await oldCursorOf('imported')).split('.')[0] || '2'}.999999`])
        await refused(cursor)
    })
  })
})
