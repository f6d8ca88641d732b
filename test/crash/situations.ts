// How each crash point is reached: situations, played on a stage of their own, and which points each of them passes.
import { inject } from 'vitest'
import type { PolicyInput } from '../../src/config/define-config.ts'
import type { CrashPointName } from '../../src/crash-point.ts'
import { makeLog } from '../../src/log.ts'
import type { Role } from '../../src/main.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { Secret } from '../../src/secret.ts'
import { imports } from '../../src/store/import.ts'
import { until } from '../setup/company.ts'
import { type Company, type Meanwhile, quickTiming, type Stage } from './stage.ts'

/** The name of the end, or undefined as long as it is not reached. */
export type End = (company: Company) => Promise<string | undefined>

export interface Situation {
  /** Of the armed process; the others run beside it, healthy, from the start. */
  readonly armed: readonly Role[]
  readonly policy?: PolicyInput
  readonly meanwhile?: Meanwhile
  /** From nothing until the user has done their part once. The armed process reaches its point on the way or soon after. */
  readonly play: (stage: Stage) => Promise<void>
  /** What it has come to, once it has come to its end; until a renewal unless said. */
  readonly end?: End
}

const worker: readonly Role[] = ['worker', 'scheduler']
const web: readonly Role[] = ['web']
const DAY_MS = 86_400_000

const consentIs =
  (end: string, what: { status: string; cycle?: number }): End =>
  async ({ db }) =>
    (await db.prisma.consent.count({ where: what })) > 0 ? end : undefined
export const renewed = consentIs('renewed', { status: 'active', cycle: 2 })
const replaced = consentIs('renewed by a new connection', { status: 'superseded' })

/** Puts the consent there before the armed process runs, so that its very first sweep finds it. */
const due = async (stage: Stage): Promise<void> => {
  await stage.addConsent()
  await stage.startArmed()
}

const mailed = async ({ company }: Stage): Promise<void> => {
  await until('the first mail', async () => company.simulator.mails()[0], 90_000)
}

/** The user's part, done to its end: a run in which it was not says nothing. */
const comesBack = async (stage: Stage, as: 'approve' | 'deny' | 'somebody-else', by?: 'visitForwarded' | 'visitTwice'): Promise<void> => {
  const visit = await stage.answerMail(as, by)
  if (visit !== 'back') throw new Error(`the user did not come back from the bank: ${visit}`)
}

/** The user decides while the armed process runs. */
const decides = (as: 'approve' | 'deny' | 'somebody-else', prepare?: (stage: Stage) => void) => async (stage: Stage): Promise<void> => {
  prepare?.(stage)
  await due(stage)
  await comesBack(stage, as)
}

/** A healthy worker asks the user first, and has ended when the armed process comes. */
const askedBefore = async (stage: Stage, isAsked: (stage: Stage) => Promise<void> = mailed): Promise<void> => {
  await stage.addConsent()
  const asking = await stage.startBeside(worker)
  await isAsked(stage)
  await until('the first message to be settled', async () => ((await stage.company.db.prisma.notification.count({ where: { leaseUntil: { not: null } } })) === 0 ? true : undefined))
  await asking.stop()
}

const exchangeFault = (fault: Record<string, unknown>) => ({ company }: Stage): void => {
  company.simulator.faults.add({ endpoint: 'exchange', count: 1, ...fault } as Parameters<typeof company.simulator.faults.add>[0])
}
const mailPutOff = async ({ company }: Stage): Promise<void> => {
  await until('the mail to be put off', async () => (await company.db.prisma.notification.findFirst({ where: { status: 'pending', attempts: 1 } })) ?? undefined)
}

const mailRefused = async ({ company }: Stage): Promise<void> => {
  await until('the mail to be refused', async () => (await company.db.prisma.notification.findFirst({ where: { status: 'failed' } })) ?? undefined)
}
/** What the button on the board does. */
const retryOnBoard = async ({ queuePrefix }: Company): Promise<void> => {
  const backend = await openBackend({ kind: 'redis', url: new Secret(inject('redisUrl')) }, { prefix: queuePrefix, log: makeLog({ level: 'silent' }) })
  const job = await until('the job of the message', async () => (await backend.queue('notify').getCompleted())[0])
  await job.retry('completed')
  await backend.close()
}

/** Calls were rejected before; by now the provider takes them again. */
const holdCalls = async ({ company: { db, clock } }: Stage): Promise<void> => {
  const now = clock.now().toJSDate()
  await db.prisma.providerHold.create({ data: { name: 'client-rejected', code: 'client-rejected', since: now, probeAt: now } })
}

