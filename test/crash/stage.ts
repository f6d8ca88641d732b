// The stage of one run: a company of its own (database, queue namespace, simulator, clock), the armed process, the
// healthy processes that run at the same time or take over, and the user. Situations play on it.
import { setTimeout as wait } from 'node:timers/promises'
import type { DateTime } from 'luxon'
import { inject } from 'vitest'
import type { Decision } from '../../simulator/src/bank.ts'
import type { PolicyInput } from '../../src/config/define-config.ts'
import type { PointName } from './points.ts'
import type { Consent } from '../../src/domain/model.ts'
import type { Reconsent, Role } from '../../src/main.ts'
import { type FaultProxy, startFaultProxy } from '../chaos/fault-proxy.ts'
import { startCompany, until } from '../setup/company.ts'
import { type Armed, startArmed } from './armed.ts'
import { type Browser, makeBrowser, type Visit } from './browser.ts'
import type { Mode } from './order.ts'

export type Company = Awaited<ReturnType<typeof startCompany>>

export const quickTiming: NonNullable<PolicyInput['timing']> = {
  lease: '2s',
  queuedFor: '2s',
  codeTimer: '300ms',
  jobDeadline: '1900ms',
  stopWithin: '2s',
  unreadyFor: '200ms',
  requestTimeout: '1500ms',
  retry: { attempts: 3, firstDelay: '200ms' },
  concurrency: { reauth: 2, notify: 2, exchange: 2 },
}

export interface StageOptions {
  readonly point: PointName
  readonly nth: number
  readonly mode: Mode
  /** The roles of the armed process. */
  readonly roles: readonly Role[]
  readonly policy: PolicyInput
  readonly meanwhile: Meanwhile | undefined
  readonly onUnknownPlace: (place: string) => void
}

/** What the run does while the armed process waits at its first visit to a point. */
export interface Meanwhile {
  readonly at: PointName
  readonly act: (stage: Stage) => Promise<void>
}

export interface Stage {
  readonly company: Company
  /** Adds the one consent of this run, by default ten days before its expiry. */
  addConsent(over?: Partial<Consent> & { expiresAt?: DateTime }): Promise<Consent>
  /** Starts a healthy process with these roles, inside the test's own process. */
  startBeside(roles: readonly Role[]): Promise<Reconsent>
  startArmed(): Promise<void>
  /** From now on the armed process cannot reach the queue. */
  loseQueue(): Promise<void>
  /** Resolves when the armed process has reached its point. */
  readonly reached: Promise<void>
  woke(): Promise<void>
  /** Starts a healthy process with the roles of the armed one. */
  takeOver(): Promise<void>
  /** Moves the clock of all processes. */
  advance(ms: number): void
  /** The start link in the newest mail, if the user has not seen that mail. */
  newLink(): string | undefined
  /** Waits for a mail and follows its link. */
  answerMail(as: Decision, by?: keyof Browser): Promise<Visit>
  visits(): number
  /** Where the pages and the API are served. */
  origins(): readonly string[]
  close(): Promise<void>
}

/** The armed process's own address of the queue, through a proxy that can refuse it. */
const wayToQueue = async (): Promise<{ url: string; proxy: FaultProxy }> => {
  const url = new URL(inject('redisUrl'))
  const target = Number(url.port)
  const proxy = await startFaultProxy({ targets: () => [target] })
  url.port = String(proxy.port)
  return { url: url.href, proxy }
}

