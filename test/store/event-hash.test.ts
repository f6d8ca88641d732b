import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { DateTime } from 'luxon'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { canonicalText, eventHash, NO_HASH } from '../../src/store/event-hash.ts'
import { appendEvent } from '../setup/append-event.ts'
import { readMigrations, shippedFolder } from '../../src/store/migrate.ts'
import { asOwner } from '../setup/roles.ts'
import { startWorld, type World } from '../setup/world.ts'
import { born, verified } from '../verify/lives.ts'

const event = {
  consentId: '6f1c8a52-0000-4000-8000-000000000001',
  seq: 2,
  type: 'link.made',
  at: new Date('2026-11-23T09:00:00.120Z'),
  actor: 'system',
  reason: null,
}

describe('the canonical text', () => {
  test('is one JSON array, keys sorted, the same for ever', () => {
    expect(canonicalText('ab', { ...event, data: { route: 'reauth', b: { z: [1, null, true], a: 'é"\n' } } })).toBe(
      '["v1","ab","6f1c8a52-0000-4000-8000-000000000001",2,"link.made","2026-11-23T09:00:00.120Z","system",null,' +
        '{"b":{"a":"é\\"\\n","z":[1,null,true]},"route":"reauth"}]',
    )
    expect(eventHash(NO_HASH, { ...event, data: {} })).toBe(
      '2f720049412dce21ec0d7cf3d4df2b2630c7dcd3ac90a9b9f6fc1021d9c8368a',
    )
  })

  test('a number that has more than one spelling is refused', () => {
    for (const number of [0.5, 1e21, Number.NaN])
      expect(() => canonicalText('', { ...event, data: { number } })).toThrow(/must be whole/)
  })
})

describe('in the database', () => {
  let world: World
  beforeAll(async () => {
    world = await startWorld()
  })
  afterAll(async () => world.close())

  const texts = fc.string({ unit: 'binary', maxLength: 30 }).map((text) => text.replaceAll('\0', ''))
  const values = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      texts,
      fc.maxSafeInteger(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(texts, tie('value'), { maxKeys: 3 }),
    ),
  })).value
  const data = fc.dictionary(
    texts.filter((key) => key !== '__proto__'),
    values,
    { maxKeys: 5 },
  )

  test('any data and any reason verify after they were stored as jsonb, half surrogates included', async () => {
    const consent = await born(world, { inDays: 60 })
    await fc.assert(
      fc.asyncProperty(
        data,
        fc.option(fc.oneof(texts, fc.constant('half \ud800')), { nil: undefined }),
        fc.date({ min: new Date(0), max: new Date('2999-01-01'), noInvalidDate: true }),
        async (some, reason, at) => {
          await world.db.prisma.$transaction(async (tx) =>
            appendEvent(tx, consent.id, {
              type: 'link.made',
              at: DateTime.fromJSDate(at),
              actor: 'system',
              reason,
              data: some as Record<string, string>,
            }),
          )
        },
      ),
      { numRuns: 200 },
    )
    expect(await verified(world)).toEqual([])
  })

  test('two appends at once are written one after the other', async () => {
    const consent = await born(world, { inDays: 60 })
    await Promise.all(
      Array.from({ length: 8 }, async () =>
        world.db.prisma.$transaction(async (tx) =>
          appendEvent(tx, consent.id, { type: 'link.made', at: world.clock.now(), actor: 'system' }),
        ),
      ),
    )
    expect((await world.eventsOf(consent.id)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(await verified(world)).toEqual([])
  })
})

test('the migration chains older events by the same text', async () => {
  const url = new URL(inject('postgresUrl'))
  const name = `chain_${randomUUID().replaceAll('-', '')}`
  await asOwner(url.href, `CREATE DATABASE ${name}`)
  url.pathname = `/${name}`
  const chain = '20261123010000_event_chain'
  for (const migration of (await readMigrations()).filter((one) => one.name < chain))
    await asOwner(url.href, migration.sql)
  const ids = [randomUUID(), randomUUID(), randomUUID()]
  const strange = {
    b: [1, -20, { y: null, x: 'tab\t, quote", \u0001, \u007f, \u2028, 😀, é' }],
    a: true,
    B: {},
    ключ: 'x',
    aa: [],
  }
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  for (const id of ids) {
    await client.query(
      `INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, expires_at,
        expires_source, refresh_token, next_action_at, created_at, updated_at)
      VALUES ($1::uuid, $1::text, 'u', 'p', 'GB', 'https://example.com', now(), 'imported', 'x', now(), now(), now())`,
      [id],
    )
    for (let seq = 1; seq <= (id === ids[2] ? 0 : 12); seq += 1) {
      await client.query(
        'INSERT INTO events (consent_id, seq, type, at, actor, reason, data) VALUES ($1, $2, $3, $4, $5, $6, $7)',
        [
          id,
          seq,
          'link.made',
          new Date(1_795_000_000_000 + seq * 1_001),
          'system',
          seq % 2 === 0 ? 'a "reason" \\ é' : null,
          JSON.stringify(seq % 3 === 0 ? strange : { seq }),
        ],
      )
    }
  }
  await client.query(await readFile(join(shippedFolder, chain, 'migration.sql'), 'utf8'))
  for (const id of ids) {
    let hash = NO_HASH
    const { rows } = await client.query('SELECT * FROM events WHERE consent_id = $1 ORDER BY seq', [id])
    for (const row of rows) {
      hash = eventHash(hash, {
        consentId: row.consent_id,
        seq: row.seq,
        type: row.type,
        at: row.at,
        actor: row.actor,
        reason: row.reason,
        data: row.data,
      })
      expect(row.hash).toBe(hash)
    }
    expect((await client.query('SELECT event_hash FROM consents WHERE id = $1', [id])).rows[0].event_hash).toBe(
      hash === NO_HASH ? null : hash,
    )
  }
  await client.end()
})
