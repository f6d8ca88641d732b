// The nearest known name.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { editDistance, nearest } from '../../src/config/suggest.ts'

describe('the distance between two texts', () => {
  test.each([
    ['', '', 0],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['quiet', 'quite', 1],
    ['ca', 'abc', 3],
  ])('%o to %o is %i', (from, to, distance) => {
    expect(editDistance(from, to)).toBe(distance)
    expect(editDistance(to, from)).toBe(distance)
  })

  test('is zero for equal texts alone, and never more than the longer one', () => {
    const text = fc.string({ maxLength: 8 })
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(editDistance(a, b) === 0).toBe(a === b)
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length))
      }),
    )
  })
})

describe('the nearest name', () => {
  const known = ['sweep', 'ladder', 'quietHours', 'spread', 'afterGrace']

  test.each([
    ['quiteHours', 'quietHours'],
    ['quiet_hours', 'quietHours'],
    ['QUIETHOURS', 'quietHours'],
    ['lader', 'ladder'],
    ['aftergrace', 'afterGrace'],
    ['spred', 'spread'],
  ])('to %s is %s', (name, expected) => {
    expect(nearest(name, known)).toBe(expected)
  })

  test.each(['', 'x', 'databaseUrl', 'a'.repeat(1_000_000)])('to something else there is none', (name) => {
    expect(nearest(name, known)).toBeUndefined()
  })
})
