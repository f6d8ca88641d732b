// Every crash point × killed, thrown, hung past the lease: the system finishes by itself, and what was promised holds.
// With CRASH_TABLE=<path> the outcomes are written there as a Markdown table; CRASH_MODES=killed,hung runs these modes
// alone, CRASH_ONLY=<text> the cases whose name holds it.
import { writeFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { coolDown, warmUp } from './armed.ts'
import { type Case, cases } from './cases.ts'
import { type Mode, modes } from './order.ts'
import { brokenPromises } from './invariants.ts'
import { crashPoints, type PointName } from './points.ts'
import { type Situation, situations } from './situations.ts'
import { letFinish, openStage, type Stage } from './stage.ts'
import { type End, renewed } from './steps.ts'
import { crashTable, type Run } from './table.ts'

const only = process.env['CRASH_ONLY'] ?? ''
const wanted = process.env['CRASH_MODES']?.split(',')
const chosenModes = modes.filter((mode) => wanted?.includes(mode) ?? true)
const chosen = cases
  .flatMap((one) => chosenModes.map((mode) => ({ ...one, mode, name: `${one.point} · ${one.situation} · ${mode}` })))
  .filter(({ name }) => name.includes(only))
const reached = new Set<PointName>()
const unknownPlaces = new Set<string>()
const runs: Run[] = []

afterAll(async () => {
  coolDown()
  const path = process.env['CRASH_TABLE']
  if (path !== undefined) await writeFile(path, crashTable(runs))
})

/** After its part the user's run goes on without a push this long. */
const PUSHED_AFTER_MS = 5_000
/**
 * A sweep or a slow answer may lead around the point, and a machine that is busy elsewhere for two seconds makes doubts
 * of its own: then the situation is played again. What is broken is broken every time.
 */
const PLAYS = 3

interface Came {
  readonly to: string
  /** The user noticed what this death makes unavoidable, and nothing else. */
  readonly asExpected: boolean
}

/** Undefined when the end was reached on a way around the point. */
const play = async (one: Case & { mode: Mode }): Promise<Came | undefined> => {
  const { point, nth, mode } = one
  const situation: Situation = situations[one.situation]
  const end = situation.end ?? renewed
  const stage = await openStage({
    point,
    nth,
    mode,
    roles: situation.armed,
    policy: situation.policy ?? {},
    meanwhile: situation.meanwhile,
    onUnknownPlace: (place) => unknownPlaces.add(place),
  })
  try {
    if (!situation.armed.includes('web')) await stage.startBeside(['web'])
    const takenOver = stage.reached.then(async () => stage.takeOver())
    takenOver.catch(() => undefined)
    await situation.play(stage)
    if (!(await passes(stage, end))) return undefined
    await takenOver
    reached.add(point)
    warmUp(2)
    await stage.woke()
    const outcome = await letFinish(stage, end)
    expect(await brokenPromises(stage.company)).toEqual([])
    const uncertain = await stage.company.db.prisma.notification.count({ where: { status: 'uncertain' } })
    const isAskedAgain = stage.visits() > 1
    const isAsExpected =
      isAskedAgain === (situation.asksAgain === true || one.asksAgain.includes(mode)) &&
      (one.mayBeUncertain.includes(mode) || uncertain === (one.uncertain.includes(mode) ? 1 : 0))
    const parts = [isAskedAgain ? 'asked again' : '', outcome, uncertain > 0 ? 'a message is uncertain' : '']
    return { to: parts.filter((part) => part !== '').join(', '), asExpected: isAsExpected }
  } finally {
    await stage.close()
  }
}

/**
 * Whether the armed process is at its point, now or before all has come to its end. Rejects when it ended in another
 * way.
 */
const passes = async (stage: Stage, end: End): Promise<boolean> => {
  const stop = new AbortController()
  const here = stage.reached.then(() => true)
  try {
    const soon = await Promise.race([here, wait(PUSHED_AFTER_MS, false)])
    return soon || (await Promise.race([here, letFinish(stage, end, stop.signal).then(() => false)]))
  } finally {
    stop.abort()
  }
}

describe('nothing is lost, nothing is done twice', () => {
  // Not `each`: it cuts long names short.
  for (const one of chosen) {
    test.concurrent(one.name, async () => {
      let came: Came | undefined
      for (let plays = 0; plays < PLAYS && came?.asExpected !== true; plays += 1) came = (await play(one)) ?? came
      if (came === undefined) throw new Error(`the crash point ${one.point} was not reached in ${PLAYS} plays`)
      if (!came.asExpected)
        throw new Error(
          `the user notices more, or less, than a death here must show, in each of ${PLAYS} plays: ${came.to}`,
        )
      runs.push({ ...one, outcome: came.to })
    })
  }

  test('every named point was reached', () => {
    if (only !== '') return
    expect(Object.keys(crashPoints).filter((name) => !reached.has(name as PointName))).toEqual([])
  })

  test('no place was passed that the suite does not know', () => expect([...unknownPlaces].toSorted()).toEqual([]))
})
