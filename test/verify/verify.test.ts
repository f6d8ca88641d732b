import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { authorisationCells, sealCell } from '../../src/store/authorisation-row.ts'
import { appendEvent } from '../setup/append-event.ts'
import { eventHash } from '../../src/store/event-hash.ts'
import { sealToken } from '../../src/store/refresh-token.ts'
import type { Consent } from '../../src/domain/model.ts'
import { verify } from '../../src/verify/verify.ts'
import { startWorld, type World } from '../setup/world.ts'
import { asked, born, everyLife, pause, renewed, verified } from './lives.ts'

let world: World
beforeAll(async () => {
  world = await startWorld({ policy: { routes: ['reauth', 'full'], providers: { FR: { routes: ['reauth'] } } } })
})
afterAll(async () => world.close())

const sql = async (...statements: string[]): Promise<void> => {
  await world.db.prisma.$transaction(async (tx) => {
    await tx.$executeRawUnsafe(`SET LOCAL reconsent.rewrite_events = 'allowed'`)
    for (const statement of statements) await tx.$executeRawUnsafe(statement)
  })
}

/** The violations that verify reports after the corruption and did not report before. */
const findsAfter = async (corrupt: () => Promise<void>): Promise<string[]> => {
  const before = new Set((await verified(world)).map((one) => JSON.stringify(one)))
  await corrupt()
  const after = await verified(world)
  return after
    .filter((one) => !before.has(JSON.stringify(one)))
    .map(({ invariant, record, what }) => `${invariant} ${record}: ${what}`)
}

test('a healthy, busy database has no violation', async () => {
  await everyLife(world)
  const states = await world.db.prisma.consent.groupBy({ by: ['status'] })
  expect(states.map(({ status }) => status).toSorted()).toEqual([
    'active',
    'paused',
    'quarantined',
    'revoked',
    'unsupported',
  ])
  expect(await verified(world)).toEqual([])
})

test('it cannot write, and sees one snapshot', async () => {
  const writes = {
    ...world.db,
    prisma: {
      $transaction: async (work: (tx: unknown) => Promise<unknown>, options: object) =>
        world.db.prisma.$transaction(async (tx) => {
          await work(tx)
          await tx.$executeRaw`UPDATE consents SET user_id = user_id`
        }, options),
    },
  } as unknown as World['db']
  await expect(verify(writes, { now: world.clock.now() })).rejects.toThrow(/read-only transaction/)
})

describe('1: dates', () => {
  const idIn = async (table: string, { id }: Consent): Promise<string | undefined> => {
    if (table === 'consents') return id
    return (table === 'authorisations' ? await world.authorisationsOf(id) : await world.notificationsOf(id))[0]?.id
  }

  test.each([
    ['consents', ['active']],
    ['authorisations', ['issued', 'code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date']],
    ['notifications', ['pending', 'sending']],
  ])('open %s without a date', async (table, statuses) => {
    await sql(`ALTER TABLE ${table} DROP CONSTRAINT ${table}_open_is_dated`)
    for (const status of statuses) {
      const id = await idIn(table, await asked(world))
      expect(
        await findsAfter(async () =>
          sql(`UPDATE ${table} SET status = '${status}', next_action_at = NULL WHERE id = '${id}'`),
        ),
      ).toContain(`1 ${table} ${id}: ${status} without a date to be looked at`)
    }
  })

  test.each([
    ['consents', 'active'],
    ['authorisations', 'issued'],
  ])('%s that are overdue by more than two sweeps; not by one', async (table, status) => {
    const consent = await asked(world)
    const column = table === 'consents' ? 'id' : 'consent_id'
    const overdue = async (hours: number): Promise<void> =>
      sql(
        `UPDATE ${table} SET next_action_at = '${world.clock.now().minus({ hours }).toISO()}' WHERE ${column} ` +
          `= '${consent.id}'`,
      )
    expect(await findsAfter(async () => overdue(1.9))).toEqual([])
    expect(await findsAfter(async () => overdue(2.1))).toEqual([
      expect.stringMatching(new RegExp(`^1 ${table} [0-9a-f-]{36}: ${status}, due since 20`)),
    ])
  })
})

test('1: a message that waits for more than two sweeps; not for one', async () => {
  const consent = await asked(world)
  const [message] = await world.notificationsOf(consent.id)
  const overdue = async (hours: number): Promise<void> =>
    sql(
      "UPDATE notifications SET status = 'pending', next_action_at = " +
        `'${world.clock.now().minus({ hours }).toISO()}' WHERE id = '${message?.id}'`,
    )
  expect(await findsAfter(async () => overdue(1.9))).toEqual([])
  expect(await findsAfter(async () => overdue(2.1))).toEqual([
    expect.stringMatching(new RegExp(`^1 notifications ${message?.id}: pending, due since 20`)),
  ])
})

