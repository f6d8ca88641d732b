// What the tests of the processors share: running the jobs of one consent only, so that the clock may move without
// making others due; replacing single parts; ending leases at once.
import { DateTime, Duration } from 'luxon'
import type { FaultOrder } from '../../simulator/src/faults.ts'
import type { What } from '../../simulator/src/ledger.ts'
import type { Consent } from '../../src/domain/model.ts'
import { makeLog } from '../../src/log.ts'
import { advanceAttempt, type AdvanceAttemptDeps } from '../../src/processors/advance-attempt.ts'
import { circuitBreaker } from '../../src/processors/circuit-breaker.ts'
import type { Outcome } from '../../src/processors/outcome.ts'
import { renewConsent, type RenewConsentDeps } from '../../src/processors/renew-consent.ts'
import { sendNotification, type SendNotificationDeps } from '../../src/processors/send-notification.ts'
import { truelayerProvider } from '../../src/provider/truelayer/client.ts'
import { Secret } from '../../src/secret.ts'
import type { RecordKind } from '../../src/records.ts'
import { aRun, type World } from '../setup/world.ts'

export const LEASE = Duration.fromObject({ seconds: 60 })
export const silent = makeLog({ level: 'silent' })
const tables = { consent: 'consents', authorisation: 'authorisations', notification: 'notifications' } as const

/** The records of one consent that have a date, the earliest first. */
const datedOf = async ({ db }: World, consentId: string): Promise<{ kind: RecordKind; id: string; at: Date }[]> =>
  db.prisma.$queryRaw`
    SELECT 'authorisation' AS kind, id, next_action_at AS at FROM authorisations
      WHERE consent_id = ${consentId}::uuid
        AND status IN ('code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date')
    UNION ALL
    SELECT 'notification', id, next_action_at FROM notifications WHERE consent_id = ${consentId}::uuid AND status IN
      ('pending', 'sending')
    UNION ALL
    SELECT 'consent', id, next_action_at FROM consents WHERE id = ${consentId}::uuid AND status = 'active'
    ORDER BY at, kind`

/** Runs the jobs of this consent's due records until none is due; returns the outcome of each job. */
export const bringUpToDate = async (world: World, consentId: string): Promise<Outcome[]> => {
  const outcomes: Outcome[] = []
  for (let round = 0; round < 40; round += 1) {
    const due = (await datedOf(world, consentId)).filter(({ at }) => at.getTime() <= world.clock.now().toMillis())
    if (due.length === 0) return outcomes
    for (const { kind, id } of due) outcomes.push(await world.jobs[kind](id, aRun()))
  }
  throw new Error(`something stays due: ${JSON.stringify(outcomes.slice(-6))}`)
}

/**
 * Moves the clock from one date of this consent to the next until `until`, and runs what is due at each. Returns the
 * number of moves.
 */
export const liveUntil = async (world: World, consentId: string, until: DateTime): Promise<number> => {
  for (let jumps = 0; jumps < 500; jumps += 1) {
    await bringUpToDate(world, consentId)
    const next = (await datedOf(world, consentId))[0]?.at
    if (next === undefined || next.getTime() > until.toMillis()) {
      if (until > world.clock.now()) world.clock.set(until)
      return jumps
    }
    world.clock.set(DateTime.fromJSDate(next, { zone: 'utc' }))
  }
  throw new Error('no end of dates')
}

/** A consent whose first message was sent, so that its user may go to the bank. */
export const askedConsent = async (
  world: World,
  over: Partial<Consent> & { inDays?: number } = {},
): Promise<Consent> => {
  const { inDays = 10, ...rest } = over
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: inDays }), ...rest })
  await bringUpToDate(world, consent.id)
  return consent
}

/** The same, and the user has come back from the bank with a code that was not exchanged yet. */
export const withCode = async (world: World, over: Partial<Consent> & { inDays?: number } = {}) => {
  const consent = await askedConsent(world, over)
  return { consent, codeId: await codeOf(world, consent.id) }
}

/** Undoes what a test has changed about the provider, and what the circuit breaker has learnt of it. */
export const restoreProvider = async (world: World): Promise<void> => {
  world.simulator.switches.reset()
  world.simulator.faults.clear()
  await world.store.closeCircuit('client-rejected')
  await world.store.closeCircuit('link-rejected')
}

/** The user goes to the bank and approves; returns the id of the attempt whose code came in. */
export const codeOf = async (
  world: World,
  consentId: string,
  as: 'approve' | 'somebody-else' = 'approve',
): Promise<string> => {
  const answer = await world.goToBank(consentId, as)
  if (answer.kind !== 'accepted') throw new Error(`the code was not taken: ${answer.kind}`)
  return answer.authorisationId
}

