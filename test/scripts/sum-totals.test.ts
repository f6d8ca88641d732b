import { expect, it } from 'vitest'
import { sum, totalsOf } from '../../scripts/sum-totals.ts'

const report = (passed: number, failed: number) => ({ passed, failed })

it('sums the totals of the runners', () => {
  const steps = [
    { name: 'test', exitCode: 0, report: report(700, 0) },
    { name: 'check', exitCode: 0, report: undefined },
    { name: 'browser', exitCode: 0, report: report(3, 0) },
  ]
  expect(sum(steps)).toMatchObject({ passed: 703, failed: 0 })
})

it('counts failed tests, not the failed step once more', () => {
  expect(sum([{ name: 'test', exitCode: 1, report: report(10, 2) }])).toMatchObject({ passed: 10, failed: 2 })
})

it('counts a step that failed without a failed test', () => {
  expect(sum([{ name: 'check', exitCode: 1, report: undefined }])).toMatchObject({ passed: 0, failed: 1 })
  expect(sum([{ name: 'test', exitCode: 124, report: report(10, 0) }])).toMatchObject({ passed: 10, failed: 1 })
})

it('counts a test file that could not be loaded', () => {
  const testResults = [
    { status: 'failed', assertionResults: [] },
    { status: 'passed', assertionResults: [{}] },
  ]
  expect(totalsOf({ numPassedTests: 1, numFailedTests: 0, testResults })).toEqual(report(1, 1))
})