describe('4: stored secrets', () => {
  const flip = (sealed: string): string => sealed.slice(0, -3) + (sealed.at(-3) === 'A' ? 'B' : 'A') + sealed.slice(-2)
  const tokenOf = async ({ id }: Consent): Promise<string> =>
    (await world.db.prisma.consent.findUniqueOrThrow({ where: { id } })).refreshToken
  const put = async ({ id }: Consent, sealed: string): Promise<void> =>
    sql(`UPDATE consents SET refresh_token = '${sealed}' WHERE id = '${id}'`)

  test.each<[string, (consent: Consent) => Promise<string>]>([
    ['moved from another row', async () => tokenOf(await born(world))],
    ['of an older version', async ({ id }) => sealToken(world.vault, id, 0, new Secret('older'))],
    ['with a bit flipped', async (consent) => flip(await tokenOf(consent))],
  ])('a token %s', async (_name, forge) => {
    const consent = await born(world)
    const sealed = await forge(consent)
    expect(await findsAfter(async () => put(consent, sealed))).toEqual([
      `4 consents ${consent.id}: refresh_token does not decrypt: altered, or put back from another row or an ` +
        'older version',
    ])
  })

  test('a token of a missing key', async () => {
    const consent = await born(world)
    const sealed = (await tokenOf(consent)).replace('v1.k1.', 'v1.gone.')
    expect(await findsAfter(async () => put(consent, sealed))).toEqual([
      '4 key gone: 1 stored secrets need it, and it is not in ENCRYPTION_KEYS',
      `4 consents ${consent.id}: refresh_token does not decrypt: its key is not in ENCRYPTION_KEYS`,
    ])
    await put(consent, sealed.replace('v1.gone.', 'v1.k1.'))
  })

  test('an unsealed token: named by its row, and no part of it shown', async () => {
    const consent = await born(world)
    expect(await findsAfter(async () => put(consent, 'pl4in.t0ken.0f-the-bank'))).toEqual([
      `4 consents ${consent.id}: refresh_token does not decrypt: no sealed text`,
    ])
  })

  test.each(authorisationCells)(
    'a column %s of an authorisation: a bit flipped, moved from another row, unsealed, cut off',
    async (column) => {
      const [[one], [other]] = [
        await world.authorisationsOf((await asked(world)).id),
        await world.authorisationsOf((await asked(world)).id),
      ]
      const seal = (row: { id: string } | undefined): string =>
        sealCell(world.vault, column, row?.id ?? '', new Secret('of a test'))
      const findsWith = async (cell: string): Promise<string[]> =>
        findsAfter(async () => sql(`UPDATE authorisations SET ${column} = '${cell}' WHERE id = '${one?.id}'`))
      const found = (why: string): string[] => [`4 authorisations ${one?.id}: ${column} does not decrypt: ${why}`]
      const restore = async (): Promise<unknown> => expect(await findsWith(seal(one))).toEqual([])
      for (const forged of [flip(seal(one)), seal(other)]) {
        await restore()
        expect(await findsWith(forged)).toEqual(found('altered, or put back from another row or an older version'))
      }
      for (const malformed of ['eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyIn0.pl4in', seal(one).slice(0, 20)]) {
        await restore()
        expect(await findsWith(malformed)).toEqual(found('no sealed text'))
      }
    },
  )

  test('a column of an authorisation in another column', async () => {
    const consent = await asked(world)
    const [one] = await world.authorisationsOf(consent.id)
    expect(
      await findsAfter(async () => sql(`UPDATE authorisations SET code = verifier WHERE id = '${one?.id}'`)),
    ).toEqual([
      `4 authorisations ${one?.id}: code does not decrypt: altered, or put back from another row or an older version`,
    ])
  })
})