/** The company's own books are behind: it corrects ours with a token that is dead by now. */
const importsOldToken = async ({ company: { db, store, config, clock } }: Stage): Promise<void> => {
  const { credentialsId } = await db.prisma.consent.findFirstOrThrow()
  const consent = await store.findConsent(credentialsId)
  if (consent === undefined) throw new Error('the consent of this run is gone')
  const row = { ...consent, consentedAt: undefined, refreshToken: new Secret('an-old-token') }
  const [result] = await imports(db, config.policy).importBatch([row], { now: clock.now(), correct: true })
  if (result?.kind !== 'updated') throw new Error(`the correction was ${result?.kind}: ${result?.detail}`)
}

/** Sweeps so far apart that none takes a record away from whoever is about to hand it over. */
const rareSweeps: PolicyInput = { sweep: { cron: '*/5 * * * * *' }, timing: { ...quickTiming, codeTimer: '1m' } }

/** The provider was asked once about an exchange of unknown outcome. */
const doubted = async ({ company }: Stage): Promise<void> => {
  const where = { status: 'unknown', asked: { gt: 0 }, leaseUntil: null }
  await until('the first question about the outcome', async () => (await company.db.prisma.authorisation.findFirst({ where })) ?? undefined, 90_000)
}

export const situations = {
  'a consent is due': { armed: worker, play: due },
  'a consent is due, the sweep is elsewhere': {
    armed: ['worker'],
    play: async (stage) => {
      await stage.startBeside(['scheduler'])
      await due(stage)
    },
  },
  'a consent is due, sweeps are rare': { armed: worker, policy: rareSweeps, play: due },
  'the user approves': { armed: worker, play: decides('approve') },
  'the provider refuses the code': { armed: worker, play: decides('approve', exchangeFault({ kind: 'error-json', status: 400, error: 'invalid_grant' })) },
  'somebody else approves': { armed: worker, play: decides('somebody-else') },
  'the answer to a code is lost': { armed: worker, play: decides('approve', exchangeFault({ kind: 'reset-after' })) },
  'a code is lost on its way': {
    armed: worker,
    play: async (stage) => {
      await decides('approve', exchangeFault({ kind: 'reset-before' }))(stage)
      await doubted(stage)
      // From six minutes on, "not renewed" may be said.
      stage.advance(7 * 60_000)
    },
  },
  'calls are on hold': {
    armed: worker,
    play: async (stage) => {
      await holdCalls(stage)
      await due(stage)
    },
  },
  'calls are on hold when the code comes': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      await comesBack(stage, 'approve')
      await holdCalls(stage)
      await stage.startArmed()
    },
  },
  'the provider asks to slow down': { armed: worker, play: decides('approve', exchangeFault({ kind: 'rate-limited' })) },
  'the provider shows the new date late': {
    armed: worker,
    play: decides('approve', ({ company }) => company.simulator.switches.set({ me_lag_seconds: 30 })),
  },
  'tokens come without a name': {
    armed: worker,
    play: decides('approve', ({ company }) => company.simulator.switches.set({ access_token: 'opaque', rotate_refresh_tokens: 'on-reauth' })),
  },
  // Where a process dies with the only valid token in its hands, none of ours works any more: the user is asked by the other route.
  'a code brings a new token': {
    armed: worker,
    policy: { routes: ['reauth', 'full'] },
    play: decides('approve', ({ company }) => company.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })),
    end: async (company) => (await renewed(company)) ?? replaced(company),
  },
  'a refresh brings a new token': {
    armed: worker,
    policy: { routes: ['reauth', 'full'] },
    end: async (company) => (await renewed(company)) ?? replaced(company),
    play: decides('approve', (stage) => {
      stage.company.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
      exchangeFault({ kind: 'reset-after' })(stage)
    }),
  },
  'an import brings another token meanwhile': {
    armed: worker,
    meanwhile: { at: 'refresh-answered', act: importsOldToken },
    play: decides('approve', (stage) => {
      stage.company.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
      exchangeFault({ kind: 'reset-after' })(stage)
    }),
  },
  'two codes come at once': {
    armed: worker,
    play: async (stage) => {
      stage.company.simulator.switches.set({ me_lag_seconds: 30 })
      await askedBefore(stage)
      await comesBack(stage, 'approve', 'visitTwice')
      await stage.startArmed()
    },
  },
  'a full authentication': {
    armed: worker,
    policy: { routes: ['full'] },
    play: decides('approve'),
    end: replaced,
  },
  'the grace window is over': {
    armed: worker,
    play: async (stage) => {
      await stage.addConsent({ expiresAt: stage.company.clock.now().minus({ days: 91 }) })
      await stage.startArmed()
    },
    end: consentIs('lapsed', { status: 'lapsed' }),
  },
  'nothing is due': {
    armed: worker,
    play: async (stage) => {
      await stage.addConsent({ expiresAt: stage.company.clock.now().plus({ days: 60 }) })
      await stage.startArmed()
    },
    end: async ({ db, clock }) =>
      (await db.prisma.consent.count({ where: { nextActionAt: { gt: clock.now().plus({ days: 40 }).toJSDate() } } })) === 1 ? 'dated' : undefined,
  },
  'the provider refuses a link': {
    armed: worker,
    play: async (stage) => {
      stage.company.simulator.faults.add({ endpoint: 'reauthuri', kind: 'error-json', status: 400, error: 'invalid_request', count: 1 })
      await due(stage)
    },
  },
  'the mail server puts a message off': {
    armed: worker,
    play: async (stage) => {
      stage.company.simulator.faults.add({ endpoint: 'mail', kind: 'rcpt-4xx', count: 1 })
      await due(stage)
    },
  },
  'a person retries a refused message': {
    armed: worker,
    play: async (stage) => {
      const { company } = stage
      company.simulator.faults.add({ endpoint: 'mail', kind: 'rcpt-5xx', count: 1 })
      await askedBefore(stage, mailRefused)
      await retryOnBoard(company)
      await stage.startArmed()
    },
  },
  'a message has lost its address': {
    armed: worker,
    play: async (stage) => {
      const { company } = stage
      company.simulator.faults.add({ endpoint: 'mail', kind: 'rcpt-4xx', count: 1 })
      await askedBefore(stage, mailPutOff)
      await company.db.prisma.consent.updateMany({ data: { email: null } })
      stage.advance(2 * 60_000)
      await stage.startArmed()
    },
    end: async ({ db }) => ((await db.prisma.notification.count({ where: { status: 'cancelled' } })) === 1 ? 'cancelled' : undefined),
  },
  'the user comes back': {
    armed: web,
    play: async (stage) => {
      await stage.startBeside(worker)
      await decides('approve')(stage)
    },
  },
  'the user comes back, sweeps are rare': {
    armed: web,
    policy: rareSweeps,
    play: async (stage) => {
      await stage.startBeside(worker)
      await decides('approve')(stage)
    },
  },
  'the user comes back while the queue is away': {
    armed: web,
    policy: rareSweeps,
    play: async (stage) => {
      await stage.loseQueue()
      await stage.startBeside(worker)
      await decides('approve')(stage)
    },
  },
  'the user refuses at the bank': {
    armed: web,
    play: async (stage) => {
      await stage.startBeside(worker)
      await decides('deny')(stage)
    },
  },
  'the company forwards a callback': {
    armed: web,
    play: async (stage) => {
      await stage.startBeside(worker)
      await due(stage)
      await comesBack(stage, 'approve', 'visitForwarded')
    },
  },
  'the user comes after the link has aged': {
    armed: web,
    play: async (stage) => {
      await stage.startBeside(worker)
      await due(stage)
      await mailed(stage)
      stage.advance(10 * 60_000)
      await comesBack(stage, 'approve')
    },
  },
  'a state is too old': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      stage.advance(1.1 * DAY_MS)
      await stage.startArmed()
    },
  },
  'a stored code does not open': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      await comesBack(stage, 'approve')
      await stage.company.db.prisma.$executeRaw`UPDATE authorisations SET code = overlay(code placing 'AAAA' from length(code) - 5) WHERE code IS NOT NULL`
      await stage.startArmed()
    },
    end: consentIs('quarantined', { status: 'quarantined' }),
  },
  'the queue goes away during a sweep': { armed: worker, meanwhile: { at: 'page-dispatched', act: async ({ loseQueue }) => loseQueue() }, play: due },
} as const satisfies Record<string, Situation>

