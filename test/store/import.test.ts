import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { StaleClaim } from '../../src/errors.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { ImportRow } from '../../src/store/administration-port.ts'
import { Secret } from '../../src/secret.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { holdLocks } from '../setup/locks.ts'
import { planting } from '../setup/plant.ts'

const vault = makeVault({ keys: ringOf('k1') })
const policy = aPolicy()
let opened: ReturnType<typeof openStore>
beforeAll(async () => {
  opened = openStore({ url: new Secret(await createDatabase()), vault, connections: 6 })
})
afterAll(async () => opened.close())

const put = async (rows: ImportRow | ImportRow[], { correct = false, now = NOW, with: used = policy } = {}) =>
  imports(opened.db, used).importBatch([rows].flat(), { now, correct })
const kindOf = async (row: ImportRow, options = {}) => (await put(row, options))[0]?.kind
const read = async (row: ImportRow) => {
  const consent = await opened.store.findConsent(row.credentialsId)
  const history = consent === undefined ? undefined : await listing(opened.db).getHistory(consent.id)
  if (history === undefined) throw new Error('no such consent')
  return history
}
const tokenOf = async (row: ImportRow): Promise<string> =>
  (await opened.store.readRefreshToken((await read(row)).consent.id)).token.reveal()
/** The tokens in the order in which they are tried. */
const tokensOf = async (row: ImportRow): Promise<string[]> =>
  (await opened.store.readTokens((await read(row)).consent.id)).tokens.map(({ token }) => token.reveal())
const eventsOf = async (row: ImportRow): Promise<string[]> => (await read(row)).events.map(({ type }) => type)

/** The records that a reauth job leaves for a due consent: an open cycle with a message on its way. */
const openCycle = async (row: ImportRow) => {
  const { consent } = await read(row)
  const renewalId = randomUUID()
  const at = NOW.toJSDate()
  await opened.db.prisma.renewal.create({
    data: {
      id: renewalId,
      consentId: consent.id,
      cycle: consent.cycle,
      openedBy: 'system',
      reason: 'due',
      openedAt: at,
      previousExpiresAt: consent.expiresAt.toJSDate(),
    },
  })
  const message = {
    consentId: consent.id,
    renewalId,
    cycle: consent.cycle,
    channel: 'email',
    situation: 'reminder',
    createdAt: at,
  }
  await opened.db.prisma.notification.createMany({
    data: [
      {
        ...message,
        id: randomUUID(),
        rung: '-7d',
        status: 'sent',
        sentAt: at,
        createdAt: NOW.minus({ days: 4 }).toJSDate(),
      },
      { ...message, id: randomUUID(), rung: '-3d', status: 'pending', nextActionAt: at },
    ],
  })
}

describe('a new row', () => {
  test('is a consent that is dated for when it is due, with its token sealed and one event', async () => {
    const row = aRow({ refreshToken: 'the-secret-token' })
    expect(await put(row)).toEqual([{ kind: 'created', detail: undefined, superseded: 0 }])
    const { consent, events } = await read(row)
    expect(consent).toMatchObject({
      status: 'active',
      cycle: 1,
      expiresSource: 'imported',
      tokenVersion: 1,
      userId: row.userId,
      scopes: row.scopes,
    })
    // The consent is not due yet: the first rung is 14 days before the expiry, not now.
    expect(consent.nextActionAt?.toISO()).toBe(NOW.plus({ days: 46 }).toISO())
    expect(events).toMatchObject([{ seq: 1, type: 'consent.imported', actor: 'company' }])
    expect(await tokenOf(row)).toBe('the-secret-token')
    const stored = await opened.db.prisma.$queryRaw<
      object[]
    >`SELECT consents.*::text, events.*::text FROM consents JOIN events ON events.consent_id = consents.id`
    expect(JSON.stringify(stored)).not.toContain('the-secret-token')
  })

  test('has a random id that lies beside those of its batch, and apart from other batches', async () => {
    const batches = await Promise.all(
      [0, 1].map(async () => {
        const rows = [aRow(), aRow(), aRow()]
        await put(rows)
        return Promise.all(rows.map(async (row) => (await read(row)).consent.id))
      }),
    )
    const ids = batches.flat()
    expect(new Set(ids).size).toBe(6)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(batches.map((batch) => new Set(batch.map((id) => id.slice(0, 13))).size)).toEqual([1, 1])
    expect(batches[0]?.[0]?.slice(0, 13)).not.toBe(batches[1]?.[0]?.slice(0, 13))
  })

  test('that is due, in grace or past it is dated now', async () => {
    for (const days of [3, -10, -200]) {
      const row = aRow({ expiresAt: NOW.plus({ days }) })
      await put(row)
      expect((await read(row)).consent.nextActionAt?.toISO()).toBe(NOW.toISO())
    }
  })

  test('with a consent date alone gets the expiry its bank gives', async () => {
    const row = aRow({ expiresAt: undefined, consentedAt: NOW.minus({ days: 10 }) })
    await put(row)
    expect((await read(row)).consent).toMatchObject({ expiresSource: 'assumed' })
    expect((await read(row)).consent.expiresAt.toISO()).toBe(NOW.plus({ days: 80 }).toISO())
    expect(await kindOf(row)).toBe('unchanged')
  })
})

