// Every crash point × killed, thrown, hung past the lease: the system finishes by itself, and every promise holds. With
// CRASH_TABLE=<path> the outcomes are written to that path as a Markdown table; CRASH_MODES=killed,hung runs only these
// modes, CRASH_ONLY=<text> only the cases whose name contains the text.
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

/** How long the test waits for the crash point after the user's part before it starts to push the run on. */
const PUSHED_AFTER_MS = 5_000
/**
 * A sweep or a slow answer may lead the run past the point, and a machine that is busy for two seconds causes doubts of
 * its own: then the situation is played again. A real fault shows in every play.
 */
const PLAYS = 3

interface Came {
  readonly to: string
  /** The user noticed exactly what this death makes unavoidable. */
  readonly asExpected: boolean
}

/** Undefined when the run reached its end without passing the crash point. */
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
    const { notification } = stage.company.db.prisma
    const uncertain = await notification.count({ where: { status: 'uncertain' } })
    const repeated = await notification.count({ where: { repeatedAt: { not: null } } })
    const isAskedAgain = stage.visits() > 1
    const isAsExpected =
      isAskedAgain === (situation.asksAgain === true || one.asksAgain.includes(mode)) &&
      (one.repeatedOrUncertain.includes(mode)
        ? uncertain + repeated === 1
        : uncertain === (one.uncertain.includes(mode) ? 1 : 0) && repeated === (one.repeated.includes(mode) ? 1 : 0))
    const parts = [
      isAskedAgain ? 'asked again' : '',
      outcome,
      repeated > 0 ? 'a message was repeated' : '',
      uncertain > 0 ? 'a message is uncertain' : '',
    ]
    return { to: parts.filter((part) => part !== '').join(', '), asExpected: isAsExpected }
  } finally {
    await stage.close()
  }
}

/**
 * Whether the armed process reaches its crash point before the run comes to its end. Rejects when the process ends in
 * another way.
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
  // Not `each`, which cuts long names short.
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
