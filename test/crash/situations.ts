// The situations in which the crash points are reached, each played on its own stage.
import type { PolicyInput } from '../../src/config/define-config.ts'
import type { Role } from '../../src/main.ts'
import { until } from '../setup/company.ts'
import { type Meanwhile, quickTiming, type Stage } from './stage.ts'
import {
  askedBefore,
  asksForAccessToken,
  comesBack,
  consentIs,
  decides,
  diesAtProvider,
  doubted,
  due,
  type End,
  exchangeFault,
  forgetAnswer,
  forgetReaders,
  holdCalls,
  importsNewerToken,
  importsToken,
  mailed,
  mailPutOff,
  mailRefused,
  polled,
  quarantined,
  rejectionsBegin,
  renewed,
  replaced,
  retryOnBoard,
  spoil,
  storesOldToken,
  worker,
} from './steps.ts'

export interface Situation {
  /** The roles of the armed process; healthy processes have the other roles from the start. */
  readonly armed: readonly Role[]
  readonly policy?: PolicyInput
  readonly meanwhile?: Meanwhile
  /**
   * Plays the situation from the beginning until the user has done their part once. The armed process reaches its point
   * on the way or soon after.
   */
  readonly play: (stage: Stage) => Promise<void>
  /** The first attempt fails whatever is struck, so the user is always asked again. */
  readonly asksAgain?: true
  /** The end that the run must come to; by default a renewal. */
  readonly end?: End
}

const web: readonly Role[] = ['web']

/** The user has a mail, and the armed process serves the API. */
const asked = async (stage: Stage): Promise<void> => {
  await stage.startBeside(worker)
  await due(stage)
  await mailed(stage)
}
const DAY_MS = 86_400_000