describe('5: renewals', () => {
  test('two of one cycle', async () => {
    const consent = await asked(world)
    expect(
      await findsAfter(async () =>
        sql(
          'DROP INDEX renewals_consent_id_cycle_key',
          `INSERT INTO renewals (id, consent_id, cycle, opened_by, reason, opened_at, previous_expires_at)
       SELECT gen_random_uuid(), consent_id, cycle, opened_by, reason, opened_at, previous_expires_at FROM renewals
         WHERE consent_id = '${consent.id}'`,
        ),
      ),
    ).toEqual([`5 consents ${consent.id}: 2 renewals of cycle 1`])
  })

  test('two successes in one', async () => {
    const consent = await renewed(world)
    const [renewal] = await world.renewalsOf(consent.id)
    expect(
      await findsAfter(async () =>
        sql(
          'DROP INDEX authorisations_one_success',
          `INSERT INTO authorisations (id, consent_id, renewal_id, route, status, state_hash, done_id, redirect_uri,
            issued_at, expires_at)
       SELECT gen_random_uuid(), consent_id, renewal_id, route, status, '\\x00', 'another', redirect_uri, issued_at,
         expires_at
       FROM authorisations WHERE consent_id = '${consent.id}' AND status = 'renewed'`,
        ),
      ),
    ).toEqual([
      `5 renewals ${renewal?.id}: 2 authorisations of it succeeded`,
      expect.stringMatching(
        /^7 authorisations .*: it is renewed without the events authorisation.code-received and .*.exchanging/,
      ),
    ])
  })

  test('a success without proof, or with half of a proof', async () => {
    const consents = [await renewed(world), await renewed(world)]
    const [one, other] = await Promise.all(consents.map(async ({ id }) => (await world.renewalsOf(id))[0]?.id))
    expect(
      (
        await findsAfter(async () =>
          sql(
            'ALTER TABLE renewals DROP CONSTRAINT renewals_renewed_is_proven',
            `UPDATE renewals SET proof = NULL WHERE id = '${one}'`,
            `UPDATE renewals SET proof = proof - 'expires_at' WHERE id = '${other}'`,
          ),
        )
      ).toSorted(),
    ).toEqual(
      [
        `5 renewals ${one}: renewed without a complete proof`,
        `5 renewals ${other}: renewed without a complete proof`,
      ].toSorted(),
    )
  })

  test("another attempt's proof, an attempt that succeeded without a renewal, a success without event", async () => {
    const [foreign, open] = [await renewed(world), await asked(world)]
    const [renewal] = await world.renewalsOf(foreign.id)
    expect(
      await findsAfter(async () =>
        sql(
          `UPDATE renewals SET proof = proof || '{"authorisation_id": "${randomUUID()}"}' WHERE id = '${renewal?.id}'`,
        ),
      ),
    ).toEqual([`5 renewals ${renewal?.id}: renewed by an authorisation that is not its success`])
    const [issued] = await world.authorisationsOf(open.id)
    expect(
      await findsAfter(async () =>
        sql(`UPDATE authorisations SET status = 'renewed', next_action_at = NULL WHERE id = '${issued?.id}'`),
      ),
    ).toEqual([
      `5 authorisations ${issued?.id}: succeeded, but its renewal is open`,
      `7 authorisations ${issued?.id}: it is renewed without the events authorisation.code-received and ` +
        'authorisation.exchanging, in this order',
    ])
    const [unproven] = await world.renewalsOf((await asked(world)).id)
    expect(
      await findsAfter(async () =>
        sql(`UPDATE renewals SET status = 'renewed', closed_at = now(), proof = '{}' WHERE id = '${unproven?.id}'`),
      ),
    ).toEqual([
      `5 renewals ${unproven?.id}: renewed without a complete proof`,
      `5 renewals ${unproven?.id}: renewed, and no event says so`,
    ])
  })
})

