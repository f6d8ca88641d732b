// Everything at once, drawn from a seed: faults of the provider and the mail server, users who do anything, two workers
// on every record, crashes between any two writes. Then the faults end, and the invariants must hold.
import { DateTime, Duration } from 'luxon'
import { describe, expect, test } from 'vitest'
import type { Consent } from '../../src/domain/model.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'
import { advance, bringUpToDate, renew, send } from './rig.ts'

const SEEDS = (process.env['CHAOS_SEEDS'] ?? '11').split(',').map(Number)
const CONSENTS = 8
const ROUNDS = 45

/** The generator mulberry32. */
const randomFrom = (seed: number) => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)] as T
  return { next, pick }
}
type Random = ReturnType<typeof randomFrom>

class Died extends Error {}

/** A store whose writes fail at random, before they are done or afterwards, as if the process had died. */
const mortal = (world: World, random: Random): World['store'] => {
  const reads = new Set([
    'getView',
    'getAttempt',
    'readAccessToken',
    'readRefreshToken',
    'readTokens',
    'findCanary',
    'readPendingToken',
    'getHealth',
  ])
  const entries = Object.entries(world.store).map(([name, work]) => {
    const dying = async (...args: unknown[]): Promise<unknown> => {
      const fate = reads.has(name) ? 1 : random.next()
      if (fate < 0.02) throw new Died(name)
      const result = await (work as (...all: unknown[]) => Promise<unknown>)(...args)
      if (fate < 0.04) throw new Died(name)
      return result
    }
    return [name, dying] as const
  })
  return Object.fromEntries(entries) as unknown as World['store']
}

const addFaults = ({ simulator: { faults } }: World): void => {
  for (const endpoint of ['reauthuri', 'exchange', 'refresh', 'me'] as const) {
    faults.add({ endpoint, kind: 'reset-before', rate: 0.06 })
    faults.add({ endpoint, kind: 'reset-after', rate: 0.06 })
    faults.add({ endpoint, kind: 'rate-limited', rate: 0.06, retry_after: 5 })
    faults.add({ endpoint, kind: 'error-html', rate: 0.04, processed: true })
    faults.add({ endpoint, kind: 'error-json', rate: 0.04 })
    faults.add({ endpoint, kind: 'bad-json', rate: 0.04 })
  }
  faults.add({ endpoint: 'mail', kind: 'data-4xx', rate: 0.15 })
  faults.add({ endpoint: 'mail', kind: 'rcpt-5xx', rate: 0.05 })
  faults.add({ endpoint: 'mail', kind: 'cut-after-dot', rate: 0.1 })
}

/** One user acts, as far as the start page and the bank allow it. */
const actAs = async (
  world: World,
  consent: Consent,
  random: Random,
  delivered: Parameters<World['receive']>[0][],
): Promise<void> => {
  if ((await world.renewalsOf(consent.id)).length === 0) return
  const departure = await world.leaveForBank(consent.id)
  if (departure.kind !== 'to-bank') return
  const as = random.pick(['approve', 'approve', 'approve', 'deny', 'bank-error', 'close', 'somebody-else'] as const)
  const played = await world.simulator.play({ link: departure.link.reveal(), as })
  if (played.kind !== 'callback') return
  const callback = world.toCallback(played)
  delivered.push(callback)
  await world.receive(callback)
  if (random.next() < 0.2) await world.receive(random.pick(delivered))
}

const unexpected: unknown[] = []
const guarded = async (work: () => Promise<unknown>): Promise<void> => {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Died)) unexpected.push(error)
  }
}

const endAllLeases = async ({ db }: World): Promise<void> => {
  for (const table of ['consents', 'authorisations', 'notifications']) {
    await db.prisma.$executeRawUnsafe(`UPDATE ${table} SET lease_until = NULL WHERE lease_until IS NOT NULL`)
  }
}

const workOnAll = async (world: World, random: Random): Promise<void> => {
  const over = { store: mortal(world, random) }
  const jobs = { consent: renew(world, over), notification: send(world, over), authorisation: advance(world, over) }
  for (const kind of ['authorisation', 'notification', 'consent'] as const) {
    const due = await world.store.dispatchDue(kind, world.clock.now(), 100, Duration.fromMillis(0))
    const twice = due.flatMap(({ id }) => [id, id])
    await Promise.all(
      twice.map(async (id) =>
        guarded(async () =>
          jobs[kind](id, aRun({ manual: random.next() < 0.1, isLastTry: true, signal: AbortSignal.timeout(300) })),
        ),
      ),
    )
  }
}