describe('the same row again', () => {
  test('changes nothing, to the last column', async () => {
    const row = aRow()
    await put(row)
    const all = async () =>
      opened.db.prisma.$queryRaw`SELECT * FROM consents WHERE credentials_id = ${row.credentialsId}`
    const before = await all()
    expect(await kindOf(row, { now: NOW.plus({ hours: 1 }) })).toBe('unchanged')
    expect(await kindOf(row, { correct: true })).toBe('unchanged')
    expect(await all()).toEqual(before)
    expect(await eventsOf(row)).toEqual(['consent.imported'])
  })

  test('in the same batch is one consent; the later of two counts', async () => {
    const row = aRow()
    const results = await put([row, row, { ...row, expiresAt: NOW.plus({ days: 80 }) }])
    expect(results.map(({ kind }) => kind)).toEqual(['created', 'unchanged', 'repaired'])
    expect(await eventsOf(row)).toEqual(['consent.imported', 'consent.repaired'])
    expect((await read(row)).consent.expiresAt.toISO()).toBe(NOW.plus({ days: 80 }).toISO())
  })

  test('waits for no lock of others and takes none', async () => {
    const row = aRow()
    await put(row)
    const held = await holdLocks(opened.db, 'SELECT 1 FROM consents WHERE credentials_id = $1 FOR UPDATE', [
      row.credentialsId,
    ])
    expect(await kindOf(row)).toBe('unchanged')
    await held.commit()
  })

  test('beside other rows about its connection is taken in the order of the file', async () => {
    const row = aRow({ name: 'Ada' })
    await put(row)
    const later = NOW.plus({ days: 80 })
    const results = await put([
      row,
      { ...row, expiresAt: later, name: 'Bob' },
      row,
      aRow({ refreshToken: row.refreshToken.reveal() }),
    ])
    expect(results.map(({ kind }) => kind)).toEqual(['unchanged', 'repaired', 'updated', 'refused'])
    const { consent } = await read(row)
    expect([consent.expiresAt.toISO(), consent.name]).toEqual([later.toISO(), 'Ada'])
  })

  test('from two imports at once is one consent', async () => {
    const rows = Array.from({ length: 30 }, () => aRow())
    const results = (await Promise.all([put(rows), put(rows.toReversed()), put(rows)])).flat()
    expect(results.filter(({ kind }) => kind === 'created')).toHaveLength(30)
    expect(results.filter(({ kind }) => kind === 'unchanged')).toHaveLength(60)
  })
})

describe('batches that are given while others are written', () => {
  test('are written in the order in which they were given', async () => {
    const importer = imports(opened.db, policy)
    const given = { now: NOW, correct: false }
    const [first, second] = [aRow(), aRow()]
    // The first batch tells that the file is new: from then on, consents are made before their batch begins.
    await importer.importBatch([aRow()], given)
    const results = await Promise.all([
      importer.importBatch([first, second], given),
      importer.importBatch([aRow(), { ...first, expiresAt: NOW.plus({ days: 80 }) }], given),
      importer.importBatch([{ ...second, name: 'Bob' }, second], given),
      importer.importBatch([first, { ...second, name: 'Bob' }], given),
    ])
    expect(results.map((batch) => batch.map(({ kind }) => kind))).toEqual([
      ['created', 'created'],
      ['created', 'repaired'],
      ['updated', 'updated'],
      ['unchanged', 'updated'],
    ])
    expect((await read(second)).consent.name).toBe('Bob')
  })

  test('are rejected along with one that fails; what is given afterwards is written', async () => {
    const importer = imports(opened.db, policy)
    const given = { now: NOW, correct: false }
    const [bad, behind, after] = [aRow({ name: 'no text of PostgreSQL: \u0000' }), aRow(), aRow()]
    const [failed, along] = await Promise.allSettled([
      importer.importBatch([bad], given),
      importer.importBatch([behind], given),
    ])
    expect([failed.status, along.status]).toEqual(['rejected', 'rejected'])
    expect(await opened.store.findConsent(behind.credentialsId)).toBeUndefined()
    expect(await importer.importBatch([after, behind], given)).toMatchObject([{ kind: 'created' }, { kind: 'created' }])
  })
})