/** Sweeps so rare that none dispatches a record that another process is about to enqueue. */
const rareSweeps: PolicyInput = { sweep: { cron: '*/5 * * * * *' }, timing: { ...quickTiming, codeTimer: '1m' } }

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
  'the provider refuses the code': {
    armed: worker,
    asksAgain: true,
    play: decides('approve', exchangeFault({ kind: 'error-json', status: 400, error: 'invalid_grant' })),
  },
  'somebody else approves': { armed: worker, asksAgain: true, play: decides('somebody-else') },
  'the answer to a code is lost': { armed: worker, play: decides('approve', exchangeFault({ kind: 'reset-after' })) },
  'a code is lost on its way': {
    armed: worker,
    asksAgain: true,
    play: async (stage) => {
      await decides('approve', exchangeFault({ kind: 'reset-before' }))(stage)
      await doubted(stage)
      // A doubt can be settled as "not renewed" from 25 hours on.
      stage.advance(1.1 * DAY_MS)
    },
  },
  'the circuit is open': {
    armed: worker,
    play: async (stage) => {
      await holdCalls(stage)
      await due(stage)
    },
  },
  'the circuit is open when the code comes': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      await comesBack(stage, 'approve')
      await holdCalls(stage)
      await stage.startArmed()
    },
  },
  'the provider asks to slow down': {
    armed: worker,
    play: decides('approve', exchangeFault({ kind: 'rate-limited' })),
  },
  'the provider shows the new date late': {
    armed: worker,
    play: decides('approve', ({ company }) => company.simulator.switches.set({ me_lag_seconds: 30 })),
  },
  'the provider shows the new date a day late': {
    armed: worker,
    play: async (stage) => {
      await decides('approve', ({ company }) => company.simulator.switches.set({ me_lag_seconds: 24 * 3600 }))(stage)
      await polled(stage)
      stage.advance(11 * 60_000)
    },
  },
  'tokens come without a name': {
    armed: worker,
    play: decides('approve', ({ company }) =>
      company.simulator.switches.set({ access_token: 'opaque', rotate_refresh_tokens: 'on-reauth' }),
    ),
  },
  // Where a process dies with the only valid token in its hands, no token that we hold works any more: the user is
  // asked by the other route.
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
  'another answer is stored meanwhile': {
    armed: worker,
    meanwhile: { at: 'refresh-answered', act: storesOldToken },
    play: decides('approve', (stage) => {
      stage.company.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
      exchangeFault({ kind: 'reset-after' })(stage)
    }),
  },
  'the company refreshed beside us, and the answer to a code is lost': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      exchangeFault({ kind: 'reset-after' })(stage)
      await comesBack(stage, 'approve')
      await importsNewerToken(stage)
      await stage.startArmed()
    },
  },
  'an old export was imported, and the answer to a code is lost': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      exchangeFault({ kind: 'reset-after' })(stage)
      await comesBack(stage, 'approve')
      await importsToken(stage, 'of an old export')
      await stage.startArmed()
    },
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
      (await db.prisma.consent.count({
        where: { nextActionAt: { gt: clock.now().plus({ days: 40 }).toJSDate() } },
      })) === 1
        ? 'dated'
        : undefined,
  },
  'the provider refuses a link': {
    armed: worker,
    play: async (stage) => {
      stage.company.simulator.faults.add({
        endpoint: 'reauthuri',
        kind: 'error-json',
        status: 400,
        error: 'invalid_request',
        count: 1,
      })
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
  'the mail server puts a message off after its last byte': {
    armed: worker,
    play: async (stage) => {
      stage.company.simulator.faults.add({ endpoint: 'mail', kind: 'data-4xx', count: 1 })
      await due(stage)
    },
  },
  'the mail server answers late': {
    armed: worker,
    policy: { timing: { ...quickTiming, lease: '4s', jobDeadline: '3800ms', requestTimeout: '3500ms' } },
    play: async (stage) => {
      stage.company.simulator.faults.add({ endpoint: 'mail', kind: 'slow-mail', ms: 2_000, count: 1 })
      await due(stage)
    },
  },
  'a worker has died over a message': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      await forgetAnswer(stage)
      await stage.startArmed()
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
    end: async ({ db }) =>
      (await db.prisma.notification.count({ where: { status: 'cancelled' } })) === 1 ? 'cancelled' : undefined,
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
    asksAgain: true,
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
  'the company asks for an access token': {
    armed: web,
    play: async (stage) => {
      await asked(stage)
      await asksForAccessToken(stage)
      await comesBack(stage, 'approve')
    },
  },
  'the company asks for an access token, and the provider rotates': {
    armed: web,
    play: async (stage) => {
      stage.company.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
      await asked(stage)
      await asksForAccessToken(stage)
      await comesBack(stage, 'approve')
    },
  },
  'the company asks again for an access token': {
    armed: web,
    play: async (stage) => {
      await asked(stage)
      await asksForAccessToken(stage)
      await forgetReaders(stage)
      await asksForAccessToken(stage)
      await comesBack(stage, 'approve')
    },
  },
  'the company asks for an access token, and the provider is busy': {
    armed: web,
    play: async (stage) => {
      stage.company.simulator.faults.add({ endpoint: 'refresh', kind: 'rate-limited', retry_after: 600, count: 1 })
      await asked(stage)
      await asksForAccessToken(stage)
      await comesBack(stage, 'approve')
    },
  },
  'the company asks for an access token, and its token is dead': {
    armed: web,
    play: async (stage) => {
      await asked(stage)
      await diesAtProvider(stage)
      await asksForAccessToken(stage)
      await comesBack(stage, 'approve')
    },
  },
  'the company has asked for an access token, and the user approves': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      await asksForAccessToken(stage)
      await comesBack(stage, 'approve')
      await stage.startArmed()
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
      await spoil.code(stage)
      await stage.startArmed()
    },
    end: quarantined,
  },
  'a stored token does not open': {
    armed: worker,
    play: async (stage) => {
      await stage.addConsent()
      await spoil.token(stage)
      await stage.startArmed()
    },
    end: quarantined,
  },
  'the stored token does not open when the button is pressed': {
    armed: web,
    play: async (stage) => {
      await stage.startBeside(worker)
      await due(stage)
      await mailed(stage)
      stage.advance(10 * 60_000)
      await spoil.token(stage)
      await stage.answerMail('approve')
    },
    end: quarantined,
  },
  'the provider fails to make a link': {
    armed: worker,
    play: async (stage) => {
      stage.company.simulator.faults.add({ endpoint: 'reauthuri', kind: 'error-json', status: 500, count: 1 })
      await due(stage)
    },
  },
  'the third rejection in a row': {
    armed: worker,
    play: async (stage) => {
      await askedBefore(stage)
      await comesBack(stage, 'approve')
      await rejectionsBegin(stage)
      await stage.startArmed()
    },
  },
  'another answer is stored, and nothing was renewed': {
    armed: worker,
    asksAgain: true,
    meanwhile: { at: 'refresh-answered', act: storesOldToken },
    play: async (stage) => {
      await decides('approve', ({ company }) => {
        company.simulator.switches.set({ rotate_refresh_tokens: 'on-refresh' })
        exchangeFault({ kind: 'reset-before' })(stage)
      })(stage)
      await until(
        'the token to be kept beside',
        async () =>
          (await stage.company.db.prisma.authorisation.findFirst({ where: { pendingRefreshToken: { not: null } } })) ??
          undefined,
      )
    },
  },
  'another answer is stored during an exchange': {
    armed: worker,
    meanwhile: { at: 'code-answered', act: storesOldToken },
    play: decides('approve', ({ company }) => company.simulator.switches.set({ rotate_refresh_tokens: 'on-reauth' })),
  },
  'the queue goes away during a sweep': {
    armed: worker,
    meanwhile: { at: 'page-dispatched', act: async ({ loseQueue }) => loseQueue() },
    play: due,
  },
} as const satisfies Record<string, Situation>

export type SituationName = keyof typeof situations
