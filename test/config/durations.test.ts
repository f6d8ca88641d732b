// Durations as they are written in the policy.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseDuration, parseDurationWithin } from '../../src/config/durations.ts'

const millis = (value: unknown): number | string => {
  const parsed = parseDuration(value)
  return 'problem' in parsed ? parsed.problem : parsed.toMillis()
}

describe('a duration', () => {
  test.each([
    ['0s', 0],
    ['250ms', 250],
    ['10s', 10_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['90d', 7_776_000_000],
    ['1w', 604_800_000],
    [' 5m ', 300_000],
  ])('%s', (text, expected) => {
    expect(millis(text)).toBe(expected)
  })

  test('in days stays in calendar days', () => {
    expect(parseDuration('90d')).toMatchObject({ days: 90, hours: 0 })
  })

  test.each([
    '',
    'd',
    '10',
    '10 m',
    '10min',
    '1.5h',
    '-5m',
    '+5m',
    '1h30m',
    '10M',
    'ten minutes',
    '1y',
    '٣m',
    '9999999999d',
  ])('%o is none', (text) => {
    expect(millis(text)).toBe(
      `'${text}' is not a duration: write a whole number and a unit (ms, s, m, h, d, w), such as '10m' or '90d'`,
    )
  })

  test('a number is refused because it has no unit', () => {
    expect(millis(600)).toMatch(/^600 has no unit: write a whole number and a unit/)
  })

  test('no other value is one, and nothing throws', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => (typeof value === 'number' ? true : typeof millis(value) === 'string')),
    )
  })

  test('is checked against its limits, which are allowed themselves', () => {
    const problem = (text: string) => {
      const parsed = parseDurationWithin(text, ['1m', '1h'])
      return 'problem' in parsed ? parsed.problem : undefined
    }
    expect([problem('1m'), problem('60m'), problem('60s')]).toEqual([undefined, undefined, undefined])
    expect(problem('59s')).toBe("'59s' is out of range: at least '1m', at most '1h'")
    expect(problem('61m')).toBe("'61m' is out of range: at least '1m', at most '1h'")
    expect(problem('x')).toMatch(/is not a duration/)
  })
})