describe('a later date', () => {
  test('closes the cycle as repaired, cancels unsent messages, keeps both tokens, dates the next cycle', async () => {
    const row = aRow({ expiresAt: NOW.plus({ days: 5 }), refreshToken: 'old' })
    await put(row)
    await openCycle(row)
    const before = await opened.store.claim('consent', (await read(row)).consent.id, NOW.plus({ minutes: 1 }).diff(NOW))
    expect(await kindOf({ ...row, expiresAt: NOW.plus({ days: 90 }), refreshToken: new Secret('new') })).toBe(
      'repaired',
    )
    const { consent, renewals, notifications } = await read(row)
    expect(consent).toMatchObject({ status: 'active', cycle: 2, tokenVersion: 1, candidate: { version: 1 } })
    expect(consent.nextActionAt?.toISO()).toBe(NOW.plus({ days: 76 }).toISO())
    expect(renewals).toMatchObject([{ cycle: 1, status: 'repaired' }])
    expect(notifications.map(({ status }) => status)).toEqual(['sent', 'cancelled'])
    expect(await tokensOf(row)).toEqual(['new', 'old'])
    // A job that held a claim on the consent can write nothing more.
    if (before.kind !== 'claimed') throw new Error('not claimed')
    await expect(opened.store.scheduleConsent(before.claim, NOW, 'late')).rejects.toThrow(StaleClaim)
  })

  test('with the same token keeps its version, and brings no candidate', async () => {
    const row = aRow({ expiresAt: NOW.plus({ days: 5 }) })
    await put(row)
    await put({ ...row, expiresAt: NOW.plus({ days: 90 }) })
    expect((await read(row)).consent).toMatchObject({ tokenVersion: 1, candidate: undefined })
  })

  test('opens a lapsed or unsupported consent again and leaves a paused or quarantined one as it is', async () => {
    for (const [status, after] of [
      ['lapsed', 'active'],
      ['unsupported', 'active'],
      ['paused', 'paused'],
      ['quarantined', 'quarantined'],
    ] as const) {
      const row = aRow({ expiresAt: NOW.minus({ days: 100 }) })
      await put(row)
      await planting(opened.db).consent.update({
        where: { credentialsId: row.credentialsId },
        data: { status, nextActionAt: null },
      })
      expect(await kindOf({ ...row, expiresAt: NOW.plus({ days: 60 }) })).toBe('repaired')
      const { consent } = await read(row)
      expect(consent).toMatchObject({ status: after, cycle: 2 })
      expect(consent.nextActionAt === undefined).toBe(after !== 'active')
    }
  })

  test('is refused for one that is closed for good', async () => {
    const row = aRow()
    await put(row)
    await administration(opened.db, policy).closeForGood((await read(row)).consent.id, 'opted_out', {
      now: NOW,
      reason: 'asked',
    })
    expect(await put({ ...row, expiresAt: NOW.plus({ days: 80 }) })).toMatchObject([
      { kind: 'refused', detail: expect.stringContaining('opted_out') },
    ])
    expect(await kindOf(row)).toBe('unchanged')
  })
})

