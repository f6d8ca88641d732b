import { expect, it } from 'vitest'
import { sum, totalsOf } from '../../scripts/sum-totals.ts'

const report = (passed: number, failed: number) => ({ passed, failed, failures: [] })

it('sums the totals of the runners', () => {
  const steps = [
    { name: 'test', exitCode: 0, report: report(700, 0) },
    { name: 'check', exitCode: 0, report: undefined },
    { name: 'browser', exitCode: 0, report: report(3, 0) },
  ]
  expect(sum(steps)).toMatchObject({ passed: 703, failed: 0 })
})

it('counts failed tests, not the failed step in addition', () => {
  expect(sum([{ name: 'test', exitCode: 1, report: report(10, 2) }])).toMatchObject({ passed: 10, failed: 2 })
})

it('counts a step that failed without a failed test', () => {
  expect(sum([{ name: 'check', exitCode: 1, report: undefined }])).toMatchObject({ passed: 0, failed: 1 })
  expect(sum([{ name: 'test', exitCode: 124, report: report(10, 0) }])).toMatchObject({ passed: 10, failed: 1 })
})

it('counts a test file that could not be loaded, and names what failed and why', () => {
  const testResults = [
    { name: 'a.test.ts', status: 'failed', message: 'no such module', assertionResults: [] },
    {
      name: 'b.test.ts',
      status: 'failed',
      assertionResults: [
        { status: 'passed', fullName: 'adds' },
        {
          status: 'failed',
          fullName: 'subtracts',
          failureMessages: ['Property failed after 2 tests\n{ seed: 7 }\n  Got 2\n  at b'],
        },
      ],
    },
  ]
  const totals = totalsOf({ numPassedTests: 1, numFailedTests: 1, testResults })
  expect(totals).toEqual({
    passed: 1,
    failed: 2,
    failures: [
      'a.test.ts: not loaded: no such module',
      'b.test.ts: subtracts: Property failed after 2 tests { seed: 7 } Got 2',
    ],
  })
  expect(sum([{ name: 'test', exitCode: 1, report: totals }]).lines).toEqual([
    'FAILED  test (1 tests passed, 2 failed)',
    ...totals.failures.map((failure) => `        ${failure}`),
  ])
})