export const advance = (world: World, over: Partial<AdvanceAttemptDeps> = {}) =>
  advanceAttempt({
    store: world.store,
    provider: world.provider,
    enqueue: async () => undefined,
    clock: world.clock,
    policy: world.policy,
    lease: LEASE,
    ...over,
  })

export const renew = (world: World, over: Partial<RenewConsentDeps> = {}) =>
  renewConsent({
    store: world.store,
    prepare: world.prepare,
    enqueue: async () => undefined,
    queuedFor: Duration.fromMillis(0),
    clock: world.clock,
    policy: world.policy,
    lease: LEASE,
    ...over,
  })

/** `channel` replaces parts of the e-mail channel. */
export const send = (
  world: World,
  { channel, ...over }: Partial<SendNotificationDeps> & { channel?: Partial<World['channel']> } = {},
) =>
  sendNotification({
    store: world.store,
    channels: { email: { ...world.channel, ...channel } },
    factsOf: world.factsOf,
    clock: world.clock,
    policy: world.policy,
    lease: LEASE,
    log: silent,
    ...over,
  })

/** The same provider at another address or with a shorter time-out. */
export const providerAt = (
  world: World,
  { url = world.simulator.url, requestTimeoutMs = 300 }: { url?: string; requestTimeoutMs?: number } = {},
) =>
  circuitBreaker({
    provider: truelayerProvider({
      authUrl: url,
      apiUrl: url,
      clientId: 'client',
      clientSecret: new Secret('client-secret'),
      requestTimeoutMs,
    }),
    store: world.store,
    clock: world.clock,
    log: silent,
  })

/** An address on which no server listens. */
export const NOBODY = 'http://127.0.0.1:9'

/** One fault at the provider, for this connection alone. */
export const fault = (world: World, consent: Consent, order: FaultOrder): void => {
  world.simulator.faults.add({ count: 1, ...order, only: consent.credentialsId })
}

/** What the simulator's ledger recorded for this connection. */
export const seen = (world: World, consent: Consent, what: What): string[] =>
  world.simulator.ledger.entries({ what, credentials_id: consent.credentialsId }).map(({ outcome }) => outcome)

/** Ends the lease of this record, as if its worker had died. */
export const endLease = async ({ db }: World, kind: RecordKind, id: string): Promise<void> => {
  await db.prisma.$executeRawUnsafe(
    `UPDATE ${tables[kind]} SET lease_until = clock_timestamp() - interval '1 second' WHERE id = $1::uuid`,
    id,
  )
}

export const authorisation = async ({ db }: World, id: string) =>
  db.prisma.authorisation.findUniqueOrThrow({ where: { id } })
export const rungsSent = async (world: World, consentId: string): Promise<string[]> =>
  (await world.notificationsOf(consentId)).map(({ rung, status }) => `${rung} ${status}`)
export const eventTypes = async (world: World, consentId: string): Promise<string[]> =>
  (await world.eventsOf(consentId)).map(({ type }) => type)

/** Days from now to the consent's expiry, rounded to the nearest day. */
export const daysLeft = async (world: World, consentId: string): Promise<number> =>
  Math.round((await world.consentOf(consentId)).expiresAt.diff(world.clock.now()).as('days'))

/**
 * A provider after one of whose answers the process sleeps, as on a suspended machine or in a paused container: the
 * answer is `time` old when the process goes on.
 */
export const sleepingAfter = (
  world: World,
  call: 'readMe' | 'refresh' | 'exchangeCode',
  time: { minutes?: number; days?: number },
  provider = world.provider,
): World['provider'] => ({
  ...provider,
  [call]: async (...args: unknown[]) => {
    const answer: unknown = await Reflect.apply(provider[call], provider, args)
    world.clock.advance(time)
    return answer
  },
})

/** A store in which some functions are replaced. */
export const withStore = (world: World, over: Partial<World['store']>): World['store'] => ({ ...world.store, ...over })

/** The store of a process that dies: it releases no lease. */
export const dying = (world: World, over: Partial<World['store']> = {}): World['store'] =>
  withStore(world, { release: async () => false, ...over })

/** Takes every record out of the loop, so that the next test begins with nothing due. */
export const retireAll = async ({ db }: World): Promise<void> => {
  await db.prisma.$executeRaw`UPDATE consents SET status = 'paused', next_action_at = NULL WHERE status = 'active'`
  await db.prisma.$executeRaw`
      UPDATE authorisations SET status = 'superseded', next_action_at = NULL WHERE next_action_at IS NOT NULL
    `
  await db.prisma
    .$executeRaw`UPDATE notifications SET status = 'cancelled', next_action_at = NULL WHERE next_action_at IS NOT NULL`
  await db.prisma.$executeRaw`DELETE FROM sweeps`
}
