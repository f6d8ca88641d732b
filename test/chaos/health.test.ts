// Refused writes: pauses after which no write was refused.
import { describe, expect, test } from 'vitest'
import { judgeRefusals } from './health.ts'
import type { Struck } from './struck.ts'

describe('refused writes', () => {
  const pause: Struck = {
    name: 'pause a worker past its lease',
    hinders: ['workers'],
    from: 0,
    to: 1,
    happened: 1,
    problem: undefined,
  }
  const violations = (refused: number, log: readonly Struck[]): number =>
    judgeRefusals({ refused, unexpected: [], printed: [] }, log).violations.length
  test('one pause past a lease without a refused write is a violation', () => {
    expect([violations(0, [pause]), violations(1, [pause]), violations(0, [])]).toEqual([1, 0, 0])
  })

  test('where other writes were refused it is not shown, which a full run may not leave out', () => {
    expect(judgeRefusals({ refused: 0, others: 2, unexpected: [], printed: [] }, [pause])).toMatchObject({
      violations: [],
      notShown: expect.stringMatching(/^1 times a worker slept/) as string,
    })
    expect(judgeRefusals({ refused: 1, others: 2, unexpected: [], printed: [] }, [pause]).notShown).toBeUndefined()
  })

  test('so is a search for a worker with work in hand that found none', () => {
    expect([violations(0, [{ ...pause, happened: 0 }]), violations(2, [{ ...pause, happened: 0 }])]).toEqual([1, 0])
  })
})
