// The plans of the statements whose cost must follow what is asked for, and not what is stored: on tables with
// statistics of a hundred thousand consents, of which few are due.
import { Duration } from 'luxon'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import { consentPages } from '../../src/store/consent-pages.ts'
import type { ConsentQuery } from '../../src/store/consent-pages-port.ts'
import type { ConsentFilter } from '../../src/store/port.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { type PlanKind, planKinds, plansOf, type Step } from '../setup/plans.ts'
import { asOwner } from '../setup/roles.ts'

const CONSENTS = 100_000
const TABLES = ['consents', 'renewals', 'authorisations', 'notifications', 'token_fingerprints', 'events'] as const
const policy = aPolicy()
const vault = makeVault({ keys: ringOf('k1') })
let url: string

const ago = NOW.minus({ days: 1 }).toISO()
const ahead = NOW.plus({ days: 10 }).toISO()

beforeAll(async () => {
  url = await createDatabase()
  // Of 200 consents one is due, and as many are paused; of 500 one cannot be reached.
  await asOwner(
    url,
    `INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, email, status, expires_at,
       expires_source, refresh_token, next_action_at, next_action_reason, created_at, updated_at)
     SELECT gen_random_uuid(), 'cred-' || n, 'user-' || n,
       CASE n WHEN 7 THEN 'bank-rare' ELSE 'bank-' || n % 20 END, 'GB', 'https://example.com',
       CASE WHEN n % 500 > 0 THEN 'user@example.com' END, CASE n % 200 WHEN 1 THEN 'paused' ELSE 'active' END,
       timestamptz '${ahead}' + n * interval '1 minute', 'imported', repeat('x', 180),
       CASE n % 200 WHEN 1 THEN NULL WHEN 2 THEN timestamptz '${ago}' ELSE timestamptz '${ahead}' END, 'healthy',
       now(), now()
     FROM generate_series(1, ${CONSENTS}) AS n`,
    `INSERT INTO renewals (id, consent_id, cycle, opened_by, reason, opened_at, previous_expires_at)
     SELECT gen_random_uuid(), id, 1, 'system', 'a test', now(), now() FROM consents LIMIT 20000`,
    `INSERT INTO authorisations (id, consent_id, renewal_id, route, status, state_hash, done_id, redirect_uri,
       issued_at, expires_at)
     SELECT gen_random_uuid(), consent_id, id, 'reauth', 'expired', sha256(id::text::bytea), id::text,
       'https://example.com', now(), now() FROM renewals`,
    `INSERT INTO notifications (id, consent_id, renewal_id, cycle, rung, channel, status, situation, created_at)
     SELECT gen_random_uuid(), consent_id, id, 1, '-7d', 'email', 'sent', 'reminder', now() FROM renewals`,
    // Every consent was imported in the past year, one a few minutes; the last hundred lie after NOW.
    `INSERT INTO events (consent_id, seq, type, at, actor, hash)
     SELECT id, 1, 'consent.imported', timestamptz '${NOW.toISO()}' + (row_number() OVER (ORDER BY credentials_id) -
       ${CONSENTS - 100}) * interval '5 minutes', 'company', repeat('0', 64) FROM consents ORDER BY credentials_id`,
    `INSERT INTO token_fingerprints SELECT id, sha256(id::text::bytea), 'current', now() FROM consents`,
    `VACUUM ANALYZE ${TABLES.join(', ')}`,
  )
})

type Opened = ReturnType<typeof openStore>
/** The plans of what this work sends, on a connection of its own. */
const plansFor = async (work: (opened: Opened) => Promise<unknown>, kind?: PlanKind): Promise<Step[][]> => {
  const onOwn = async (): Promise<void> => {
    const opened = openStore({ url: new Secret(url), vault, connections: 1 })
    await work(opened)
    await opened.close()
  }
  return plansOf(url, TABLES, onOwn, kind)
}

const readsWhole = (steps: readonly Step[]): Step[] => steps.filter((step) => step.startsWith('Seq Scan '))
const sorts = (steps: readonly Step[]): Step[] => steps.filter((step) => step.endsWith('Sort'))

describe('a sweep', () => {
  const kinds = ['consent', 'authorisation', 'notification'] as const
  test.each(kinds.flatMap((kind) => planKinds.map((plan) => [kind, plan] as const)))(
    'reads what is due of each %s from its index, in order, by a plan %s',
    async (kind, plan) => {
      const [steps = []] = await plansFor(
        async ({ store }) => store.dispatchDue(kind, NOW, 500, Duration.fromObject({ minutes: 10 })),
        plan,
      )
      expect(steps).toContain(`Index Scan ${kind}s_due`)
      expect([readsWhole(steps), sorts(steps)]).toEqual([[], []])
    },
  )

  test.each(planKinds)('closes attempts whose time is over, and finds stuck codes, by a plan %s', async (plan) => {
    const plans = await plansFor(async ({ store }) => {
      await store.expireAttempts(NOW, 500)
      await store.findStuckCodes(NOW, NOW, 500)
    }, plan)
    expect(plans).toHaveLength(2)
    for (const steps of plans) expect(readsWhole(steps)).toEqual([])
  })

  test('that only looks reads each page of due consents from the index, without sorting equal dates', async () => {
    const [page = [], ...views] = await plansFor(async ({ db }) => {
      const [first] = await listing(db).pageDue(NOW, { limit: 1 })
      if (first?.consent.nextActionAt === undefined) throw new Error('nothing is due')
      await listing(db).pageDue(NOW, { after: { at: first.consent.nextActionAt, id: first.consent.id }, limit: 20 })
    })
    for (const steps of [page, ...views]) expect(readsWhole(steps)).toEqual([])
    for (const steps of [page, ...views.filter((one) => one.some((step) => step.endsWith(' consents_due')))])
      expect(sorts(steps)).toEqual([])
  })
})

