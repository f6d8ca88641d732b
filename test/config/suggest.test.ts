// The nearest known name.
import { describe, expect, test } from 'vitest'
import { nearest } from '../../src/config/suggest.ts'

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

  test('is the nearer of two, and the first of two that are as near', () => {
    expect(nearest('grade', ['grades', 'grace', 'trade'])).toBe('grades')
    expect(nearest('sweeps', ['sweeper', 'sweep'])).toBe('sweep')
    expect(nearest('grce', ['validity', 'grace'])).toBe('grace')
  })

  test('has something in common with the other', () => {
    expect(nearest('til', ['from', 'to'])).toBeUndefined()
    expect(nearest('--', ['a', 'to', ''])).toBeUndefined()
  })

  test.each(['', 'x', 'databaseUrl', 'a'.repeat(1_000_000)])('to something else there is none', (name) => {
    expect(nearest(name, known)).toBeUndefined()
  })
})
