import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { newId } from '../../src/store/renewals.ts'
import type { ImportRow } from '../../src/store/administration-port.ts'
import { Secret } from '../../src/secret.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { holdLocks } from '../setup/locks.ts'

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
const tokenOf = async (row: ImportRow): Promise<string> => (await opened.store.readRefreshToken((await read(row)).consent.id)).token.reveal()
const eventsOf = async (row: ImportRow): Promise<string[]> => (await read(row)).events.map(({ type }) => type)

/** As a reauth job leaves a due consent: an open cycle with a message on its way. */
const openCycle = async (row: ImportRow) => {
  const { consent } = await read(row)
  const renewalId = newId()
  const at = NOW.toJSDate()
  await opened.db.prisma.renewal.create({
    data: { id: renewalId, consentId: consent.id, cycle: consent.cycle, openedBy: 'system', reason: 'due', openedAt: at, previousExpiresAt: consent.expiresAt.toJSDate() },
  })
  const message = { consentId: consent.id, renewalId, cycle: consent.cycle, channel: 'email', situation: 'reminder', createdAt: at }
  await opened.db.prisma.notification.createMany({
    data: [
      { ...message, id: newId(), rung: '-7d', status: 'sent', sentAt: at, createdAt: NOW.minus({ days: 4 }).toJSDate() },
      { ...message, id: newId(), rung: '-3d', status: 'pending', nextActionAt: at },
    ],
  })
}

