// Refresh tokens in imports: what differs waits as a candidate, and a token belongs to one connection.
import { randomUUID } from 'node:crypto'
import { Duration } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { StaleClaim } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { administration } from '../../src/store/administration.ts'
import type { ImportRow } from '../../src/store/administration-port.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { checkCells } from '../../src/verify/cells.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'

const vault = makeVault({ keys: ringOf('k1') })
const policy = aPolicy()
let opened: ReturnType<typeof openStore>
beforeAll(async () => {
  opened = openStore({ url: new Secret(await createDatabase()), vault, connections: 8 })
})
afterAll(async () => opened.close())

const put = async (rows: ImportRow | ImportRow[], { correct = false, now = NOW } = {}) =>
  imports(opened.db, policy).importBatch([rows].flat(), { now, correct })
const idOf = async ({ credentialsId }: ImportRow): Promise<string> =>
  (await opened.store.findConsent(credentialsId))?.id ?? Promise.reject(new Error('no such consent'))
const consentOf = async (row: ImportRow) =>
  (await opened.store.getView(await idOf(row)))?.consent ?? Promise.reject(new Error('gone'))
const tokensOf = async (row: ImportRow): Promise<string[]> =>
  (await opened.store.readTokens(await idOf(row))).tokens.map(({ token }) => token.reveal())
const eventsOf = async (row: ImportRow): Promise<string[]> =>
  ((await listing(opened.db).getHistory(await idOf(row)))?.events ?? []).map(({ type }) => type)
const withToken = (row: ImportRow, token: string, over: Partial<ImportRow> = {}): ImportRow => ({
  ...row,
  ...over,
  refreshToken: new Secret(token),
})
const statesOf = async (row: ImportRow): Promise<Record<string, number>> => {
  const known = await opened.db.prisma.tokenFingerprint.findMany({ where: { consentId: await idOf(row) } })
  const counts: Record<string, number> = {}
  for (const { state } of known) counts[state] = (counts[state] ?? 0) + 1
  return counts
}
/** A token that no other test has. */
const aToken = (name: string): string => `${name}-${randomUUID()}`

