import { expect, test } from 'vitest'
import { jobRunOf } from '../../src/queue/job-run.ts'

const job = (attemptsMade: number, failedReason?: string, attempts?: number) => ({
  attemptsMade,
  failedReason: failedReason as string,
  opts: attempts === undefined ? {} : { attempts },
})

test.for([
  ['first run', job(0, undefined, 3), { manual: false, isLastTry: false }],
  ['first run of a job with one attempt', job(0), { manual: false, isLastTry: true }],
  ['second automatic run', job(1, 'why', 3), { manual: false, isLastTry: false }],
  ['last automatic run', job(2, 'why', 3), { manual: false, isLastTry: true }],
  ["a person's retry after the last", job(3, undefined, 3), { manual: true, isLastTry: true }],
  ["a person's retry of a job that completed at once", job(1, undefined, 3), { manual: true, isLastTry: true }],
  ['a job beyond its attempts, whatever its reason says', job(4, 'why', 3), { manual: true, isLastTry: true }],
] as const)('%s', ([, given, expected]) => {
  expect(jobRunOf(given)).toEqual(expected)
})