describe('6: messages', () => {
  test('two of one rung', async () => {
    const consent = await asked(world)
    const found = await findsAfter(async () =>
      sql(
        'DROP INDEX notifications_consent_id_cycle_rung_channel_key',
        `INSERT INTO notifications (id, consent_id, renewal_id, cycle, rung, channel, status, situation, created_at)
       SELECT gen_random_uuid(), consent_id, renewal_id, cycle, rung, channel, 'cancelled', situation, created_at FROM
         notifications WHERE consent_id = '${consent.id}'`,
      ),
    )
    expect(found).toEqual([`6 consents ${consent.id}: 2 messages of cycle 1, -14d by email`])
  })

  test("one of another cycle than its renewal's", async () => {
    const consent = await asked(world)
    const [message] = await world.notificationsOf(consent.id)
    expect(await findsAfter(async () => sql(`UPDATE notifications SET cycle = 2 WHERE id = '${message?.id}'`))).toEqual(
      [`6 notifications ${message?.id}: of cycle 2, its renewal is of cycle 1`],
    )
  })

  test('one that was sent and never marked as being sent', async () => {
    const consent = await asked(world)
    const [message] = await world.notificationsOf(consent.id)
    expect(message?.status).toBe('sent')
    expect(
      await findsAfter(async () => sql(`UPDATE notifications SET sending_at = NULL WHERE id = '${message?.id}'`)),
    ).toEqual([`6 notifications ${message?.id}: it is sent and was never marked as being sent`])
  })

  const sendingOf = async (consent: Consent): Promise<string> => {
    const [message] = await world.notificationsOf(consent.id)
    const event = {
      type: 'message.sending',
      at: world.clock.now(),
      actor: 'system',
      data: { notification_id: message?.id ?? '' },
    } as const
    await world.db.prisma.$transaction(async (tx) => appendEvent(tx, consent.id, event))
    return message?.id ?? ''
  }

  test('one that was repeated twice, and one that was repeated before it was begun', async () => {
    const repeat = async (consent: Consent, id: string): Promise<void> => {
      const event = {
        type: 'message.repeated',
        at: world.clock.now(),
        actor: 'system',
        data: { notification_id: id },
      } as const
      await world.db.prisma.$transaction(async (tx) => appendEvent(tx, consent.id, event))
    }
    const consent = await asked(world)
    const [message] = await world.notificationsOf(consent.id)
    const id = message?.id ?? ''
    await sql(`UPDATE notifications SET repeated_at = now() WHERE id = '${id}'`)
    await repeat(consent, id)
    expect(await findsAfter(async () => repeat(consent, id))).toEqual([
      expect.stringMatching(new RegExp(`^6 notifications ${id}: repeated a second time \\(event \\d+\\)$`)),
    ])
    expect(await findsAfter(async () => repeat(consent, 'unheard-of'))).toContainEqual(
      expect.stringMatching(/^6 notifications unheard-of: repeated \(event \d+\) before it was begun to be sent$/),
    )
  })

  test('one begun after a pause, and one after the renewal', async () => {
    const [paused, done] = [await asked(world), await renewed(world)]
    await pause(world, paused)
    let id = ''
    const afterPause = await findsAfter(async () => void (id = await sendingOf(paused)))
    expect(afterPause).toEqual([
      expect.stringMatching(
        new RegExp(`^6 notifications ${id}: begun to be sent \\(event \\d+\\) while the consent was paused$`),
      ),
    ])
    const afterRenewal = await findsAfter(async () => void (id = await sendingOf(done)))
    expect(afterRenewal).toEqual([
      expect.stringMatching(
        new RegExp(`^6 notifications ${id}: of cycle 1, begun to be sent \\(event \\d+\\) in cycle 2$`),
      ),
    ])
  })
})

describe('7: intents', () => {
  test('a message that was sent without a trace', async () => {
    const consent = await asked(world)
    const [message] = await world.notificationsOf(consent.id)
    const id = randomUUID()
    expect(
      await findsAfter(async () =>
        sql(
          `INSERT INTO notifications (id, consent_id, renewal_id, cycle, rung, channel, status, situation, created_at,
            sending_at)
       SELECT '${id}', consent_id, renewal_id, cycle, 'again-9', channel, 'sent', situation, created_at, now() FROM
         notifications WHERE id = '${message?.id}'`,
        ),
      ),
    ).toEqual([
      `7 notifications ${id}: it is sent without the events message.queued and message.sending, in this order`,
      `7 notifications ${id}: it is sent and no event says so`,
    ])
  })

  test('a message that was repeated without event, and an event that its row does not know', async () => {
    const [silent, unknown] = [await asked(world), await asked(world)]
    const idOf = async ({ id }: Consent): Promise<string> => (await world.notificationsOf(id))[0]?.id ?? ''
    const [first, second] = [await idOf(silent), await idOf(unknown)]
    expect(
      await findsAfter(async () => sql(`UPDATE notifications SET repeated_at = now() WHERE id = '${first}'`)),
    ).toEqual([`7 notifications ${first}: it was repeated and no event says so`])
    const event = {
      type: 'message.repeated',
      at: world.clock.now(),
      actor: 'system',
      data: { notification_id: second },
    } as const
    expect(
      await findsAfter(async () => world.db.prisma.$transaction(async (tx) => appendEvent(tx, unknown.id, event))),
    ).toEqual([`7 notifications ${second}: an event says that it was repeated, and its row does not`])
  })

  test.each(['failed', 'uncertain'])('a message that is %s without event', async (status) => {
    const consent = await asked(world)
    const [message] = await world.notificationsOf(consent.id)
    expect(message?.status).toBe('sent')
    expect(
      await findsAfter(async () => sql(`UPDATE notifications SET status = '${status}' WHERE id = '${message?.id}'`)),
    ).toEqual([`7 notifications ${message?.id}: it is ${status} and no event says so`])
  })
})

