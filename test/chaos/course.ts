// The parts that belong to a run, its progress lines, and the steps that the parts of a run have in common.
import { setTimeout as wait } from 'node:timers/promises'
import type { DurationLike } from 'luxon'
import type { Backlog } from './backlog.ts'
import type { Levels } from './health.ts'
import type { Nemesis } from './nemesis.ts'
import type { Operators } from './operators.ts'
import type { Options } from './options.ts'
import type { Rig } from './rig.ts'
import type { Search } from './secrets.ts'
import type { Measured } from './stalls.ts'
import type { Crowd } from './users.ts'

const begun = Date.now()
export const say = (line: string): void =>
  console.log(`${String(Math.round((Date.now() - begun) / 1000)).padStart(5)} s  ${line}`)

const kinds = ['authorisation', 'notification', 'consent'] as const
export const countDue = async ({ store, clock }: Rig): Promise<number> => {
  const due = await Promise.all(kinds.map(async (kind) => store.countDue(kind, clock.now())))
  return due.reduce((sum, count) => sum + count, 0)
}
/** Exchanges that must end before the clock jumps: a jump would let their codes expire. */
export const countInHand = async ({ sql }: Rig): Promise<number> => {
  const [row] = await sql<{ count: string }>(
    `SELECT count(*) FROM authorisations WHERE status IN ('code_received', 'exchanging')`,
  )
  return Number(row?.count ?? 0)
}

/** Repeats the question until the answer is yes, or for so long; a database that is unavailable counts as no. */
export const until = async (isSo: () => Promise<boolean>, withinMs: number): Promise<boolean> => {
  const end = Date.now() + withinMs
  for (;;) {
    if (await isSo().catch(() => false)) return true
    if (Date.now() > end) return false
    await wait(250)
  }
}

export interface Stage {
  readonly rig: Rig
  readonly crowd: Crowd
  readonly nemesis: Nemesis
  readonly operators: Operators
  readonly search: Search
  readonly options: Options
  readonly levels: Levels
  readonly backlog: Backlog
  /** The stalls of the run's own process so far. */
  readonly ownStalls: readonly Measured[]
}

export const progress = async ({ rig, crowd, nemesis }: Stage, what: string): Promise<void> => {
  const [row] = await rig
    .sql<{ renewed: string; open: string }>(
      "SELECT count(*) FILTER (WHERE status = 'renewed') AS renewed, count(*) FILTER (WHERE status = 'open') " +
        'AS open FROM renewals',
    )
    .catch(() => [])
  const { counts } = crowd
  const struck = nemesis.log.reduce((sum, one) => sum + one.happened, 0)
  say(
    `${what}: ${row?.renewed ?? '?'} renewed, ${row?.open ?? '?'} cycles open, ` +
      `${rig.simulator.ledger.count({ what: 'mail', outcome: 'ok' })} mails, ${counts.returns} users back from ` +
      `the bank, ${struck} faults met`,
  )
}

/** The run waits for codes in hand: only a fault may let a code expire, never a step of the run. */
export const IN_HAND_WITHIN_MS = 15_000

/**
 * The users finish their visits, codes in hand are used, and the clock moves on. Returns false, and leaves the clock as
 * it is, where a code takes longer than that.
 */
export const jump = async ({ rig, crowd }: Stage, by: DurationLike): Promise<boolean> => {
  await crowd.rest(6_000)
  const isClear = await until(async () => (await countInHand(rig)) === 0, IN_HAND_WITHIN_MS)
  if (isClear) rig.clock.advance(by)
  crowd.start()
  return isClear
}

const QUIET_WITHIN_MS = 20_000
export const untilQuiet = async ({ rig, crowd }: Stage): Promise<void> => {
  await crowd.rest(QUIET_WITHIN_MS)
  await until(async () => (await countDue(rig)) === 0, QUIET_WITHIN_MS)
}