export type SituationName = keyof typeof situations

interface Passing {
  readonly situation: SituationName
  /** The visit that is struck; the first unless said. */
  readonly nth?: number
}

const passings: Record<CrashPointName, readonly Passing[]> = {
  'job-taken': [{ situation: 'a consent is due, the sweep is elsewhere' }],
  'sweep-ended': [{ situation: 'a consent is due' }],
  'reauth-ended': [
    { situation: 'a consent is due' },
    { situation: 'nothing is due' },
    { situation: 'the grace window is over' },
    { situation: 'the provider refuses a link' },
  ],
  'notify-ended': [{ situation: 'a consent is due' }, { situation: 'the mail server puts a message off' }, { situation: 'a message has lost its address' }],
  'exchange-ended': [
    { situation: 'the user approves' },
    { situation: 'the provider asks to slow down' },
    { situation: 'the provider shows the new date late' },
    { situation: 'a code is lost on its way' },
    { situation: 'two codes come at once' },
  ],
  'job-failed': [{ situation: 'a stored code does not open' }],
  'record-dispatched': [{ situation: 'a consent is due, sweeps are rare' }, { situation: 'the user comes back, sweeps are rare' }],
  'record-queued': [{ situation: 'a consent is due, sweeps are rare' }, { situation: 'the user comes back, sweeps are rare' }],
  'record-refused': [{ situation: 'the user comes back while the queue is away' }],
  'states-expired': [{ situation: 'a state is too old' }],
  'page-dispatched': [{ situation: 'a consent is due' }],
  'page-queued': [{ situation: 'a consent is due' }],
  'page-refused': [{ situation: 'the queue goes away during a sweep' }],
  'schedule-registered': [{ situation: 'a consent is due' }],
  'consent-claimed': [{ situation: 'a consent is due' }],
  'before-link': [{ situation: 'a consent is due' }, { situation: 'the user comes after the link has aged' }],
  'link-answered': [
    { situation: 'a consent is due' },
    { situation: 'the provider refuses a link' },
    { situation: 'the user comes after the link has aged' },
  ],
  'step-committed': [{ situation: 'a consent is due' }],
  'probe-taken': [{ situation: 'calls are on hold' }, { situation: 'calls are on hold when the code comes' }],
  'secret-checked': [{ situation: 'calls are on hold' }],
  'hold-lifted': [{ situation: 'calls are on hold' }, { situation: 'calls are on hold when the code comes' }],
  'message-claimed': [{ situation: 'a consent is due' }],
  'message-revived': [{ situation: 'a person retries a refused message' }],
  'sending-committed': [{ situation: 'a consent is due' }],
  'mail-leaving': [{ situation: 'a consent is due' }],
  'mail-answered': [{ situation: 'a consent is due' }, { situation: 'the mail server puts a message off' }],
  'link-handed-out': [{ situation: 'the user comes back' }],
  'link-added': [{ situation: 'the user comes after the link has aged' }],
  'before-departure': [{ situation: 'the user comes back' }],
  'code-committed': [{ situation: 'the user comes back' }],
  'refusal-committed': [{ situation: 'the user refuses at the bank' }],
  'before-callback-answer': [{ situation: 'the user comes back' }],
  'before-api-answer': [{ situation: 'the company forwards a callback' }],
  'authorisation-claimed': [{ situation: 'the user approves' }],
  'exchanging-committed': [{ situation: 'the user approves' }],
  // The first answer is the one about the link.
  'answer-unnoted': [
    { situation: 'a code brings a new token', nth: 2 },
    { situation: 'a refresh brings a new token', nth: 3 },
  ],
  'code-answered': [
    { situation: 'the user approves' },
    { situation: 'the provider refuses the code' },
    { situation: 'the provider asks to slow down' },
    { situation: 'a code brings a new token' },
    { situation: 'a full authentication' },
  ],
  'tokens-stored': [{ situation: 'the user approves' }, { situation: 'tokens come without a name' }],
  'before-asking-again': [{ situation: 'the provider refuses the code' }, { situation: 'somebody else approves' }, { situation: 'a code is lost on its way' }],
  'me-answered': [{ situation: 'the user approves' }],
  'before-settling': [{ situation: 'the answer to a code is lost' }],
  'refresh-answered': [{ situation: 'the answer to a code is lost' }],
  'refresh-kept': [{ situation: 'a refresh brings a new token' }],
  'settling-me-answered': [{ situation: 'the answer to a code is lost' }],
  'change-noted': [{ situation: 'an import brings another token meanwhile' }],
  'tokens-adopted': [{ situation: 'tokens come without a name' }],
  'renewal-committed': [{ situation: 'the user approves' }, { situation: 'a full authentication' }],
  'consent-quarantined': [{ situation: 'a stored code does not open' }],
}

export interface Case {
  readonly point: CrashPointName
  readonly situation: SituationName
  readonly nth: number
}

/** Every point in every situation that it is tried in. */
export const cases: readonly Case[] = Object.entries(passings).flatMap(([point, list]) =>
  list.map(({ situation, nth = 1 }) => ({ point: point as CrashPointName, situation, nth })),
)