describe('a token that differs', () => {
  test('waits as a candidate, sealed under a name of its own, whatever the date of its row', async () => {
    for (const days of [60, 59, 80]) {
      const [ours, theirs] = [aToken('ours'), aToken('theirs')]
      const row = aRow({ refreshToken: ours })
      await put(row)
      await put(withToken(row, theirs, { expiresAt: NOW.plus({ days }) }))
      expect(await consentOf(row)).toMatchObject({ tokenVersion: 1, candidate: { version: 1, arrivedAt: NOW } })
      expect(await tokensOf(row)).toEqual([theirs, ours])
      expect(await statesOf(row)).toEqual({ current: 1, candidate: 1 })
      const stored = await opened.db.prisma.consent.findUniqueOrThrow({ where: { credentialsId: row.credentialsId } })
      expect(JSON.stringify(stored)).not.toContain(theirs)
      // Put in the place of the current token, it does not open.
      const { candidateToken, candidateVersion } = stored
      await opened.db.prisma.consent.update({
        where: { id: stored.id },
        data: {
          refreshToken: candidateToken ?? '',
          tokenVersion: candidateVersion,
          candidateToken: stored.refreshToken,
        },
      })
      await expect(opened.store.readTokens(stored.id)).rejects.toMatchObject({ code: 'decryption-failed' })
    }
  })

  test('the same file a second time changes nothing, to the last column', async () => {
    const row = aRow()
    const other = withToken(row, aToken('theirs'), { tokenIssuedAt: NOW.minus({ days: 1 }) })
    await put(row)
    await put(other)
    const all = async () => ({
      consent: await opened.db.prisma.consent.findUniqueOrThrow({ where: { credentialsId: row.credentialsId } }),
      known: await opened.db.prisma.tokenFingerprint.findMany({ where: { consentId: await idOf(row) } }),
    })
    const before = await all()
    for (const correct of [false, true])
      expect(await put([row, other], { correct, now: NOW.plus({ hours: 1 }) })).toMatchObject([
        { kind: 'unchanged' },
        { kind: 'unchanged' },
      ])
    expect(await all()).toEqual(before)
    expect(await eventsOf(row)).toEqual(['consent.imported', 'token.imported'])
  })

  test('takes the place of an earlier candidate, but not of one that was issued later', async () => {
    const row = aRow({ refreshToken: aToken('ours') })
    const [first, second, third] = [aToken('first'), aToken('second'), aToken('third')]
    await put(row)
    await put(withToken(row, first, { tokenIssuedAt: NOW.minus({ days: 3 }) }))
    expect(await put(withToken(row, second, { tokenIssuedAt: NOW.minus({ days: 4 }) }))).toMatchObject([
      { kind: 'unchanged' },
    ])
    expect((await tokensOf(row))[0]).toBe(first)
    await put(withToken(row, third, { tokenIssuedAt: NOW.minus({ days: 2 }) }))
    expect((await tokensOf(row))[0]).toBe(third)
    expect(await statesOf(row)).toEqual({ current: 1, replaced: 1, candidate: 1 })
    // The provider has not judged the first one: it is not barred.
    await put(withToken(row, first))
    expect((await tokensOf(row))[0]).toBe(first)
  })

  test('with a date of issue given later gets that date', async () => {
    const row = aRow()
    const issuedAt = NOW.minus({ days: 2 })
    await put(row)
    expect(await put({ ...row, tokenIssuedAt: issuedAt })).toMatchObject([{ kind: 'updated' }])
    expect((await consentOf(row)).tokenIssuedAt).toEqual(issuedAt)
    expect(await put({ ...row, tokenIssuedAt: NOW })).toMatchObject([{ kind: 'unchanged' }])
  })

  test('--correct on a whole stale file loses no token', async () => {
    const rows = Array.from({ length: 40 }, () => aRow())
    await put(rows)
    const stale = rows.map((row) => withToken(row, aToken('stale'), { expiresAt: NOW.plus({ days: 20 }) }))
    await put(stale, { correct: true })
    for (const [index, row] of rows.entries()) {
      expect((await consentOf(row)).expiresAt.toISO()).toBe(NOW.plus({ days: 20 }).toISO())
      expect(new Set(await tokensOf(row))).toEqual(
        new Set([row.refreshToken.reveal(), stale[index]?.refreshToken.reveal()]),
      )
    }
  })

  test('changes nothing of a consent that is closed for good', async () => {
    const row = aRow()
    await put(row)
    await administration(opened.db, policy).closeForGood(await idOf(row), 'opted_out', { now: NOW, reason: 'asked' })
    expect(await put(withToken(row, aToken('late')), { correct: true })).toEqual([
      { kind: 'unchanged', detail: undefined, superseded: 0 },
    ])
    expect(await tokensOf(row)).toEqual([row.refreshToken.reveal()])
  })

  test('replaces one that does not decrypt, whatever the date', async () => {
    const row = aRow()
    await put(row)
    await opened.db.prisma.consent.update({
      where: { credentialsId: row.credentialsId },
      data: { refreshToken: 'v1.gone.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA' },
    })
    const fresh = aToken('fresh')
    expect(await put(withToken(row, fresh))).toMatchObject([{ kind: 'updated' }])
    expect(await tokensOf(row)).toEqual([fresh])
    expect(await consentOf(row)).toMatchObject({ tokenVersion: 2, candidate: undefined })
  })

  test('brings back the very token whose key is lost, though it is on record', async () => {
    const row = aRow()
    await put(row)
    await opened.db.prisma.consent.update({
      where: { credentialsId: row.credentialsId },
      data: { refreshToken: 'v1.gone.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA' },
    })
    expect(await put(row)).toMatchObject([{ kind: 'updated' }])
    expect(await tokensOf(row)).toEqual([row.refreshToken.reveal()])
  })

  test('brings back a candidate that does not decrypt', async () => {
    const row = aRow()
    await put(row)
    const fresh = aToken('fresh')
    await put(withToken(row, fresh))
    await opened.db.prisma.consent.update({
      where: { credentialsId: row.credentialsId },
      data: { candidateToken: 'v1.gone.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA' },
    })
    expect(await put(withToken(row, fresh))).toMatchObject([{ kind: 'updated' }])
    expect((await tokensOf(row)).toSorted()).toEqual([fresh, row.refreshToken.reveal()].toSorted())
  })

  test('after a rejection, and for the next cycle: what was said of older tokens counts no more', async () => {
    for (const repairs of [false, true]) {
      const row = aRow()
      await put(row)
      const rejected = { tokenRejectedAt: NOW.toJSDate(), lastErrorCode: 'provider-failed', retryAfter: NOW.toJSDate() }
      await opened.db.prisma.consent.update({ where: { credentialsId: row.credentialsId }, data: rejected })
      const next = repairs
        ? { ...row, expiresAt: row.expiresAt?.plus({ days: 80 }) }
        : withToken(row, aToken('after a rejection'))
      await put(next, { now: NOW.plus({ hours: 1 }) })
      expect(await consentOf(row)).toMatchObject({
        tokenRejectedAt: undefined,
        retryAfter: undefined,
        ...(repairs ? {} : { nextActionAt: NOW.plus({ hours: 1 }) }),
      })
    }
  })

  test('makes a consent that waits for a token due now, and stale the claim of a worker just refused', async () => {
    const row = aRow()
    await put(row)
    const id = await idOf(row)
    const rest = { until: NOW.plus({ days: 1 }), isOwn: true, tells: true, now: NOW, detail: 'reauth: 401' }
    const claim = async () => {
      const answer = await opened.store.claim('consent', id, Duration.fromObject({ minutes: 1 }))
      return answer.kind === 'claimed' ? answer.claim : Promise.reject(new Error(answer.kind))
    }
    await opened.store.backOffRejected(await claim(), rest)
    const late = await claim()
    await put(withToken(row, aToken('new')), { now: NOW.plus({ hours: 1 }) })
    const { nextActionAt, retryAfter } = await consentOf(row)
    expect([nextActionAt?.toISO(), retryAfter]).toEqual([NOW.plus({ hours: 1 }).toISO(), undefined])
    await expect(opened.store.backOffRejected(late, rest)).rejects.toThrow(StaleClaim)
  })

  test('of a consent that waits for nothing moves no date and no claim', async () => {
    const row = aRow({ expiresAt: NOW.plus({ days: 5 }) })
    await put(row)
    const answer = await opened.store.claim('consent', await idOf(row), Duration.fromObject({ minutes: 1 }))
    const before = await consentOf(row)
    await put(withToken(row, aToken('new')), { now: NOW.plus({ hours: 1 }) })
    expect((await consentOf(row)).nextActionAt).toEqual(before.nextActionAt)
    if (answer.kind === 'claimed') await opened.store.scheduleConsent(answer.claim, NOW, 'still mine')
    expect(answer.kind).toBe('claimed')
  })
})

