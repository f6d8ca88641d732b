// The chaos run: a company with many consents goes through months in minutes while everything around it fails; then
// everything heals, the system gets time to finish, and the checks compare all records. Exits 1 on any violation, 2 on
// invalid options.
import { rm } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { watchBacklog } from './backlog.ts'
import { startBusy } from './busy.ts'
import { countDue, say, type Stage } from './course.ts'
import { faults } from './faults.ts'
import { empty } from './faults/infrastructure.ts'
import { healEverything, letItFinish } from './finishing.ts'
import { makeLevels } from './health.ts'
import { EMPTIED } from './invariants/renewals.ts'
import { conclude, judge } from './judging.ts'
import { liveThrough, warmUp } from './living.ts'
import { makeNemesis } from './nemesis.ts'
import { makeOperators } from './operators.ts'
import { type Options, readOptions, USAGE, wantsHelp } from './options.ts'
import { populate } from './population.ts'
import { startRig, SWEEP_MS } from './rig.ts'
import { makeSearch } from './secrets.ts'
import { seededChance } from './seeded.ts'
import { type Measured, watchStalls } from './stalls.ts'
import { type Crowd, makeCrowd } from './users.ts'

const run = async (options: Options): Promise<boolean> => {
  say(
    `seed ${options.seed}: ${options.consents} consents, ${options.minutes} ` +
      `minutes${options.calm ? ', no faults' : ''}${options.busy > 0 ? `, ${options.busy} busy processes` : ''}`,
  )
  const rig = await startRig(options)
  // The exit codes that a shell uses for these signals. An interrupted run has shown nothing, whatever its shutdown
  // brings.
  const interrupted = (code: number) => (): void => void rig.close().finally(() => process.exit(code))
  process.once('SIGINT', interrupted(130))
  process.once('SIGTERM', interrupted(143))
  let held = false
  const ownStalls: Measured[] = []
  const unwatch = watchStalls((stall) => void ownStalls.push(stall))
  const busy = startBusy(options.busy)
  try {
    const chance = seededChance(options.seed)
    const users = await populate(rig, options, chance.branch('population'))
    let crowd: Crowd | undefined
    const search = makeSearch(rig, () => crowd)
    crowd = makeCrowd(rig, users, chance.branch('users'))
    const nemesis = makeNemesis({
      rig,
      options,
      chance: chance.branch('nemesis'),
      beforeEmptying: search.searchRedis,
      say,
    })
    const operators = makeOperators(rig, chance.branch('operators'))
    await rig.fleet.startAll()
    const stage: Stage = {
      rig,
      crowd,
      nemesis,
      operators,
      search,
      options,
      levels: makeLevels(rig),
      backlog: watchBacklog(async () => countDue(rig)),
      ownStalls,
    }
    if (rig.fleet.members().length < rig.fleet.seats)
      throw new Error(`not every process has started: see ${rig.logFolder}`)
    say(`${rig.fleet.members().length} processes run; logs in ${rig.logFolder}`)
    let isEmptying = false
    const flushing =
      options.flushEveryMs === undefined
        ? undefined
        : setInterval(() => {
            if (isEmptying) return
            isEmptying = true
            // A Redis that is unavailable just then is one of the faults: `note` records that Redis could not be
            // emptied.
            void search
              .searchRedis()
              .catch(() => undefined)
              .then(async () => nemesis.note(EMPTIED, ['queue'], async () => empty(rig)))
              .finally(() => {
                isEmptying = false
              })
          }, options.flushEveryMs)
    crowd.start()
    await warmUp(stage)
    nemesis.start()
    operators.start()
    await liveThrough(stage)
    say('no more faults: everything heals')
    await healEverything(stage)
    await letItFinish(stage)
    clearInterval(flushing)
    await crowd.stop()
    await wait(2 * SWEEP_MS)
    const checked = await judge(stage, users)
    held = await conclude(stage, checked)
  } finally {
    unwatch()
    await busy.stop()
    await rig.close()
    if (held && !options.keep) await rm(rig.folder, { recursive: true, force: true })
  }
  return held
}

if (wantsHelp(process.argv.slice(2))) {
  console.log(USAGE)
  process.exit(0)
}
try {
  process.exitCode = (await run(readOptions(process.argv.slice(2), Object.keys(faults)))) ? 0 : 1
} catch (error) {
  if (error instanceof TypeError && error.message.startsWith('--')) {
    console.error(`${error.message}\n${USAGE}`)
    process.exitCode = 2
  } else throw error
}
process.exit()