describe('a date that is not later', () => {
  test('moves nothing back and replaces no token: another one waits beside ours', async () => {
    const row = aRow({ refreshToken: 'ours, not moved' })
    await put(row)
    const before = (await read(row)).consent
    const other = { ...row, expiresAt: NOW.plus({ days: 1 }), refreshToken: new Secret('theirs, not later') }
    expect(await put(other)).toEqual([{ kind: 'updated', detail: undefined, superseded: 0 }])
    expect(await tokenOf(row)).toBe('ours, not moved')
    expect(await tokensOf(row)).toEqual(['theirs, not later', 'ours, not moved'])
    expect((await read(row)).consent).toMatchObject({
      tokenVersion: 1,
      expiresAt: before.expiresAt,
      nextActionAt: before.nextActionAt,
    })
  })

  test('than that of a renewal which is being committed just now moves nothing back either', async () => {
    const row = aRow({ expiresAt: NOW.plus({ days: 5 }), refreshToken: 'ours' })
    await put(row)
    const renewed = NOW.plus({ days: 90 })
    const held = await holdLocks(
      opened.db,
      'UPDATE consents SET expires_at = $2, cycle = 2 WHERE credentials_id = $1',
      [row.credentialsId, renewed.toJSDate()],
    )
    const results = put({ ...row, expiresAt: NOW.plus({ days: 60 }), refreshToken: row.refreshToken })
    await held.untilWaiting(1)
    await held.commit()
    expect(await results).toMatchObject([{ kind: 'unchanged' }])
    const { consent } = await read(row)
    expect([consent.expiresAt.toISO(), consent.cycle]).toEqual([renewed.toISO(), 2])
    expect(await tokenOf(row)).toBe('ours')
  })

  test('is taken with --correct: the cycle goes on, and the consent is due now', async () => {
    const row = aRow({ refreshToken: 'ours, corrected' })
    await put(row)
    const other = { ...row, expiresAt: NOW.plus({ days: 1 }), refreshToken: new Secret('theirs, correct') }
    expect(await kindOf(other, { correct: true })).toBe('updated')
    const { consent } = await read(row)
    expect(consent).toMatchObject({ cycle: 1, tokenVersion: 1 })
    expect(consent.expiresAt.toISO()).toBe(NOW.plus({ days: 1 }).toISO())
    expect(consent.nextActionAt?.toISO()).toBe(NOW.toISO())
    expect(await tokensOf(row)).toEqual(['theirs, correct', 'ours, corrected'])
    expect(await eventsOf(row)).toEqual(['consent.imported', 'consent.updated', 'token.imported'])
  })

  test('may bring other contacts; only the names of their fields are recorded', async () => {
    const row = aRow({ email: undefined })
    await put(row)
    expect(await kindOf({ ...row, email: 'new@example.com', name: 'Bob' })).toBe('updated')
    const { consent, events } = await read(row)
    expect(consent).toMatchObject({ email: 'new@example.com', name: 'Bob' })
    // The consent had no channel before and has one now.
    expect(consent.nextActionAt?.toISO()).toBe(NOW.toISO())
    expect(events.at(-1)).toMatchObject({ type: 'consent.updated', data: { fields: ['email', 'name'] } })
    expect(JSON.stringify(events)).not.toContain('new@example.com')
  })
})