describe('7: codes', () => {
  test.each(['exchanging', 'in_doubt'])('a code that is %s without a trace', async (status) => {
    const consent = await asked(world)
    const [issued] = await world.authorisationsOf(consent.id)
    expect(
      await findsAfter(async () =>
        sql(`UPDATE authorisations SET status = '${status}', code_received_at = now() WHERE id = '${issued?.id}'`),
      ),
    ).toEqual([
      `7 authorisations ${issued?.id}: it is ${status} without the events authorisation.code-received and ` +
        'authorisation.exchanging, in this order',
    ])
  })
})

describe('10: events', () => {
  const changed = (id: string, seq: number, set: string): string =>
    `UPDATE events SET ${set} WHERE consent_id = '${id}' AND seq = ${seq}`

  test.each([
    ['reason', `reason = 'another'`],
    ['actor', `actor = 'operator'`],
    ['time', `at = at + interval '1 millisecond'`],
    ['type', `type = 'link.failed'`],
    ['data', `data = data || '{"cycle": 7}'`],
  ])('an event whose %s was altered', async (_name, set) => {
    const { id } = await asked(world)
    expect(await findsAfter(async () => sql(changed(id, 2, set)))).toEqual([
      expect.stringMatching(
        new RegExp(`^10 consents ${id}: event 2 \\(.*\\) is not what was recorded: its hash does not follow$`),
      ),
    ])
  })

  test('one removed in the middle, the last one removed, one inserted', async () => {
    const [middle, last, more] = [await asked(world), await asked(world), await asked(world)]
    expect(
      await findsAfter(async () => sql(`DELETE FROM events WHERE consent_id = '${middle.id}' AND seq = 2`)),
    ).toEqual([`10 consents ${middle.id}: event 2 is missing`])
    const { eventSeq } = await world.db.prisma.consent.findUniqueOrThrow({ where: { id: last.id } })
    expect(
      await findsAfter(async () => sql(`DELETE FROM events WHERE consent_id = '${last.id}' AND seq = ${eventSeq}`)),
    ).toContain(`10 consents ${last.id}: its last event is ${eventSeq - 1}, and it counted ${eventSeq}`)
    expect(
      await findsAfter(async () =>
        sql(
          "INSERT INTO events (consent_id, seq, type, at, actor, hash) SELECT id, event_seq + 1, 'link.made', " +
            `now(), 'system', repeat('0', 64) FROM consents WHERE id = '${more.id}'`,
        ),
      ),
    ).toEqual([expect.stringMatching(`^10 consents ${more.id}: event \\d+ \\(link.made\\) is not what was recorded`)])
  })

  test('the last one altered and its hash adapted: the consent remembers the hash', async () => {
    const { id } = await asked(world)
    const [before, last] = (
      await world.db.prisma.event.findMany({ where: { consentId: id }, orderBy: { seq: 'desc' }, take: 2 })
    ).toReversed()
    if (before === undefined || last === undefined) throw new Error('two events')
    const hash = eventHash(before.hash, { ...last, reason: 'forged' })
    expect(await findsAfter(async () => sql(changed(id, last.seq, `reason = 'forged', hash = '${hash}'`)))).toEqual([
      `10 consents ${id}: its last event is not the one that it recorded`,
    ])
  })

  test('a status or a cycle without event; a consent without events', async () => {
    const [status, cycle] = [await asked(world), await asked(world)]
    expect(
      await findsAfter(async () =>
        sql(`UPDATE consents SET status = 'opted_out', next_action_at = NULL WHERE id = '${status.id}'`),
      ),
    ).toEqual([`10 consents ${status.id}: it is opted_out in cycle 1, but its events make it active in cycle 1`])
    expect(await findsAfter(async () => sql(`UPDATE consents SET cycle = 3 WHERE id = '${cycle.id}'`))).toEqual([
      `10 consents ${cycle.id}: it is active in cycle 3, but its events make it active in cycle 1`,
    ])
    let id = ''
    expect(
      await findsAfter(
        async () => void ({ id } = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 90 }) })),
      ),
    ).toEqual([`10 consents ${id}: it has no events`])
  })

  test('a first event that is no import, with a valid chain after it', async () => {
    const { id } = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 90 }) })
    const event = { type: 'link.made', at: world.clock.now(), actor: 'system' } as const
    expect(
      await findsAfter(async () =>
        world.db.prisma.$transaction(async (tx) => {
          for (let times = 0; times < 2; times += 1) await appendEvent(tx, id, event)
        }),
      ),
    ).toEqual([`10 consents ${id}: its first event is link.made instead of consent.imported`])
  })

  test('the trigger switched off', async () => {
    expect(await findsAfter(async () => sql('ALTER TABLE events DISABLE TRIGGER events_are_only_added'))).toEqual([
      '10 table events: the trigger that refuses changes is missing or switched off',
    ])
  })
})
