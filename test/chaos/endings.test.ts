// Which endings of a process that got a SIGTERM are violations, and which endings a fault excuses.
import { describe, expect, test } from 'vitest'
import { type Ending, judgeEndings } from './endings.ts'
import { LET_GO, STOP_FAILED } from './exit-codes.ts'
import { OWN } from './stalls.ts'
import type { Hindrance, Struck } from './struck.ts'

const WITHIN_MS = 6_000
const ending = (over: Partial<Ending> = {}): Ending => ({
  seat: 'worker-1',
  toldAt: 100_000,
  goneAt: 100_800,
  wasReady: true,
  how: 0,
  wasKilled: false,
  ...over,
})
const fault = (hinders: readonly Hindrance[], from: number, to: number, happened = 1): Struck => ({
  name: hinders.join(),
  hinders,
  from,
  to,
  happened,
  problem: undefined,
})
const told = (endings: readonly Ending[], log: readonly Struck[] = []): string[] =>
  judgeEndings(endings, log, WITHIN_MS).violations.map(
    ({ invariant, record, what }) =>
      `${invariant} ${record}: ${what.replace('told to stop at 1970-01-01T00:01:40.000Z: ', '')}`,
  )

const stalled = (who: string, from: number, to: number): Struck => ({
  ...fault(['one-process'], from, to),
  who,
})
const letGo = ending({ how: LET_GO, goneAt: 105_900 })
const database = fault(['database'], 90_000, 101_000)

test('one that ends in time with everything ended is what is promised', () => {
  expect(judgeEndings([ending(), ending({ goneAt: 102_000 })], [], WITHIN_MS)).toMatchObject({
    looked: 2,
    violations: [],
    notes: ['2 with everything ended; the slowest took 2.0 s, of 6.0 s'],
  })
})

describe('an ending that nothing excuses', () => {
  const cases: Record<string, [Ending, string]> = {
    'killed, as it was still there': [
      ending({ how: 'SIGKILL', wasKilled: true, goneAt: 120_000 }),
      '0 worker-1: still there after 20.0 s, and killed; a stop takes 6.0 s at most, whatever hangs',
    ],
    'killed just when it ended by itself': [
      ending({ how: 0, wasKilled: true, goneAt: 120_000 }),
      '0 worker-1: still there after 20.0 s, and killed; a stop takes 6.0 s at most, whatever hangs',
    ],
    'twice as long as it may': [
      ending({ how: LET_GO, goneAt: 112_001 }),
      '0 worker-1: gone only after 12.0 s; a stop takes 6.0 s at most, whatever hangs',
    ],
    'an error that nobody caught': [
      ending({ how: 1 }),
      '0 worker-1: ended with exit code 1: an error that nobody caught',
    ],
    'a stop that failed': [
      ending({ how: STOP_FAILED }),
      `0 worker-1: ended with exit code ${STOP_FAILED}: its stop failed`,
    ],
    'any other code': [ending({ how: 13 }), '0 worker-1: ended with exit code 13'],
    'a crash below Node': [ending({ how: 'SIGSEGV' }), '0 worker-1: ended with SIGSEGV'],
    'a process that runs and does not listen for the signal': [
      ending({ how: 'SIGTERM' }),
      '0 worker-1: ended with SIGTERM',
    ],
    'a crash at its start, when it was told to stop': [
      ending({ how: 1, wasReady: false }),
      '0 worker-1: ended with exit code 1: an error that nobody caught',
    ],
  }
  test.each(Object.entries(cases))('%s', (_name, [one, said]) => {
    expect(told([one], [database])).toEqual([said])
  })
})

describe('something let go', () => {
  const excused: Record<string, [Struck, boolean]> = {
    'while the database was away': [database, true],
    'while the queue was': [fault(['queue'], 104_000, 110_000), true],
    'while the provider broke its answers': [fault(['provider-fails'], 90_000, 110_000), true],
    'while mail could not be sent': [fault(['mail'], 90_000, 110_000), true],
    'a moment after the database came back': [fault(['database'], 90_000, 96_000), true],
    'long after that': [fault(['database'], 80_000, 90_000), false],
    'before it went away': [fault(['database'], 107_000, 110_000), false],
    'while a fault was tried that met nobody': [fault(['database'], 90_000, 110_000, 0), false],
    'while it stood still': [stalled('worker-1:77', 102_000, 105_000), true],
    'while the run itself stood still': [stalled(OWN, 102_000, 105_000), true],
    'while another process stood still': [stalled('worker-12:77', 102_000, 105_000), false],
    'after it had stood still': [stalled('worker-1:77', 90_000, 99_000), false],
    'while other processes were killed': [fault(['workers', 'web'], 90_000, 110_000), false],
  }
  test.each(Object.entries(excused))('%s', (_name, [met, isExcused]) => {
    const said = isExcused
      ? []
      : ['0 worker-1: let something go after 5.9 s, although nothing failed that it could hang on']
    expect(told([letGo], [met])).toEqual(said)
  })

  test('is told, with what excused it', () => {
    expect(judgeEndings([letGo, ending()], [database], WITHIN_MS).notes).toEqual([
      '1 with everything ended; the slowest took 5.9 s, of 6.0 s',
      '1 let something go while something failed: database',
    ])
  })
})

test('one that was told before it listened', () => {
  expect(judgeEndings([ending({ how: 'SIGTERM', wasReady: false })], [], WITHIN_MS)).toMatchObject({
    violations: [],
    notes: [expect.anything(), '1 were told before they listened'],
  })
})

test('a run that stopped nobody shows nothing', () => {
  expect(judgeEndings([], [], WITHIN_MS)).toMatchObject({ looked: 0, violations: [], notes: [] })
})
