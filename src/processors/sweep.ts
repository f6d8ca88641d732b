// The cron producer: dispatches due records, page by page, and stops while the queue is full. It decides nothing about
// a consent. Losing the sweep, or running several at once, changes only when due records are found.
import { Duration } from 'luxon'
import { ANSWERS_LAST } from '../domain/answers-last.ts'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { WorkQueue } from '../queue/port.ts'
import { type RecordKind, recordJobs } from '../records.ts'
import type { Dispatching } from '../store/port.ts'
import { done, type Outcome } from './outcome.ts'

export interface SweepDeps {
  readonly store: Dispatching
  readonly queue: WorkQueue
  readonly clock: Clock
  readonly log: Log
  /** Rows per statement, so that the use of memory stays flat. */
  readonly pageSize: number
  /** Dispatching to a queue pauses while more jobs than this wait in it. */
  readonly maxWaiting: number
  /** How long a dispatched row is not dispatched again: longer than a job's retries take. */
  readonly queuedFor: Duration
}

/** The log of what was sent to webhooks is kept for so long. */
export const WEBHOOK_TRIES_LAST = Duration.fromObject({ days: 30 })

export type Swept = Record<RecordKind, number>

/** Codes come first, because they are valid for five minutes only. */
const everyKind: readonly RecordKind[] = ['authorisation', 'notification', 'consent']

/**
 * One full sweep. It rejects when the database or the queue is unavailable, and is recorded as successful only when
 * nothing failed.
 */
export const sweep = (deps: SweepDeps) => async (): Promise<Outcome> => {
  const expired = await expireAttempts(deps)
  const swept = await dispatchKinds(deps, everyKind)
  await deps.store.recordSweep()
  await purgeAnswers(deps)
  await purgeWebhookTries(deps)
  return done(
    `dispatched ${swept.consent} consents, ${swept.notification} messages, ${swept.authorisation} exchanges; ` +
      `${expired} attempts expired`,
  )
}

/**
 * The short timer between sweeps: codes waiting for their exchange, and messages just made, do not wait for the cron
 * pattern.
 */
export const sweepUrgent = (deps: SweepDeps) => async (): Promise<Swept> =>
  dispatchKinds(deps, ['authorisation', 'notification'])

const dispatchKinds = async (deps: SweepDeps, kinds: readonly RecordKind[]): Promise<Swept> => {
  const swept: Swept = { authorisation: 0, notification: 0, consent: 0 }
  for (const kind of kinds) swept[kind] = await dispatchKind(deps, kind)
  return swept
}

const dispatchKind = async (deps: SweepDeps, kind: RecordKind): Promise<number> => {
  const { store, queue, clock, log, pageSize, maxWaiting, queuedFor } = deps
  const { queue: name } = recordJobs[kind]
  let total = 0
  for (;;) {
    const room = maxWaiting - (await queue.countWaiting(name))
    if (room <= 0) {
      log.warn({ queue: name, waiting_at_least: maxWaiting }, 'the queue is full: the sweep goes on next time')
      return total
    }
    const limit = Math.min(pageSize, room)
    const page = await store.dispatchDue(kind, clock.now(), limit, queuedFor)
    if (page.length === 0) return total
    try {
      await queue.add(name, page)
    } catch (error) {
      // The rows are not lost: without their marks the next sweep finds them at once.
      await store.undispatch(kind, page)
      throw error
    }
    total += page.length
    if (page.length < limit) return total
  }
}

const expireAttempts = async ({ store, clock, pageSize }: SweepDeps): Promise<number> => {
  let total = 0
  for (;;) {
    const expired = await store.expireAttempts(clock.now(), pageSize)
    total += expired
    if (expired < pageSize) return total
  }
}

/** After what is due: nothing waits for it, and no sweep fails by it. */
const purge = async (
  { log, pageSize }: SweepDeps,
  what: string,
  deletePage: (limit: number) => Promise<number>,
): Promise<void> => {
  try {
    for (;;) if ((await deletePage(pageSize)) < pageSize) return
  } catch (error) {
    const err = error instanceof Error ? error : new Error('not an error')
    log.warn({ err }, `${what} were not purged: the next sweep purges them`)
  }
}

const purgeAnswers = async (deps: SweepDeps): Promise<void> => {
  const before = deps.clock.now().minus(ANSWERS_LAST)
  await purge(deps, 'old answers of the API', async (limit) => deps.store.purgeAnswers(before, limit))
}

const purgeWebhookTries = async (deps: SweepDeps): Promise<void> => {
  const before = deps.clock.now().minus(WEBHOOK_TRIES_LAST)
  await purge(deps, 'old tries of webhooks', async (limit) => deps.store.purgeWebhookTries(before, limit))
}