describe('two consents of one user at one bank', () => {
  const pair = (over: Partial<ImportRow> = {}): [ImportRow, ImportRow] => {
    const older = aRow({ expiresAt: NOW.plus({ days: 5 }) })
    return [older, { ...aRow({ userId: older.userId, expiresAt: NOW.plus({ days: 85 }) }), ...over }]
  }
  const replacing = (): [ImportRow, ImportRow] => {
    const [older, newer] = pair()
    return [older, { ...newer, supersedes: older.credentialsId }]
  }
  const statusesOf = async (...rows: ImportRow[]): Promise<string[]> =>
    Promise.all(rows.map(async (row) => (await read(row)).consent.status))

  test('both stay: personal and business are two logins', async () => {
    const [older, newer] = pair()
    expect(await put([older, newer])).toMatchObject([
      { kind: 'created', superseded: 0 },
      { kind: 'created', superseded: 0 },
    ])
    expect(await put({ ...older, expiresAt: NOW.plus({ days: 89 }) })).toMatchObject([
      { kind: 'repaired', superseded: 0 },
    ])
    expect(await statusesOf(older, newer)).toEqual(['active', 'active'])
  })

  test('one that says that it supersedes the other closes it, its cycle and its messages', async () => {
    const [older, newer] = replacing()
    await put(older)
    await openCycle(older)
    const claimed = await opened.store.claim(
      'consent',
      (await read(older)).consent.id,
      NOW.plus({ minutes: 1 }).diff(NOW),
    )
    expect(await put(newer)).toEqual([{ kind: 'created', detail: undefined, superseded: 1 }])
    const { consent, renewals, notifications, events } = await read(older)
    expect(consent).toMatchObject({
      status: 'superseded',
      nextActionAt: undefined,
      supersededById: (await read(newer)).consent.id,
    })
    expect(renewals).toMatchObject([{ status: 'cancelled' }])
    expect(notifications.map(({ status }) => status)).toEqual(['sent', 'cancelled'])
    expect(events.at(-1)).toMatchObject({
      type: 'consent.superseded',
      actor: 'company',
      data: { by: newer.credentialsId },
    })
    // A worker that held a claim on the consent can write nothing more.
    const { fencingToken } = await opened.db.prisma.consent.findUniqueOrThrow({ where: { id: consent.id } })
    expect(claimed).toMatchObject({ kind: 'claimed', claim: { fencingToken: fencingToken - 1 } })
    const all = async () =>
      opened.db.prisma.$queryRaw`SELECT * FROM consents WHERE user_id = ${older.userId} ORDER BY id`
    const rows = await all()
    expect(await put([older, newer])).toEqual([
      { kind: 'unchanged', detail: undefined, superseded: 0 },
      { kind: 'unchanged', detail: undefined, superseded: 0 },
    ])
    expect(await put([newer, older], { correct: true })).toMatchObject([{ kind: 'unchanged' }, { kind: 'unchanged' }])
    expect(await all()).toEqual(rows)
  })

  test('the named one may come later, in the same batch or another: until then a warning', async () => {
    const [older, newer] = replacing()
    expect(await put([newer, older])).toMatchObject([
      { kind: 'created', detail: expect.stringContaining('no such consent yet'), superseded: 0 },
      { kind: 'created', superseded: 1 },
    ])
    const [first, second] = replacing()
    expect(await put(second)).toMatchObject([
      { kind: 'created', detail: expect.stringContaining('no such consent yet'), superseded: 0 },
    ])
    expect(await put(first)).toEqual([{ kind: 'created', detail: undefined, superseded: 1 }])
    for (const [from, by] of [
      [older, newer],
      [first, second],
    ] as const) {
      expect((await read(from)).consent).toMatchObject({
        status: 'superseded',
        supersededById: (await read(by)).consent.id,
      })
      expect(await eventsOf(from)).toEqual(['consent.imported', 'consent.superseded'])
      expect(await statusesOf(by)).toEqual(['active'])
    }
  })

  test('said after both were imported, it is an update of the newer one', async () => {
    const [older, newer] = pair()
    await put([older, newer])
    expect(await put({ ...newer, supersedes: older.credentialsId })).toEqual([
      { kind: 'updated', detail: undefined, superseded: 1 },
    ])
    expect(await eventsOf(newer)).toEqual(['consent.imported', 'consent.updated'])
    expect(await statusesOf(older, newer)).toEqual(['superseded', 'active'])
    // A row without the field does not undo an earlier `supersedes`.
    expect(await put(newer)).toMatchObject([{ kind: 'unchanged' }])
  })

  test('another bank or date does not matter, another user does: left out with a warning, both are named', async () => {
    const [older, newer] = replacing()
    await put(older)
    expect(await put({ ...newer, providerId: 'ob-monzo', expiresAt: NOW.plus({ days: 1 }) })).toMatchObject([
      { kind: 'created', superseded: 1 },
    ])
    const [alices, bobs] = replacing()
    await put(alices)
    const { id } = (await read(alices)).consent
    const detail = `supersedes: names the connection of another user (consent ${id}), left out: both stay`
    expect(await put({ ...bobs, userId: 'bob' })).toEqual([{ kind: 'created', detail, superseded: 0 }])
    expect(await put({ ...bobs, userId: 'bob' })).toEqual([{ kind: 'unchanged', detail, superseded: 0 }])
    expect(await statusesOf(alices, bobs)).toEqual(['active', 'active'])
    const { credentialsId } = bobs
    expect((await opened.db.prisma.consent.findUniqueOrThrow({ where: { credentialsId } })).supersedes).toBeNull()
  })

  test("another user's that comes later stays, with a warning", async () => {
    const [alices, bobs] = replacing()
    await put({ ...bobs, userId: 'bob' })
    expect(await put(alices)).toMatchObject([
      { kind: 'created', detail: expect.stringContaining('both stay'), superseded: 0 },
    ])
    expect(await statusesOf(alices, bobs)).toEqual(['active', 'active'])
  })

  test('a chain is followed, in whatever order its links come', async () => {
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]) {
      for (const together of [true, false]) {
        const [a, b] = replacing()
        const c = { ...aRow({ userId: a.userId, expiresAt: NOW.plus({ days: 88 }) }), supersedes: b.credentialsId }
        const rows = order.map((index) => [a, b, c][index] ?? a)
        if (together) await put(rows)
        else for (const row of rows) await put(row)
        expect(await statusesOf(a, b, c), `${order.join()} ${together}`).toEqual(['superseded', 'superseded', 'active'])
        expect((await put(rows)).map(({ kind }) => kind)).toEqual(['unchanged', 'unchanged', 'unchanged'])
      }
    }
  })

  test('in a ring of any length the row that would close it is left out: one consent stays open', async () => {
    for (const length of [2, 3, 5]) {
      for (const together of [true, false]) {
        const userId = `ring-${length}-${together}`
        const ring = Array.from({ length }, () => aRow({ userId }))
        const rows = ring.map((row, index) => ({ ...row, supersedes: ring[(index + 1) % length]?.credentialsId }))
        const results = together ? await put(rows) : await inTurn(rows)
        expect(
          results.filter(({ detail }) => detail?.includes('took the place of this one')),
          `${length} ${together}`,
        ).toHaveLength(1)
        const statuses = await opened.db.prisma.consent.findMany({ where: { userId }, select: { status: true } })
        expect(statuses.filter(({ status }) => status === 'active')).toHaveLength(1)
        expect(statuses).toHaveLength(length)
      }
    }
  })
  const inTurn = async (rows: readonly ImportRow[]) => {
    const results: Awaited<ReturnType<typeof put>> = []
    for (const row of rows) results.push(...(await put(row)))
    return results
  }

  test('a row against an earlier one is left out too: newer and older exchanged', async () => {
    const [older, newer] = replacing()
    await put([older, newer])
    expect(await put({ ...older, supersedes: newer.credentialsId })).toMatchObject([
      { kind: 'unchanged', detail: expect.stringContaining('left out') },
    ])
    expect(await statusesOf(older, newer)).toEqual(['superseded', 'active'])
  })

  test('one that is already closed stays as it is', async () => {
    for (const status of ['revoked', 'opted_out'] as const) {
      const [older, newer] = replacing()
      await put(older)
      await administration(opened.db, policy).closeForGood((await read(older)).consent.id, status, {
        now: NOW,
        reason: 'test',
      })
      expect(await put(newer)).toEqual([{ kind: 'created', detail: undefined, superseded: 0 }])
      expect(await statusesOf(older)).toEqual([status])
    }
    const [older, newer] = replacing()
    const third = { ...aRow({ userId: older.userId }), supersedes: older.credentialsId }
    await put([older, newer])
    expect(await put(third)).toMatchObject([{ kind: 'created', superseded: 0 }])
    expect((await read(older)).consent.supersededById).toBe((await read(newer)).consent.id)
  })

  test('paused, quarantined, lapsed and unsupported ones are closed like any other', async () => {
    for (const status of ['paused', 'quarantined', 'lapsed', 'unsupported']) {
      const [older, newer] = replacing()
      await put(older)
      await planting(opened.db).consent.update({
        where: { credentialsId: older.credentialsId },
        data: { status, nextActionAt: null },
      })
      expect(await put(newer)).toMatchObject([{ superseded: 1 }])
      expect(await statusesOf(older)).toEqual(['superseded'])
    }
  })

  // Neither transaction sees what the other has not committed, so without a lock each would miss the other's row.
  test('imported at the same moment by two imports: the older is closed all the same', async () => {
    const pairs = Array.from({ length: 25 }, replacing)
    await Promise.all(pairs.flatMap(([older, newer]) => [put(newer), put(older)]))
    const left = await opened.db.prisma.consent.count({
      where: { credentialsId: { in: pairs.map(([older]) => older.credentialsId) }, status: { not: 'superseded' } },
    })
    expect(left).toBe(0)
  })
})

describe('a connection that we have', () => {
  test('is given to no other user, whatever made the ids equal', async () => {
    const alice = aRow({ userId: 'alice' })
    await put(alice)
    const bob = { ...aRow({ userId: 'bob', expiresAt: NOW.plus({ days: 80 }) }), credentialsId: alice.credentialsId }
    expect(await put(bob)).toEqual([
      {
        kind: 'refused',
        detail: 'user_id is not the one we have: a connection does not change its user (--correct forces)',
        superseded: 0,
      },
    ])
    expect((await put([alice, bob, alice])).map(({ kind }) => kind)).toEqual(['unchanged', 'refused', 'unchanged'])
    expect((await read(alice)).consent).toMatchObject({ userId: 'alice' })
    expect(await kindOf(bob, { correct: true })).toBe('repaired')
  })
})