describe('a token that the provider has rejected or replaced', () => {
  test('is left out with a warning, and the rest of its row is taken', async () => {
    const row = aRow()
    await put(row)
    const id = await idOf(row)
    const dead = aToken('dead')
    await put(withToken(row, dead))
    await opened.store.rejectCandidate(id, 1, NOW)
    expect(await put(withToken(row, dead, { name: 'Bob' }))).toMatchObject([
      { kind: 'updated', detail: expect.stringContaining('rejected or replaced') },
    ])
    expect(await consentOf(row)).toMatchObject({ name: 'Bob', candidate: undefined })
    expect(await put(withToken(row, dead, { name: 'Bob' }))).toMatchObject([{ kind: 'unchanged' }])
  })

  test('is current again if the provider itself answers with it', async () => {
    const row = aRow()
    await put(row)
    const id = await idOf(row)
    const rotate = async (token: string, version: number) =>
      opened.store.storeRotated({
        consentId: id,
        authorisationId: randomUUID(),
        version,
        token: new Secret(token),
        now: NOW,
      })
    const next = aToken('next')
    expect(await rotate(next, 1)).toBe(true)
    expect(await put(row)).toMatchObject([{ detail: expect.stringContaining('rejected or replaced') }])
    expect(await rotate(row.refreshToken.reveal(), 2)).toBe(true)
    expect(await tokensOf(row)).toEqual([row.refreshToken.reveal()])
    expect(await statesOf(row)).toEqual({ current: 1, superseded: 1 })
  })

  test('only the last sixteen of a consent are remembered, with the living ones among them', async () => {
    const row = aRow()
    await put(row)
    const id = await idOf(row)
    for (let version = 1; version <= 20; version += 1)
      await opened.store.storeRotated({
        consentId: id,
        authorisationId: randomUUID(),
        version,
        token: new Secret(aToken(`rotated ${version}`)),
        now: NOW.plus({ minutes: version }),
      })
    expect(await statesOf(row)).toEqual({ current: 1, superseded: 15 })
  })
})