describe.each(SEEDS)('seed %i', (seed) => {
  test(
    'no code is sent twice, no mail twice, nothing renewed is forgotten, nothing not renewed is believed',
    { timeout: 120_000 },
    async () => {
      const world = await startWorld({
        switches: seed % 2 === 0 ? {} : { me_lag_seconds: 45, access_token: 'jwt-without-sub' },
      })
      const random = randomFrom(seed)
      unexpected.length = 0
      try {
        const consents = await Promise.all(
          Array.from({ length: CONSENTS }, async (_, index) =>
            world.addConsent({ expiresAt: world.clock.now().plus({ days: 14 - index }) }),
          ),
        )
        const delivered: Parameters<World['receive']>[0][] = []
        addFaults(world)
        for (let round = 0; round < ROUNDS; round += 1) {
          await workOnAll(world, random)
          for (const consent of consents)
            if (random.next() < 0.3) await guarded(async () => actAs(world, consent, random, delivered))
          if (random.next() < 0.5) await endAllLeases(world)
          world.clock.advance(
            random.pick([
              { seconds: 3 },
              { seconds: 20 },
              { minutes: 2 },
              { minutes: 7 },
              { hours: 2 },
              { hours: 20 },
              { days: 3 },
            ]),
          )
        }
        world.simulator.faults.clear()
        for (const step of [{ hours: 1 }, { hours: 12 }, { days: 1 }, { days: 1 }, { days: 1 }]) {
          await endAllLeases(world)
          for (const { id } of consents) await bringUpToDate(world, id)
          world.clock.advance(step)
        }
        expect(unexpected).toEqual([])
        await expectOrder(world, consents)
      } finally {
        await world.close()
      }
    },
  )
})

const expectOrder = async (world: World, consents: readonly Consent[]): Promise<void> => {
  const { ledger } = world.simulator
  const processed = ledger
    .entries({ what: 'exchange' })
    .filter(
      ({ outcome, code_no }) => outcome !== 'not-processed' && outcome !== 'invalid_client' && code_no !== undefined,
    )
  expect(new Set(processed.map(({ code_no }) => code_no)).size).toBe(processed.length)
  expect(ledger.entries({ what: 'revoked' })).toEqual([])
  const mails = ledger.entries({ what: 'mail', outcome: 'ok' }).map(({ message_id }) => message_id)
  // A message whose worker died in the middle of it goes out once more, as its history says. No other does.
  const sentAgain = mails.filter((id, index) => mails.indexOf(id) < index).map((id) => /[^<@]+/.exec(String(id))?.[0])
  const repeats: unknown[] = []
  for (const { id, credentialsId } of consents) {
    const consent = await world.consentOf(id)
    const bank = world.simulator.connection(credentialsId)
    const events = await world.eventsOf(id)
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
    for (const { type, data } of events) if (type === 'message.repeated') repeats.push(data['notification_id'])
    expect(await world.tokenOf(id)).toBe(bank?.refreshToken)
    const renewals = await world.renewalsOf(id)
    expect(renewals.filter(({ status }) => status === 'renewed')).toHaveLength(consent.cycle - 1)
    const open = (await world.authorisationsOf(id)).filter(({ status }) =>
      ['code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date'].includes(status),
    )
    expect(open.map(({ status }) => status)).toEqual([])
    if (consent.cycle > 1) {
      // Our expiry is one that the bank has given: of two codes that were both processed, `/me` may still have shown
      // the first one's date.
      const given = ledger
        .entries({ what: 'renewed', credentials_id: credentialsId })
        .map(({ at }) => DateTime.fromISO(at, { zone: 'utc' }).plus({ days: 90 }).toMillis())
      expect(Math.min(...given.map((at) => Math.abs(at - consent.expiresAt.toMillis())))).toBeLessThan(1_000)
    } else expect(ledger.count({ what: 'renewed', credentials_id: credentialsId })).toBe(0)
  }
  expect(new Set(sentAgain).size).toBe(sentAgain.length)
  expect(repeats).toEqual(expect.arrayContaining(sentAgain))
}
