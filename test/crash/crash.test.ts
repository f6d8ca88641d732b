// Every crash point × killed, thrown, hung past the lease: the system finishes by itself, and what was promised holds. With CRASH_TABLE=<path>
// the outcomes are written there as a Markdown table; CRASH_ONLY=<text> runs the cases whose name holds it.
import { writeFile } from 'node:fs/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { type CrashPointName, crashPoints } from '../../src/crash-point.ts'
import { coolDown, warmUp } from './armed.ts'
import { modes } from './child.ts'
import { brokenPromises } from './invariants.ts'
import { type Case, cases, renewed, type Situation, situations } from './situations.ts'
import { letFinish, openStage } from './stage.ts'
import { crashTable, type Run } from './table.ts'

const only = process.env['CRASH_ONLY'] ?? ''
const chosen = cases.flatMap((one) => modes.map((mode) => ({ ...one, mode, name: `${one.point} · ${one.situation} · ${mode}` }))).filter(({ name }) => name.includes(only))
const reached = new Set<CrashPointName>()
const runs: Run[] = []

afterAll(async () => {
  coolDown()
  const path = process.env['CRASH_TABLE']
  if (path !== undefined) await writeFile(path, crashTable(runs))
})

const play = async ({ point, situation: name, nth, mode }: Case & { mode: (typeof modes)[number] }): Promise<string> => {
  const situation: Situation = situations[name]
  const stage = await openStage({
    point, nth, mode, roles: situation.armed, policy: situation.policy ?? {}, loseQueueAt: situation.loseQueueAt, withoutQueue: situation.withoutQueue ?? false,
  })
  try {
    if (!situation.armed.includes('web')) await stage.startBeside(['web'])
    const takingOver = stage.reached.then(async () => stage.takeOver())
    takingOver.catch(() => undefined)
    // The user's part may only end well once others have taken over; the point may only be reached after it.
    await Promise.all([situation.play(stage), withTime(takingOver, point)])
    reached.add(point)
    warmUp(2)
    await stage.woke()
    const outcome = await letFinish(stage, situation.end ?? renewed)
    expect(await brokenPromises(stage.company)).toEqual([])
    const uncertain = await stage.company.db.prisma.notification.count({ where: { status: 'uncertain' } })
    return [stage.visits() > 1 ? 'asked again' : '', outcome, uncertain > 0 ? 'a message is uncertain' : ''].filter((part) => part !== '').join(', ')
  } finally {
    await stage.close()
  }
}

const REACHED_WITHIN_MS = 90_000

/** The play's user waits for a mail in vain where the point is before it: whoever takes over sends it. */
const withTime = async (work: Promise<void>, point: string): Promise<void> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`the crash point ${point} was not reached`)), REACHED_WITHIN_MS)
  try {
    await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

describe('nothing is lost, nothing is done twice', () => {
  test.concurrent.each(chosen)('$name', async (one) => {
    const outcome = await play(one)
    runs.push({ ...one, outcome })
  })

  test('every named point was reached', () => {
    if (only !== '') return
    expect(Object.keys(crashPoints).filter((name) => !reached.has(name as CrashPointName))).toEqual([])
  })
})