describe('a token of another connection', () => {
  test('makes a bad row, whether that has it, had it, or only waits with it; both are named', async () => {
    const [one, other] = [aRow(), aRow()]
    await put([one, other])
    const candidate = aToken('candidate')
    await put(withToken(one, candidate))
    const id = await idOf(one)
    for (const token of [one.refreshToken.reveal(), candidate]) {
      for (const row of [withToken(other, token, { name: 'Bob' }), withToken(aRow(), token)]) {
        const [result] = await put(row, { correct: true })
        expect(result?.kind).toBe('refused')
        expect(result?.detail).toContain(id)
        expect(result?.detail).toContain(one.credentialsId)
        expect(result?.detail).not.toContain(token)
      }
    }
    expect(await consentOf(other)).toMatchObject({ name: 'Ada', candidate: undefined })
    await opened.store.rejectCandidate(id, 1, NOW)
    expect(await put(withToken(other, candidate))).toMatchObject([{ kind: 'refused' }])
  })

  test('twice in one file: the second row is bad, new or known', async () => {
    const token = aToken('twice')
    const [first, second] = [withToken(aRow(), token), withToken(aRow(), token)]
    const results = await put([first, second])
    expect(results.map(({ kind }) => kind)).toEqual(['created', 'refused'])
    expect(results[1]?.detail).toContain(await idOf(first))
    const [known, shifted] = [aRow(), aRow()]
    await put([known, shifted])
    const other = aToken('other')
    expect((await put([withToken(known, other), withToken(shifted, other)])).map(({ kind }) => kind)).toEqual([
      'updated',
      'refused',
    ])
  })

  test('a file whose tokens are shifted by one row gives nobody another one’s', async () => {
    const rows = Array.from({ length: 12 }, () => aRow())
    await put(rows)
    const shifted = rows.map((row, index) => withToken(row, rows[(index + 1) % 12]?.refreshToken.reveal() ?? ''))
    expect(new Set((await put(shifted)).map(({ kind }) => kind))).toEqual(new Set(['refused']))
    for (const row of rows) expect(await tokensOf(row)).toEqual([row.refreshToken.reveal()])
  })

  // Neither transaction sees what the other has not committed.
  test('brought by two imports at the same moment: one of them is refused', async () => {
    for (let round = 0; round < 10; round += 1) {
      const token = aToken('race')
      const results = await Promise.all([put(withToken(aRow(), token)), put(withToken(aRow(), token))])
      expect(
        results
          .flat()
          .map(({ kind }) => kind)
          .sort(),
      ).toEqual(['created', 'refused'])
    }
  })

  test('a consent from before, without fingerprints, gets them when an import touches it', async () => {
    const [old, other] = [aRow(), aRow()]
    await put([old, other])
    await opened.db.prisma.tokenFingerprint.deleteMany({ where: { consentId: await idOf(old) } })
    await put({ ...old, name: 'Bob' })
    expect(await statesOf(old)).toEqual({ current: 1 })
    expect(await put(withToken(other, old.refreshToken.reveal()))).toMatchObject([{ kind: 'refused' }])
  })
})

test('deep verify names a candidate that does not decrypt; the current token is used all the same', async () => {
  const row = aRow()
  await put(row)
  await put(withToken(row, aToken('theirs')))
  const id = await idOf(row)
  const verified = async () => opened.db.prisma.$transaction(async (tx) => checkCells(tx, vault))
  const records = (await verified()).map(({ record }) => record)
  await opened.db.prisma.consent.update({
    where: { id },
    data: { candidateToken: 'v1.gone.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA' },
  })
  const found = (await verified()).filter(({ record }) => !records.includes(record))
  expect(found.map(({ what }) => what)).toEqual([expect.stringContaining('candidate_token does not decrypt')])
  expect(await tokensOf(row)).toEqual([row.refreshToken.reveal()])
})
