// What a run must have done before it may say that everything holds: every kind of fault was met, and every check had
// something to look at.
import { describe, expect, test } from 'vitest'
import type { Checked } from './checked.ts'
import {
  demandShown,
  everyCheckLooked,
  everyDisturbanceHappened,
  everyKindHappened,
  everyLinkScanned,
  isFull,
} from './completeness.ts'
import { LAST_DOUBTS } from './invariants/asked.ts'
import { kindsOf } from './judging.ts'
import { faultTable, invariantTable, resultOf, verdictOf } from './report.ts'
import type { Struck } from './struck.ts'

const struck = (name: string, happened: number, problem?: string): Struck => ({
  name,
  hinders: ['database'],
  from: 0,
  to: 1,
  happened,
  problem,
})
const kinds = ['a', 'b', 'c', 'd']
const log = [
  struck('a', 0),
  struck('a', 2),
  struck('b', 0),
  struck('c', 0, 'no such server'),
  struck('c', 0, 'no such server'),
]
const checked = (over: Partial<Checked> = {}): Checked => ({
  invariant: 3,
  says: 'it holds',
  looked: 1,
  violations: [],
  notes: [],
  ...over,
})

describe('kinds of faults', () => {
  test('the table shows every kind: met or not, with what went wrong', () => {
    const rows = faultTable(log, kinds)
      .split('\n')
      .slice(2)
      .map((line) => line.split(/ {2,}/))
    expect(rows).toEqual([
      ['a', '2', '2'],
      ['b', '1', '0'],
      ['c', '2', '0', 'no such server'],
      ['d', '0', '0'],
    ])
  })

  test('a full run fails for each that did not happen, and says why', () => {
    expect(everyKindHappened(log, kinds, true).violations.map(({ record, what }) => `${record}: ${what}`)).toEqual([
      'fault "b": struck 1 times and nothing ever met it',
      'fault "c": could not act: no such server',
      'fault "d": never had its turn',
    ])
  })

  test('a short run says so and does not fail', () => {
    const { violations, notShown } = everyKindHappened(log, kinds, false)
    expect(violations).toEqual([])
    expect(notShown).toMatch(/^3 kinds of fault did not happen/)
    expect(everyKindHappened(log, ['a'], false).notShown).toBeUndefined()
  })

  test('twenty minutes of everything are a full run', () => {
    const full = { minutes: 20, calm: false, only: [] }
    expect([full, { ...full, minutes: 19 }, { ...full, calm: true }, { ...full, only: ['a'] }].map(isFull)).toEqual([
      true,
      false,
      false,
      false,
    ])
  })
})

describe('what the users do to it', () => {
  const counts = {
    scans: 3,
    scansFailed: 0,
    visits: 1,
    departures: 1,
    returns: 1,
    repeated: 1,
    concurrent: 1,
    unknownState: 1,
    foreign: 1,
    forged: 1,
    replayed: 1,
    givenUp: 0,
  }

  test.each(['scans', 'repeated', 'concurrent', 'unknownState', 'foreign', 'forged', 'replayed'] as const)(
    'a full run fails without %s',
    (what) => {
      expect(everyDisturbanceHappened(counts, true).violations).toEqual([])
      expect(everyDisturbanceHappened({ ...counts, [what]: 0 }, true).violations).toEqual([
        { invariant: 0, record: `users: ${what}`, what: 'never happened' },
      ])
      expect(everyDisturbanceHappened({ ...counts, [what]: 0 }, false)).toMatchObject({
        violations: [],
        notShown: expect.stringContaining(what) as string,
      })
    },
  )

  test('each start link had been fetched three times before its user came', () => {
    const scanned = new Map([
      ['http://host/r/a-token', 3],
      ['http://host/r/another', 2],
      ['http://host/r/a-third', 0],
    ])
    const demanded = everyLinkScanned(scanned, true)
    expect(demanded).toMatchObject({ looked: 3, notShown: undefined })
    expect(demanded.violations.map(({ what }) => what)).toEqual([
      'a mail scanner had got its page 2 times before its user came, not 3 times',
      'a mail scanner had got its page 0 times before its user came, not 3 times',
    ])
    // A start link is a secret, so the report must not contain it.
    expect(JSON.stringify(demanded)).not.toContain('another')
    expect(everyLinkScanned(scanned, false)).toMatchObject({
      violations: [],
      notShown: expect.stringMatching(/^2 of 3 start links/) as string,
    })
    expect(everyLinkScanned(new Map([['http://host/r/a-token', 4]]), false)).toMatchObject({
      looked: 1,
      violations: [],
      notShown: undefined,
    })
  })
})

test('the run’s own faults are demanded as well: the downtime, the last doubts, the emptying by the clock', () => {
  const options = { calm: false, only: [], flushEveryMs: 60_000 }
  expect(kindsOf(options)).toEqual(
    expect.arrayContaining([LAST_DOUBTS, 'seven days of downtime', 'Redis emptied in its turn', 'kill a worker']),
  )
  expect(kindsOf({ ...options, calm: true, flushEveryMs: undefined })).toEqual([])
})

describe('checks', () => {
  test('one that had nothing to look at does not hold', () => {
    expect(resultOf(checked())).toBe('holds')
    expect(resultOf(checked({ looked: 0 }))).toBe('not looked at')
    expect(resultOf(checked({ notShown: 'the half of it' }))).toBe('holds in part')
    expect(resultOf(checked({ looked: 0, violations: [{ invariant: 3, record: 'x', what: 'y' }] }))).toBe(
      'VIOLATED 1 times',
    )
    expect(invariantTable([checked({ notShown: 'the half of it' })])).toContain('not shown: the half of it')
  })

  test('a full run fails for it', () => {
    const all = [checked(), checked({ looked: 0, says: 'nobody is lost' })]
    expect(everyCheckLooked(all, true).violations).toEqual([
      { invariant: 3, record: 'the run', what: 'had nothing to look at for: nobody is lost' },
    ])
    expect(everyCheckLooked(all, false)).toMatchObject({
      violations: [],
      notShown: expect.stringMatching(/^1 of them/) as string,
    })
  })

  test('a full run fails for what it did not show', () => {
    const full = { minutes: 20, calm: false, only: [], flushEveryMs: 60_000 }
    const parts = [
      checked(),
      checked({ notShown: 'the half of it', violations: [{ invariant: 3, record: 'x', what: 'y' }] }),
      checked({ invariant: 9, notShown: 'Redis was emptied 0 times' }),
    ]
    const told = (options: typeof full | (Omit<typeof full, 'flushEveryMs'> & { flushEveryMs: undefined })): string[] =>
      demandShown(parts, options).flatMap(({ violations }) =>
        violations.map(({ invariant, record, what }) => `${invariant}: ${record}: ${what}`),
      )
    expect(told(full)).toEqual([
      '3: x: y',
      '3: the run: did not show: the half of it',
      '9: the run: did not show: Redis was emptied 0 times',
    ])
    // These options did not ask for the ninth invariant.
    expect(told({ ...full, flushEveryMs: undefined })).toEqual(['3: x: y', '3: the run: did not show: the half of it'])
    expect(told({ ...full, minutes: 3 })).toEqual(['3: x: y'])
  })

  test('the last word of a run says no more than was shown', () => {
    expect(verdictOf([checked()])).toBe('every invariant holds')
    expect(verdictOf([checked(), checked({ looked: 0 }), checked({ notShown: 'x' })])).toBe(
      'no invariant is violated: 1 hold, 1 holds in part, 1 not looked at',
    )
  })
})
