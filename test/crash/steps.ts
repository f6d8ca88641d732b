// The steps of the situations: who does what and until when, and how a run's end is recognised.
import { inject } from 'vitest'
import { makeLog } from '../../src/log.ts'
import type { Role } from '../../src/main.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { plans } from '../queue/setup.ts'
import { API_KEY, until } from '../setup/company.ts'
import type { Company, Stage } from './stage.ts'

/** The name of the end, or undefined as long as the run has not reached it. */
export type End = (company: Company) => Promise<string | undefined>

export const worker: readonly Role[] = ['worker', 'scheduler']

export const consentIs =
  (end: string, what: { status: string; cycle?: number }): End =>
  async ({ db }) =>
    (await db.prisma.consent.count({ where: what })) > 0 ? end : undefined
export const renewed = consentIs('renewed', { status: 'active', cycle: 2 })
export const quarantined = consentIs('quarantined', { status: 'quarantined' })
export const replaced = consentIs('renewed by a new connection', { status: 'superseded' })

/** Adds the consent before the armed process runs, so that the process's first sweep finds it. */
export const due = async (stage: Stage): Promise<void> => {
  await stage.addConsent()
  await stage.startArmed()
}

export const mailed = async ({ company }: Stage): Promise<void> => {
  await until('the first mail', async () => company.simulator.mails()[0], 90_000)
}

/** The user's part, which must be completed: a run without it would prove nothing. */
export const comesBack = async (
  stage: Stage,
  as: 'approve' | 'deny' | 'somebody-else',
  by?: 'visitForwarded' | 'visitTwice',
): Promise<void> => {
  const visit = await stage.answerMail(as, by)
  if (visit !== 'back') throw new Error(`the user did not come back from the bank: ${visit}`)
}

/** The user decides while the armed process runs. */
export const decides =
  (as: 'approve' | 'deny' | 'somebody-else', prepare?: (stage: Stage) => void) =>
  async (stage: Stage): Promise<void> => {
    prepare?.(stage)
    await due(stage)
    await comesBack(stage, as)
  }

/** A healthy worker asks the user first and has stopped before the armed process starts. */
export const askedBefore = async (stage: Stage, isAsked: (stage: Stage) => Promise<void> = mailed): Promise<void> => {
  await stage.addConsent()
  const asking = await stage.startBeside(worker)
  await isAsked(stage)
  await until('the first message to be settled', async () =>
    (await stage.company.db.prisma.notification.count({ where: { leaseUntil: { not: null } } })) === 0
      ? true
      : undefined,
  )
  await asking.stop()
}

export const exchangeFault =
  (fault: Record<string, unknown>) =>
  ({ company }: Stage): void => {
    company.simulator.faults.add({ endpoint: 'exchange', count: 1, ...fault } as Parameters<
      typeof company.simulator.faults.add
    >[0])
  }
export const mailPutOff = async ({ company }: Stage): Promise<void> => {
  await until(
    'the mail to be put off',
    async () =>
      (await company.db.prisma.notification.findFirst({ where: { status: 'pending', attempts: 1 } })) ?? undefined,
  )
}

export const mailRefused = async ({ company }: Stage): Promise<void> => {
  await until(
    'the mail to be refused',
    async () => (await company.db.prisma.notification.findFirst({ where: { status: 'failed' } })) ?? undefined,
  )
}
/** The message is as a worker leaves it that dies before it stores the mail server's answer. */
export const forgetAnswer = async ({ company: { db, clock } }: Stage): Promise<void> => {
  await db.prisma.$executeRaw`
    UPDATE notifications SET status = 'sending', sent_at = NULL, next_action_at = ${clock.now().toJSDate()}
    WHERE status = 'sent'`
}

/** What the button on the board does. */
export const retryOnBoard = async ({ queuePrefix }: Company): Promise<void> => {
  const backend = await openBackend(
    { kind: 'redis', url: new Secret(inject('redisUrl')) },
    { prefix: queuePrefix, plans, log: makeLog({ level: 'silent' }) },
  )
  const job = await until('the job of the message', async () => (await backend.queue('notify').getCompleted())[0])
  await job.retry('completed')
  await backend.close()
}

/** Opens the circuit, as after rejected calls; by now the provider accepts calls again. */
export const holdCalls = async ({ company: { db, clock } }: Stage): Promise<void> => {
  const now = clock.now().toJSDate()
  await db.prisma.openCircuit.create({
    data: { name: 'client-rejected', since: now, trialAt: now },
  })
}

/** Calls for two connections were rejected before, and for 90 seconds all calls are rejected. */
export const rejectionsBegin = async ({ company: { db, clock, simulator } }: Stage): Promise<void> => {
  const at = clock.now()
  for (const connection of ['one', 'another'])
    await db.prisma.providerFailure.create({ data: { code: 'client-rejected', connection, at: at.toJSDate() } })
  simulator.switches.set({ invalid_client_until: at.plus({ seconds: 90 }).toISO() })
}

