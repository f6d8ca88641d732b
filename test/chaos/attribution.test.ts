// Which fault caused which loss: no fault gets more losses than it can have met, and no loss is left over for which
// another order would have found room.
import { describe, expect, test } from 'vitest'
import { attribute, type Cause } from './attribution.ts'

const cause = (by: string, most: number): Cause => ({ by, most })
const [death, cut, single] = [cause('a death', 3), cause('a cut', 1), cause('one request', 1)]

describe('what fault caused what loss', () => {
  const cases: Record<string, { losses: Record<string, readonly Cause[]>; left: number }> = {
    'one each': { losses: { a: [cut], b: [single] }, left: 0 },
    'two for one cut': { losses: { a: [cut], b: [cut] }, left: 1 },
    'the first makes room for the second, which has no other': { losses: { a: [cut, death], b: [cut] }, left: 0 },
    'a row of them makes room': {
      losses: { a: [single, cut], b: [cut, death], c: [single], d: [single, cut, death] },
      left: 0,
    },
    'as many as all can have met together': {
      losses: { a: [cut, death], b: [cut, death], c: [cut, death], d: [cut, death] },
      left: 0,
    },
    'one more than that': {
      losses: { a: [cut, death], b: [cut, death], c: [cut, death], d: [cut, death], e: [cut, death] },
      left: 1,
    },
    'one without a bound takes nobody’s room': {
      losses: {
        a: [cause('a cut', Number.POSITIVE_INFINITY)],
        b: [cause('a cut', Number.POSITIVE_INFINITY)],
        c: [cut],
      },
      left: 0,
    },
    'a fault that can have met none': { losses: { a: [cause('a late database', 0)] }, left: 1 },
  }
  test.each(Object.entries(cases))('%s', (_name, { losses, left }) => {
    const told = attribute(new Map(Object.entries(losses)))
    expect(told.left).toHaveLength(left)
    expect(told.by.size).toBe(Object.keys(losses).length - left)
    for (const [loss, { by }] of told.by) expect(losses[loss]?.map((one) => one.by)).toContain(by)
    for (const [, { length, 0: one }] of Map.groupBy(told.by.values(), ({ by }) => by))
      expect(length).toBeLessThanOrEqual(one?.most ?? 0)
  })
})
