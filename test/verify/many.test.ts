// More broken rows than anybody would read: verify lists the first thousand of a kind and says that there are more.
import { beforeEach, expect, test } from 'vitest'
import { appendEvent } from '../setup/append-event.ts'
import { MAX_LISTED } from '../../src/verify/violation.ts'
import { startWorld, type World } from '../setup/world.ts'
import { born, pause, verified } from './lives.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
  return async () => world.close()
})

/** How many violations of each invariant are listed, and the lines that say that there are more. */
const told = async () => {
  const found = await verified(world)
  const counts: Record<number, number> = {}
  for (const { invariant, record } of found) if (record !== 'more') counts[invariant] = (counts[invariant] ?? 0) + 1
  return { counts, more: found.filter(({ record }) => record === 'more') }
}

/** Adds consents that are overdue, hold another row's token and have no events. Their ids sort last. */
const plantConsents = async (from: number, to: number): Promise<void> => {
  const model = await born(world)
  const overdue = world.clock.now().minus({ days: 1 }).toISO()
  await world.db.prisma.$executeRawUnsafe(`
    INSERT INTO consents (id, credentials_id, user_id, provider_id, country, redirect_uri, expires_at, expires_source,
      refresh_token, next_action_at, created_at, updated_at)
    SELECT ('ffffffff-0000-4000-8000-' || lpad(no::text, 12, '0'))::uuid, 'planted-' || no, user_id, provider_id,
      country, redirect_uri, expires_at,
      expires_source, refresh_token, '${overdue}', now(), now()
    FROM consents, generate_series(${from}, ${to}) AS no WHERE consents.id = '${model.id}'`)
}

/**
 * Adds to each planted consent without them: an open renewal whose attempt succeeded and left no trace, and a message
 * of another cycle.
 */
const plantRenewals = async (): Promise<void> => {
  const insert = async (into: string, values: string): Promise<unknown> =>
    world.db.prisma.$executeRawUnsafe(
      `INSERT INTO ${into} SELECT ${values} FROM consents WHERE credentials_id LIKE 'planted-%' ON CONFLICT DO NOTHING`,
    )
  await insert(
    'renewals (id, consent_id, cycle, opened_by, reason, opened_at, previous_expires_at)',
    `id, id, 2, 'system', 'planted', now(), now()`,
  )
  await insert(
    'authorisations (id, consent_id, renewal_id, route, status, state_hash, done_id, redirect_uri, issued_at, ' +
      'expires_at)',
    `id, id, id, 'reauth', 'renewed', convert_to(id::text, 'UTF8'), id::text, redirect_uri, now(), now()`,
  )
  await insert(
    'notifications (id, consent_id, renewal_id, cycle, rung, channel, status, situation, created_at)',
    `id, id, id, 1, '-14d', 'email', 'cancelled', 'reminder', now()`,
  )
}

test('a thousand of a kind are listed, with a line that says that there are more', async () => {
  const each = [1, 4, 5, 6, 7, 10]
  const counts = Object.fromEntries(each.map((invariant) => [invariant, MAX_LISTED]))
  await plantConsents(1, MAX_LISTED)
  await plantRenewals()
  expect(await told()).toEqual({ counts, more: [] })
  await plantConsents(MAX_LISTED + 1, MAX_LISTED + 1)
  await plantRenewals()
  const more = each.map((invariant) => ({
    invariant,
    record: 'more',
    what: 'only the first 1000 of this kind are listed',
  }))
  expect(await told()).toEqual({ counts, more })
})

test('many violations of one kind hide none of another', async () => {
  const paused = await born(world)
  await pause(world, paused)
  const event = {
    type: 'message.sending',
    at: world.clock.now(),
    actor: 'system',
    data: { notification_id: 'planted' },
  } as const
  const begun = 700
  await world.db.prisma.$transaction(
    async (tx) => {
      for (let times = 0; times < begun; times += 1) await appendEvent(tx, paused.id, event)
    },
    { timeout: 60_000 },
  )
  await plantConsents(1, MAX_LISTED)
  expect(await told()).toEqual({ counts: { 1: MAX_LISTED, 4: MAX_LISTED, 6: begun, 10: MAX_LISTED }, more: [] })
})