describe('a new row', () => {
  test('is a consent that is dated for when it is due, with its token sealed and one event', async () => {
    const row = aRow({ refreshToken: 'the-secret-token' })
    expect(await put(row)).toEqual([{ kind: 'created', detail: undefined, superseded: 0 }])
    const { consent, events } = await read(row)
    expect(consent).toMatchObject({ status: 'active', cycle: 1, expiresSource: 'imported', tokenVersion: 1, userId: row.userId, scopes: row.scopes })
    // Healthy: the first rung is 14 days before the expiry, not now.
    expect(consent.nextActionAt?.toISO()).toBe(NOW.plus({ days: 46 }).toISO())
    expect(events).toMatchObject([{ seq: 1, type: 'consent.imported', actor: 'company' }])
    expect(await tokenOf(row)).toBe('the-secret-token')
    const stored = await opened.db.prisma.$queryRaw<object[]>`SELECT consents.*::text, events.*::text FROM consents JOIN events ON events.consent_id = consents.id`
    expect(JSON.stringify(stored)).not.toContain('the-secret-token')
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
    const all = async () => opened.db.prisma.$queryRaw`SELECT * FROM consents WHERE credentials_id = ${row.credentialsId}`
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

  test('from two imports at once is one consent', async () => {
    const rows = Array.from({ length: 30 }, () => aRow())
    const results = (await Promise.all([put(rows), put(rows.toReversed()), put(rows)])).flat()
    expect(results.filter(({ kind }) => kind === 'created')).toHaveLength(30)
    expect(results.filter(({ kind }) => kind === 'unchanged')).toHaveLength(60)
  })
})

describe('a later date', () => {
  test('closes the cycle as repaired, cancels what has not left, takes the token, and dates the next cycle', async () => {
    const row = aRow({ expiresAt: NOW.plus({ days: 5 }), refreshToken: 'old' })
    await put(row)
    await openCycle(row)
    const before = await opened.store.claim('consent', (await read(row)).consent.id, NOW.plus({ minutes: 1 }).diff(NOW))
    expect(await kindOf({ ...row, expiresAt: NOW.plus({ days: 90 }), refreshToken: new Secret('new') })).toBe('repaired')
    const { consent, renewals, notifications } = await read(row)
    expect(consent).toMatchObject({ status: 'active', cycle: 2, tokenVersion: 2 })
    expect(consent.nextActionAt?.toISO()).toBe(NOW.plus({ days: 76 }).toISO())
    expect(renewals).toMatchObject([{ cycle: 1, status: 'repaired' }])
    expect(notifications.map(({ status }) => status)).toEqual(['sent', 'cancelled'])
    expect(await tokenOf(row)).toBe('new')
    // A job that was at work on it writes nothing more.
    if (before.kind !== 'claimed') throw new Error('not claimed')
    expect(await opened.store.dateConsent(before.claim, NOW, 'late')).toBe(false)
  })

  test('with the same token keeps its version', async () => {
    const row = aRow({ expiresAt: NOW.plus({ days: 5 }) })
    await put(row)
    await put({ ...row, expiresAt: NOW.plus({ days: 90 }) })
    expect((await read(row)).consent.tokenVersion).toBe(1)
  })

  test('opens a lapsed or unsupported consent again and leaves a paused or quarantined one as it is', async () => {
    for (const [status, after] of [['lapsed', 'active'], ['unsupported', 'active'], ['paused', 'paused'], ['quarantined', 'quarantined']] as const) {
      const row = aRow({ expiresAt: NOW.minus({ days: 100 }) })
      await put(row)
      await opened.db.prisma.consent.update({ where: { credentialsId: row.credentialsId }, data: { status, nextActionAt: null } })
      expect(await kindOf({ ...row, expiresAt: NOW.plus({ days: 60 }) })).toBe('repaired')
      const { consent } = await read(row)
      expect(consent).toMatchObject({ status: after, cycle: 2 })
      expect(consent.nextActionAt === undefined).toBe(after !== 'active')
    }
  })

  test('is refused for one that is closed for good', async () => {
    const row = aRow()
    await put(row)
    await administration(opened.db, policy).closeForGood((await read(row)).consent.id, 'opted_out', { now: NOW, reason: 'asked' })
    expect(await put({ ...row, expiresAt: NOW.plus({ days: 80 }) })).toMatchObject([{ kind: 'refused', detail: expect.stringContaining('opted_out') }])
    expect(await kindOf(row)).toBe('unchanged')
  })

  test('mends a token whose key is gone', async () => {
    const row = aRow()
    await put(row)
    await opened.db.prisma.consent.update({ where: { credentialsId: row.credentialsId }, data: { refreshToken: 'v1.gone.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA' } })
    expect(await kindOf({ ...row, expiresAt: NOW.plus({ days: 80 }), refreshToken: new Secret('fresh') })).toBe('repaired')
    expect(await tokenOf(row)).toBe('fresh')
  })
})

describe('a date that is not later', () => {
  test('moves nothing back and replaces no token', async () => {
    const row = aRow({ refreshToken: 'ours' })
    await put(row)
    const [result] = await put({ ...row, expiresAt: NOW.plus({ days: 1 }), refreshToken: new Secret('theirs') })
    expect(result).toMatchObject({ kind: 'unchanged', detail: expect.stringContaining('our token is kept') })
    expect(result?.detail).not.toContain('theirs')
    expect(await tokenOf(row)).toBe('ours')
  })

  test('than that of a renewal which is being committed just now moves nothing back either', async () => {
    const row = aRow({ expiresAt: NOW.plus({ days: 5 }), refreshToken: 'ours' })
    await put(row)
    const renewed = NOW.plus({ days: 90 })
    const held = await holdLocks(opened.db, 'UPDATE consents SET expires_at = $2, cycle = 2 WHERE credentials_id = $1', [row.credentialsId, renewed.toJSDate()])
    const results = put({ ...row, expiresAt: NOW.plus({ days: 60 }), refreshToken: new Secret('theirs') })
    await held.untilWaiting(1)
    await held.commit()
    expect(await results).toMatchObject([{ kind: 'unchanged' }])
    const { consent } = await read(row)
    expect([consent.expiresAt.toISO(), consent.cycle]).toEqual([renewed.toISO(), 2])
    expect(await tokenOf(row)).toBe('ours')
  })

  test('is taken with --correct: the cycle goes on, looked at now', async () => {
    const row = aRow({ refreshToken: 'ours' })
    await put(row)
    expect(await kindOf({ ...row, expiresAt: NOW.plus({ days: 1 }), refreshToken: new Secret('theirs') }, { correct: true })).toBe('updated')
    const { consent } = await read(row)
    expect(consent).toMatchObject({ cycle: 1, tokenVersion: 2 })
    expect(consent.expiresAt.toISO()).toBe(NOW.plus({ days: 1 }).toISO())
    expect(consent.nextActionAt?.toISO()).toBe(NOW.toISO())
    expect(await tokenOf(row)).toBe('theirs')
    expect(await eventsOf(row)).toEqual(['consent.imported', 'consent.updated'])
  })

  test('may bring other contacts, whose names alone are recorded', async () => {
    const row = aRow({ email: undefined })
    await put(row)
    expect(await kindOf({ ...row, email: 'new@example.com', name: 'Bob' })).toBe('updated')
    const { consent, events } = await read(row)
    expect(consent).toMatchObject({ email: 'new@example.com', name: 'Bob' })
    // It had no channel and has one now.
    expect(consent.nextActionAt?.toISO()).toBe(NOW.toISO())
    expect(events.at(-1)).toMatchObject({ type: 'consent.updated', data: { fields: ['email', 'name'] } })
    expect(JSON.stringify(events)).not.toContain('new@example.com')
  })
})

describe('two consents of one user at one bank', () => {
  const pair = (): [ImportRow, ImportRow] => {
    const older = aRow({ expiresAt: NOW.plus({ days: 5 }) })
    return [older, aRow({ userId: older.userId, expiresAt: NOW.plus({ days: 85 }) })]
  }

  test('the newer closes the older, its cycle and its messages', async () => {
    const [older, newer] = pair()
    await put(older)
    await openCycle(older)
    expect(await put(newer)).toEqual([{ kind: 'created', detail: undefined, superseded: 1 }])
    const { consent, renewals, notifications, events } = await read(older)
    expect(consent).toMatchObject({ status: 'superseded', nextActionAt: undefined, supersededById: (await read(newer)).consent.id })
    expect(renewals).toMatchObject([{ status: 'cancelled' }])
    expect(notifications.map(({ status }) => status)).toEqual(['sent', 'cancelled'])
    expect(events.at(-1)).toMatchObject({ type: 'consent.superseded', data: { by: newer.credentialsId } })
    expect(await put([older, newer])).toMatchObject([{ kind: 'unchanged' }, { kind: 'unchanged' }])
  })

  test('in whatever order and batch they come', async () => {
    for (const order of [(rows: ImportRow[]) => rows, (rows: ImportRow[]) => rows.toReversed()]) {
      const together = pair()
      expect((await put(order(together))).map(({ superseded }) => superseded).reduce((sum, one) => sum + one)).toBe(1)
      const apart = pair()
      for (const row of order(apart)) await put(row)
      for (const [older, newer] of [together, apart]) {
        expect((await read(older)).consent.status).toBe('superseded')
        expect((await read(newer)).consent.status).toBe('active')
      }
    }
  })

  test('of the same date, at different banks, or where the policy says so, both stay', async () => {
    const [older, newer] = pair()
    await put([older, { ...newer, expiresAt: older.expiresAt }])
    expect((await read(older)).consent.status).toBe('active')
    const [first, second] = pair()
    await put([first, { ...second, providerId: 'uk-ob-hsbc' }])
    expect((await read(first)).consent.status).toBe('active')
    const [one, two] = pair()
    await put([one, two], { with: aPolicy({ import: { supersedeOlder: false } }) })
    expect((await read(one)).consent.status).toBe('active')
  })

  test('a repaired one closes the other too', async () => {
    const [older, newer] = pair()
    await put([older, newer].map((row) => ({ ...row, expiresAt: NOW.plus({ days: 5 }) })))
    expect(await put(newer)).toMatchObject([{ kind: 'repaired', superseded: 1 }])
    expect((await read(older)).consent.status).toBe('superseded')
  })
})
