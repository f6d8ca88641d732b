// The last part of a run: everything heals, users come for a while longer, then nobody comes, and work that was begun
// gets time to end.
import { setTimeout as wait } from 'node:timers/promises'
import type { DurationLike } from 'luxon'
import { countDue, countInHand, IN_HAND_WITHIN_MS, progress, type Stage, until, untilQuiet } from './course.ts'
import { LAST_DOUBTS } from './invariants/asked.ts'
import { type Rig, SWEEP_MS } from './rig.ts'

/** How long users still come after the healing, as a share of the run's minutes. */
const VISITS_AFTER = 0.5

/** The share of the consents that lose an answer when nothing else fails any more. */
const LAST_DOUBTS_SHARE = 1 / 200

/**
 * The steps of the clock in this part: during the first list users still start visits; during the second list nobody
 * does, so that what users began can end.
 */
const VISITING: readonly DurationLike[] = [
  { seconds: 1 },
  { minutes: 2 },
  { minutes: 10 },
  { hours: 2 },
  { hours: 7 },
  { hours: 25 },
  { hours: 25 },
]
const ENDING: readonly DurationLike[] = [
  { minutes: 2 },
  { minutes: 10 },
  { hours: 2 },
  { hours: 25 },
  { hours: 25 },
  { minutes: 15 },
  { hours: 2 },
  { hours: 25 },
]

const countDoubts = async ({ sql }: Rig): Promise<number> => {
  const [row] = await sql<{ count: string }>(
    `SELECT count(*) FROM authorisations
     WHERE status IN ('code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date')`,
  )
  return Number(row?.count ?? 0)
}

/**
 * Resets exchanges until `count` codes have met this fault, or for as long as users come. The doubts that follow end
 * while nothing else is in the way. The fault hinders no other exchange: the ledger says which codes met it.
 */
const loseAnswers = async (
  { rig: { simulator }, nemesis, options }: Stage,
  meanwhile: () => Promise<unknown>,
): Promise<void> => {
  const count = Math.max(3, Math.round(options.consents * LAST_DOUBTS_SHARE))
  await nemesis.note(LAST_DOUBTS, [], async () => {
    const { id } = simulator.faults.add({ endpoint: 'exchange', kind: 'reset-before', count })
    await meanwhile()
    const fired = simulator.faults.list().find((fault) => fault.id === id)?.fired ?? 0
    simulator.faults.remove(id)
    return fired
  })
}

/** Everything works again. The clock moves in small steps until nothing is open that could still end. */
export const letItFinish = async (stage: Stage): Promise<void> => {
  const { rig, crowd, options, levels } = stage
  const patience = Math.max(20_000, options.consents * 8)
  const visitsEnd = Date.now() + options.minutes * 60_000 * VISITS_AFTER
  const step = async (by: DurationLike, what: string): Promise<void> => {
    await crowd.rest(8_000)
    await until(async () => (await countInHand(rig)) === 0, IN_HAND_WITHIN_MS)
    rig.clock.advance(by)
    await until(async () => (await countDue(rig)) === 0, patience)
    await progress(stage, `healed, ${what}, ${await countDoubts(rig)} exchanges open`)
  }
  for (const [index, by] of VISITING.entries()) {
    if (Date.now() > visitsEnd) break
    await step(by, 'users come')
    const visits = async (): Promise<void> => {
      crowd.start()
      // Time for a sweep, the mail and the visit.
      await wait(SWEEP_MS)
      await until(async () => crowd.backlog() === 0, Math.max(1_000, visitsEnd - Date.now()))
    }
    if (index > 0) {
      await visits()
      continue
    }
    if (options.calm) await visits()
    else await loseAnswers(stage, visits)
    await untilQuiet(stage)
    // The processes that were started during the faults have warmed up on the work that had piled up: this is their
    // level.
    await levels.takeQuiet()
    crowd.start()
  }
  await untilQuiet(stage)
  for (const by of ENDING) {
    await step(by, 'nobody sets out')
    if ((await countDoubts(rig)) === 0 && (await countDue(rig)) === 0) return
  }
}

export const healEverything = async ({ rig, nemesis, operators }: Stage): Promise<void> => {
  await nemesis.stop()
  for (const proxy of Object.values(rig.proxies)) await proxy.set({ kind: 'pass' })
  rig.simulator.faults.clear()
  rig.simulator.switches.reset()
  await rig.direct.config('SET', 'maxmemory', '0')
  await rig.fleet.startAll()
  await operators.stop()
}
