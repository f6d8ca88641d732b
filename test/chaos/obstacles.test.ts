// The arithmetic of obstacles: spans of real time, and a clock that jumps.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { freeParts, freeTime, maxFree, metWithin, spansOf } from './obstacles.ts'
import { leadClock } from './shared-clock.ts'
import type { Struck } from './struck.ts'

const whole = { from: 0, to: 100 }
test('what is free is what no obstacle covers, in whatever order and however they overlap', () => {
  const obstacles = [
    { from: 60, to: 70 },
    { from: -5, to: 10 },
    { from: 65, to: 80 },
    { from: 200, to: 300 },
  ]
  expect(freeParts(whole, obstacles)).toEqual([
    { from: 10, to: 60 },
    { from: 80, to: 100 },
  ])
  expect(freeTime(whole, obstacles)).toBe(70)
  expect(maxFree(whole, obstacles)).toBe(50)
  expect(freeTime(whole, [{ from: 0, to: Number.POSITIVE_INFINITY }])).toBe(0)
})

test('only faults that happened, of the kinds asked for, stand in the way', () => {
  const struck = (over: Partial<Struck>): Struck => ({
    name: 'x',
    hinders: ['database'],
    from: 10,
    to: 20,
    happened: 1,
    problem: undefined,
    ...over,
  })
  const log = [struck({}), struck({ happened: 0 }), struck({ hinders: ['mail'] }), struck({ from: 15, to: 30 })]
  expect(spansOf(log, ['database'], 5)).toEqual([
    { from: 10, to: 25 },
    { from: 15, to: 35 },
  ])
  expect(metWithin(log, ['database', 'queue'], { from: 18, to: 19 }).map(({ from }) => from)).toEqual([15, 10])
  expect(metWithin(log, ['database'], { from: 31, to: 40 })).toEqual([])
})

test('an instant that the clock jumped over was at the jump', () => {
  const clock = leadClock(join(mkdtempSync(join(tmpdir(), 'reconsent-clock-')), 'clock'))
  const before = Date.now()
  const soon = clock.now().plus({ minutes: 5 }).toJSDate()
  clock.advance({ days: 1 })
  const after = Date.now()
  expect(clock.realAt(soon)).toBeGreaterThanOrEqual(before)
  expect(clock.realAt(soon)).toBeLessThanOrEqual(after)
  expect(clock.jumpedWithin(before, after)).toBe(true)
  expect(clock.jumpedWithin(after + 1, after + 2)).toBe(false)
  expect(Math.abs(clock.shownAt(after) - clock.now().toMillis())).toBeLessThan(1000)
  clock.close()
})