/** Damages stored ciphertexts so that no key opens them. */
export const spoil = {
  code: async ({ company: { db } }: Stage): Promise<void> =>
    void (await db.prisma.$executeRaw`
        UPDATE authorisations SET code = overlay(code placing 'AAAA' from length(code) - 5) WHERE code IS NOT NULL
      `),
  token: async ({ company: { db } }: Stage): Promise<void> =>
    void (await db.prisma.$executeRaw`
        UPDATE consents SET refresh_token = overlay(refresh_token placing 'AAAA' from length(refresh_token) - 5)
      `),
}

/** A late answer to another attempt has a token that is no longer valid: it replaces the stored one. */
export const storesOldToken = async ({ company: { db, store, clock } }: Stage): Promise<void> => {
  const { id: authorisationId, consentId } = await db.prisma.authorisation.findFirstOrThrow()
  const { version } = await store.readRefreshToken(consentId)
  const rotated = { consentId, authorisationId, version, token: new Secret('an-old-token'), now: clock.now() }
  if (!(await store.storeRotated(rotated))) throw new Error('the token was not stored')
}

export const importsToken = async ({ company: { db, store, config, clock } }: Stage, token: string): Promise<void> => {
  const { credentialsId } = await db.prisma.consent.findFirstOrThrow()
  const consent = await store.findConsent(credentialsId)
  if (consent === undefined) throw new Error('the consent of this run is gone')
  const row = { ...consent, tokenIssuedAt: undefined, consentedAt: undefined, refreshToken: new Secret(token) }
  const [result] = await imports(db, config.policy).importBatch([row], { now: clock.now(), correct: false })
  if (result?.kind !== 'updated') throw new Error(`the import was ${result?.kind}: ${result?.detail}`)
}

/** The company refreshes the connection, whose old token dies, and imports what came. Every refresh rotates then. */
export const importsNewerToken = async (stage: Stage): Promise<void> => {
  const { db, simulator } = stage.company
  simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
  const { credentialsId } = await db.prisma.consent.findFirstOrThrow()
  const current = (): string => simulator.connection(credentialsId)?.refreshToken ?? ''
  const before = current()
  await refreshAt(simulator, before)
  if (current() === before) throw new Error('the provider did not rotate the token')
  await importsToken(stage, current())
}

/** An answer of the API that tells the company to come back minutes later. */
const COMES_BACK_LATER_S = 60

/**
 * A system of the company's asks for the access token, and repeats the request while there is no answer, or one that
 * says to come back soon. Resolves to the status of the last answer.
 */
export const asksForAccessToken = async (stage: Stage): Promise<number> => {
  const { db } = stage.company
  const { credentialsId } = await db.prisma.consent.findFirstOrThrow()
  return until(
    'an answer with an access token',
    async () => {
      for (const origin of stage.origins()) {
        const url = `${origin}/v1/consents/${credentialsId}/access-token`
        const headers = { authorization: `Bearer ${API_KEY}` }
        const asked = fetch(url, { method: 'POST', headers, signal: AbortSignal.timeout(5_000) })
        const answer = await asked.catch(() => undefined)
        if (answer === undefined) continue
        await answer.arrayBuffer()
        const isLater = Number(answer.headers.get('retry-after') ?? 0) > COMES_BACK_LATER_S
        if (answer.status < 500 || isLater) return answer.status
      }
      return undefined
    },
    60_000,
  )
}

/** No event names a reader of access tokens, as in the next hour. */
export const forgetReaders = async ({ company: { db } }: Stage): Promise<void> => {
  await db.prisma.accessToken.updateMany({ data: { shown: {} } })
}

/** Somebody else has refreshed the connection, whose token we do not have. */
export const diesAtProvider = async ({ company: { db, simulator } }: Stage): Promise<void> => {
  const { credentialsId } = await db.prisma.consent.findFirstOrThrow()
  simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
  await refreshAt(simulator, simulator.connection(credentialsId)?.refreshToken ?? '')
  simulator.switches.set({ rotate_refresh_tokens: 'never' })
}

const refreshAt = async ({ url }: { url: string }, token: string): Promise<void> => {
  const client = { client_id: 'client', client_secret: 'client-secret-of-tests' }
  const fields = { ...client, refresh_token: token, grant_type: 'refresh_token' }
  await fetch(`${url}/connect/token`, { method: 'POST', body: new URLSearchParams(fields) })
}

/** Waits until `/me` was polled once after a clean exchange and showed the old date. */
export const polled = async ({ company }: Stage): Promise<void> => {
  const where = { status: 'verifying', pollCount: { gt: 0 }, leaseUntil: null }
  await until(
    'the first poll for the new date',
    async () => (await company.db.prisma.authorisation.findFirst({ where })) ?? undefined,
    90_000,
  )
}

/** Waits until the provider was asked once about an exchange in doubt. */
export const doubted = async ({ company }: Stage): Promise<void> => {
  const where = { status: 'in_doubt', pollCount: { gt: 0 }, leaseUntil: null }
  await until(
    'the first question about the outcome',
    async () => (await company.db.prisma.authorisation.findFirst({ where })) ?? undefined,
    90_000,
  )
}
