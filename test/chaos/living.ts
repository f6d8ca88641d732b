// The first two parts of a run: months go by, first without faults, then with faults.
import { setTimeout as wait } from 'node:timers/promises'
import { jump, progress, type Stage, untilQuiet } from './course.ts'
import { ofProcesses } from './faults/processes.ts'
import { daysOf } from './population.ts'
import { seededChance } from './seeded.ts'
import type { Struck } from './struck.ts'

/** The name under which the run logs the week in which no process runs. */
export const DOWNTIME = 'seven days of downtime'

/**
 * Whether every fault of processes, and the downtime of a week, has happened at least once. A process that is spared
 * from then on does not make the run leave any of them out.
 */
export const everyEndHappened = (log: readonly Pick<Struck, 'name' | 'happened'>[]): boolean =>
  [...Object.keys(ofProcesses), DOWNTIME].every((name) =>
    log.some((struck) => struck.name === name && struck.happened > 0),
  )

const WARM_UP_MS = 5_000
const HOME_WITHIN_MS = 6_000
const STEP_SECONDS = { from: 6, to: 14 }
/** The share of the run's minutes that is kept for healing and finishing. */
const END_SHARE = 0.25

/** The first work, without faults. Later levels of memory and connections are compared with the levels taken here. */
export const warmUp = async (stage: Stage): Promise<void> => {
  const { crowd, levels } = stage
  await wait(WARM_UP_MS)
  await jump(stage, { hours: 3 })
  await wait(WARM_UP_MS)
  await untilQuiet(stage)
  await levels.takeQuiet()
  crowd.start()
  await progress(stage, 'warm; from now on things fail')
}

export const liveThrough = async (stage: Stage): Promise<void> => {
  const { rig, crowd, nemesis, options, levels } = stage
  const chance = seededChance(options.seed).branch('time')
  const end = Date.now() + options.minutes * 60_000 * (1 - END_SHARE)
  const began = Date.now()
  const jumpsExpected = Math.max(6, Math.round((end - began) / 1000 / 14))
  let downtimeDone = options.calm
  for (let jumps = 1; Date.now() < end; jumps += 1) {
    await wait(chance.between(STEP_SECONDS.from, STEP_SECONDS.to) * (options.minutes < 5 ? 600 : 1000))
    if (!downtimeDone && Date.now() > began + (end - began) / 2) {
      downtimeDone = true
      await nemesis.note(DOWNTIME, ['workers', 'all-workers', 'web', 'schedulers'], async () => {
        await rig.fleet.stopAll()
        rig.clock.advance({ days: 7 })
        await rig.fleet.startAll()
        return 1
      })
    }
    if (everyEndHappened(nemesis.log)) rig.fleet.spare()
    // Samples are taken after the users have finished their visits: that is when the least work goes on during faults.
    await crowd.rest(HOME_WITHIN_MS)
    await levels.takeSpared()
    const hours = Math.round((daysOf(options) * 24 * chance.between(50, 150)) / 100 / jumpsExpected)
    const moved = await jump(stage, { hours })
    if (jumps % 4 === 0) await crowd.replay(20)
    if (jumps % 3 === 0) await stage.search.searchPages()
    await progress(stage, moved ? `${hours} hours later` : 'codes still in hand')
  }
}