describe('a page of a list', () => {
  const indexes: Record<string, [ConsentFilter, string]> = {
    'of all consents': [{}, 'consents_pkey'],
    'of the active ones': [{ status: 'active' }, 'consents_pkey'],
    'of the paused ones': [{ status: 'paused' }, 'consents_not_active'],
    'of those without a channel': [{ withoutChannel: true }, 'consents_unreached'],
    'of one user': [{ userId: 'user-7' }, 'consents_user_id_provider_id_idx'],
    'of a common bank': [{ providerId: 'bank-7' }, 'consents_provider_id_id_idx'],
    'of those that expire soon': [{ expiresBefore: NOW.plus({ days: 60 }) }, 'consents_pkey'],
  }
  test.each(Object.entries(indexes))('%s comes from an index', async (_, [filter, index]) => {
    const [steps = []] = await plansFor(async ({ db }) =>
      listing(db).pageConsents(filter, { afterId: '10000000-0000-4000-8000-000000000000', limit: 100 }),
    )
    expect(steps.some((step) => step.endsWith(` ${index}`))).toBe(true)
    expect(readsWhole(steps)).toEqual([])
  })
})

describe('a page of the API', () => {
  const soon = { before: NOW.plus({ days: 10, hours: 2 }) }
  const indexes: Record<string, [ConsentQuery, string]> = {
    'of all consents': [{}, 'consents_pkey'],
    'of the paused ones': [{ status: 'paused' }, 'consents_not_active'],
    'of one user': [{ userId: 'user-7' }, 'consents_user_id_provider_id_idx'],
    'of a rare bank': [{ providerId: 'bank-rare' }, 'consents_provider_id_id_idx'],
    'of those that expire soon': [{ expires: soon }, 'consents_status_expires_at_idx'],
    'of the paused ones that expire soon': [{ status: 'paused', expires: soon }, 'consents_status_expires_at_idx'],
    'of those that have changed': [{ changedSince: NOW }, 'consents_pkey'],
  }

  test.each(planKinds)(
    'is asked for what has changed since any instant by the ids of its consents, %s',
    async (kind) => {
      const [steps = []] = await plansFor(async ({ db }) => {
        const { changedAmong, pageOfConsents } = consentPages(db)
        const page = await pageOfConsents({}, { limit: 100 })
        const ids = page.map(({ id }) => id)
        expect((await changedAmong(ids, NOW.minus({ years: 5 }))).size).toBe(100)
      }, kind).then((plans) => plans.filter((plan) => plan.some((step) => step.endsWith(' events_pkey'))))
      expect(steps.length).toBeGreaterThan(0)
      expect(readsWhole(steps)).toEqual([])
    },
  )

  test.each(planKinds)('of those that have changed reads no table whole, %s', async (kind) => {
    const plans = await plansFor(
      async ({ db }) => consentPages(db).pageOfConsents({ changedSince: NOW }, { limit: 100 }),
      kind,
    )
    for (const steps of plans) expect(readsWhole(steps).filter((step) => step.endsWith(' events'))).toEqual([])
  })

  test('knows when too much has happened for that', async () => {
    const opened = openStore({ url: new Secret(url), vault, connections: 1 })
    const { haveManyChanged } = consentPages(opened.db)
    expect(await haveManyChanged(NOW)).toBe(false)
    expect(await haveManyChanged(NOW.minus({ years: 5 }))).toBe(true)
    await opened.close()
  })
  test.each(Object.entries(indexes))('%s comes from an index', async (_, [query, index]) => {
    const [steps = []] = await plansFor(async ({ db }) =>
      consentPages(db).pageOfConsents(query, { afterId: '10000000-0000-4000-8000-000000000000', limit: 100 }),
    )
    expect(steps.some((step) => step.endsWith(` ${index}`))).toBe(true)
    expect(readsWhole(steps)).toEqual([])
  })
})

test.each(planKinds)('one consent with its cycle comes from indexes, by a plan %s', async (kind) => {
  const plans = await plansFor(async ({ store, db }) => {
    const { id } = (await store.findConsent('cred-7')) ?? {}
    await store.getView(id ?? '')
    await listing(db).getHistory(id ?? '')
  }, kind)
  for (const steps of plans) expect(readsWhole(steps)).toEqual([])
})

test('the counts of the metrics read indexes alone', async () => {
  const plans = await plansFor(async ({ db }) => listing(db).statusCounts(NOW))
  expect(plans.length).toBeGreaterThanOrEqual(5)
  for (const steps of plans) expect(readsWhole(steps)).toEqual([])
})

test.each(planKinds)('a batch of an import finds its consents and tokens by indexes, by a plan %s', async (kind) => {
  const plans = await plansFor(async ({ db }) => {
    const importer = imports(db, policy)
    const rows = Array.from({ length: 100 }, () => aRow())
    // The second time each row is known and unchanged, and the third has a token that is new.
    for (const batch of [rows, rows, rows.map((row) => ({ ...row, refreshToken: new Secret(`new-${row.userId}`) }))])
      await importer.importBatch(batch, { now: NOW, correct: false })
  }, kind)
  for (const steps of plans) expect(readsWhole(steps)).toEqual([])
})
