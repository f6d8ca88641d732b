import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { Secret } from '../../src/secret.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { ConsentFilter } from '../../src/store/port.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'

const policy = aPolicy()
let opened: ReturnType<typeof openStore>
const ids: string[] = []
const rows = [
  aRow({ userId: 'ada', expiresAt: NOW.plus({ days: 3 }) }),
  aRow({ userId: 'ada', providerId: 'uk-ob-hsbc', expiresAt: NOW.plus({ days: 60 }) }),
  aRow({ email: undefined, expiresAt: NOW.minus({ days: 3 }) }),
  aRow({ expiresAt: NOW.plus({ days: 5 }) }),
  aRow({ expiresAt: NOW.plus({ days: 70 }) }),
]
beforeAll(async () => {
  opened = openStore({
    url: new Secret(await createDatabase()),
    vault: makeVault({ keys: ringOf('k1') }),
    connections: 6,
  })
  await imports(opened.db, policy).importBatch(rows, { now: NOW, correct: false })
  for (const { credentialsId } of rows) ids.push((await opened.store.findConsent(credentialsId))?.id ?? '')
  await administration(opened.db, policy).pauseConsent(ids[4] ?? '', { now: NOW, reason: 'test' })
})
afterAll(async () => opened.close())

describe('listing consents', () => {
  const table: Record<string, [ConsentFilter, number[]]> = {
    'all of them': [{}, [0, 1, 2, 3, 4]],
    'by status': [{ status: 'paused' }, [4]],
    'by user': [{ userId: 'ada' }, [0, 1]],
    'by bank': [{ providerId: 'uk-ob-hsbc' }, [1]],
    'by expiry': [{ expiresBefore: NOW.plus({ days: 4 }) }, [0, 2]],
    'without a channel': [{ withoutChannel: true }, [2]],
    'by several at once': [{ userId: 'ada', expiresBefore: NOW.plus({ days: 4 }) }, [0]],
  }
  test.each(Object.entries(table))('%s', async (_, [filter, expected]) => {
    const found = await listing(opened.db).pageConsents(filter)
    expect(found.map(({ id }) => id)).toEqual(expected.map((index) => ids[index]).toSorted())
  })

  test('goes on after the last id, without a gap or a repetition', async () => {
    const seen: string[] = []
    for (let afterId: string | undefined; ; afterId = seen.at(-1)) {
      const page = await listing(opened.db).pageConsents({}, { afterId, limit: 2 })
      seen.push(...page.map(({ id }) => id))
      if (page.length < 2) break
    }
    expect(seen).toEqual(ids.toSorted())
  })
})

test('due consents come with all that decides their action, the longest overdue first, page by page', async () => {
  const later = NOW.plus({ days: 50 })
  const seen = []
  for (let after: { at: typeof NOW; id: string } | undefined; ;) {
    const page = await listing(opened.db).pageDue(later, { after, limit: 2 })
    seen.push(...page)
    const last = page.at(-1)?.consent
    if (page.length < 2 || last?.nextActionAt === undefined) break
    after = { at: last.nextActionAt, id: last.id }
  }
  expect(seen.map(({ consent }) => consent.id).toSorted()).toEqual([ids[0], ids[1], ids[3]].toSorted())
  expect(seen.at(-1)?.consent.id).toBe(ids[1])
  expect(seen[0]).toEqual(await opened.store.getView(seen[0]?.consent.id ?? ''))
})

test('counts say how many records wait for an operator', async () => {
  const counts = await listing(opened.db).statusCounts(NOW.plus({ minutes: 5 }))
  expect(counts).toMatchObject({
    consents: { active: 4, paused: 1, revoked: 0 },
    withoutChannel: 1,
    uncertainNotifications: 0,
    authorisationsInDoubt: 0,
    openCircuits: [],
  })
  expect(counts.oldestOverdue.consent?.toISO()).toBe(NOW.toISO())
  expect(counts.oldestOverdue.notification).toBeUndefined()
  expect(counts.feedLagSeconds).toBeGreaterThan(0)
  await opened.store.sequenceEvents(100)
  expect((await listing(opened.db).statusCounts(NOW)).feedLagSeconds).toBe(0)
  await opened.store.countFailure({
    code: 'client-rejected',
    connection: 'a',
    now: NOW,
    since: NOW.minus({ minutes: 5 }),
    threshold: 1,
    trialEvery: NOW.plus({ minutes: 1 }).diff(NOW),
  })
  expect((await listing(opened.db).statusCounts(NOW)).openCircuits).toMatchObject([{ code: 'client-rejected' }])
})