export const openStage = async (options: StageOptions): Promise<Stage> => {
  const { point, nth, mode, roles, policy, meanwhile, onUnknownPlace } = options
  const company = await startCompany({ queue: 'redis', processes: [], policy: { timing: quickTiming, ...policy } })
  const { url: redisUrl, proxy } = await wayToQueue()
  const { simulator, clock, env, queuePrefix, publicUrl } = company
  const beside: Reconsent[] = []
  const origins = [publicUrl]
  const reached = Promise.withResolvers<void>()
  reached.promise.catch(() => undefined)
  const browser = makeBrowser(simulator, () => origins)
  let armed: Armed | undefined
  let seen = 0
  let visits = 0

  const startBeside = async (which: readonly Role[], port?: number): Promise<Reconsent> => {
    const one = await company.start(which, port)
    beside.push(one)
    return one
  }
  const newLink = (): string | undefined => {
    const mails = simulator.mails()
    return mails.length > seen ? mails[0]?.links[0] : undefined
  }

  const stage: Stage = {
    company,
    addConsent: async (over = {}) => company.addConsent({ expiresAt: clock.now().plus({ days: 10 }), ...over }),
    startBeside,
    startArmed: async () => {
      const port = roles.includes('web') ? Number(env.PORT) : 0
      const offsetMs = clock.now().toMillis() - Date.now()
      const order = {
        roles,
        env: { ...env, REDIS_URL: redisUrl },
        policy: company.policy,
        queuePrefix,
        port,
        offsetMs,
        point,
        nth,
        mode,
        waitAt: meanwhile?.at,
      }
      armed = startArmed(order, onUnknownPlace)
      armed.reached.then(reached.resolve, reached.reject)
      const { waits, send } = armed
      void waits.then(async () => meanwhile?.act(stage)).then(() => send({ kind: 'go-on' }), reached.reject)
      await armed.ready
    },
    loseQueue: async () => proxy.set({ kind: 'refuse' }),
    reached: reached.promise,
    woke: async () => armed?.woke,
    takeOver: async () => {
      // A dead process leaves its port to its successor; while the armed process is alive, the second one takes a free
      // port.
      const isDead = armed?.isAlive() !== true
      const one = await startBeside(roles, isDead ? undefined : 0)
      if (!isDead && roles.includes('web')) origins.push(one.url)
    },
    advance: (ms) => {
      clock.advance({ milliseconds: ms })
      armed?.send({ kind: 'advance', ms })
    },
    newLink,
    answerMail: async (as, by = 'visit') => {
      const link = await until('a mail to the user', async () => newLink(), FINISHES_WITHIN_MS)
      seen = simulator.mails().length
      visits += 1
      return browser[by](link, as)
    },
    visits: () => visits,
    origins: () => origins,
    close: async () => {
      await armed?.end()
      await Promise.all(beside.map(async (one) => one.stop()))
      await company.stop()
      await proxy.close()
    },
  }
  return stage
}

const LEFT_ALONE_MS = 150
const FINISHES_WITHIN_MS = 90_000

/**
 * When a record of this database is due next, whether a worker holds any record now, and whether a message that its
 * worker died over still waits for what becomes of it.
 */
const nextLook = async ({
  db,
}: Company): Promise<{ at: number | undefined; inWork: boolean; hasUnsettled: boolean }> => {
  const [row] = await db.prisma.$queryRaw<{ at: Date | null; in_work: boolean; unsettled: boolean }[]>`
    SELECT min(next_action_at) AS at, coalesce(bool_or(lease_until > clock_timestamp()), false) AS in_work,
      coalesce(bool_or(status = 'sending'), false) AS unsettled FROM (
      SELECT status, next_action_at, lease_until FROM consents WHERE status = 'active'
      UNION ALL SELECT status, next_action_at, lease_until FROM authorisations
        WHERE status IN ('code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date')
      UNION ALL SELECT status, next_action_at, lease_until FROM notifications WHERE status IN ('pending', 'sending')
    ) AS open`
  return { at: row?.at?.getTime(), inWork: row?.in_work ?? false, hasUnsettled: row?.unsettled ?? false }
}

/**
 * Lets the system finish: the user follows every new mail and approves, and when nothing is due, the clock moves to the
 * next date. Returns the end that the system came to, once nothing is due any more.
 */
export const letFinish = async (
  stage: Stage,
  endOf: (company: Company) => Promise<string | undefined>,
  signal?: AbortSignal,
): Promise<string> => {
  const { company, advance } = stage
  const late = Date.now() + FINISHES_WITHIN_MS
  for (;;) {
    if (signal?.aborted === true) return 'stopped'
    const end = await endOf(company)
    const { at, inWork, hasUnsettled } = await nextLook(company)
    const isIdle = !inWork && (at === undefined || at > company.clock.now().toMillis())
    if (end !== undefined && isIdle && !hasUnsettled) return end
    if (end === undefined && stage.newLink() !== undefined) await stage.answerMail('approve')
    else if ((end === undefined || hasUnsettled) && isIdle && at !== undefined)
      advance(at - company.clock.now().toMillis() + 500)
    else await wait(LEFT_ALONE_MS)
    if (Date.now() > late) throw new Error(`did not finish: ${await standing(company)}`)
  }
}

const standing = async ({ db, clock, simulator }: Company): Promise<string> => {
  const events = await db.prisma.event.findMany({ orderBy: { seq: 'asc' }, select: { type: true, reason: true } })
  const open = await db.prisma.$queryRaw`
    SELECT 'consent' AS kind, status, next_action_at, lease_until, queued_until FROM consents
    UNION ALL SELECT 'authorisation', status, next_action_at, lease_until, queued_until FROM authorisations
    UNION ALL SELECT 'notification', status, next_action_at, lease_until, queued_until FROM notifications`
  const story = events.map(({ type, reason }) => (reason === null ? type : `${type} (${reason})`)).join(', ')
  return `${clock.now().toISO()} ${JSON.stringify(open)}; events: ${story}; ${simulator.mails().length} mails`
}
