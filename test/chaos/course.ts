// A run while it goes on: what belongs to it, what it shows of itself, and the steps that its parts have in common.
import { setTimeout as wait } from 'node:timers/promises'
import type { DurationLike } from 'luxon'
import type { Backlog } from './backlog.ts'
import type { Levels } from './health.ts'
import type { Nemesis } from './nemesis.ts'
import type { Operators } from './operators.ts'
import type { Options } from './options.ts'
import type { Rig } from './rig.ts'
import type { Search } from './secrets.ts'
import type { Crowd } from './users.ts'

const begun = Date.now()
export const say = (line: string): void =>
  console.log(`${String(Math.round((Date.now() - begun) / 1000)).padStart(5)} s  ${line}`)

const kinds = ['authorisation', 'notification', 'consent'] as const
export const countDue = async ({ store, clock }: Rig): Promise<number> => {
  const due = await Promise.all(kinds.map(async (kind) => store.countDue(kind, clock.now())))
  return due.reduce((sum, count) => sum + count, 0)
}
/** Exchanges that nothing but time may end, beside codes that die while it passes. */
export const countInHand = async ({ sql }: Rig): Promise<number> => {
  const [row] = await sql<{ count: string }>(
    `SELECT count(*) FROM authorisations WHERE status IN ('code_received', 'exchanging')`,
  )
  return Number(row?.count ?? 0)
}

/** Asks until it is so, or for so long; a database that is away just now is no answer. */
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

/** Codes in hand are waited for: only a fault may outlive them, never a step of the run. */
export const IN_HAND_WITHIN_MS = 15_000

/**
 * Users go home, codes in hand are used, and the time moves on; not while a code waits longer than that. False then.
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
