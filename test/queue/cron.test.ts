import { describe, expect, test } from 'vitest'
import { checkCron, intervalOf } from '../../src/queue/cron.ts'

describe('a usable pattern', () => {
  test.for(['*/5 * * * *', '0 */15 * * * *', '0 9 * * 1-5', '  0   0 1 * *  ', '0 12 29 2 *'])('%s', (cron) => {
    expect(checkCron(cron)).toBeUndefined()
  })
})

describe('an unusable pattern has its problem named', () => {
  test.for([
    ['', 'a cron pattern has five or six fields, this has 0'],
    ['@hourly', 'a cron pattern has five or six fields, this has 1'],
    ['* * * *', 'a cron pattern has five or six fields, this has 4'],
    ['* * * * * * *', 'a cron pattern has five or six fields, this has 7'],
    ['61 * * * *', 'not a usable cron pattern'],
    ['every day at nine o clock', 'not a usable cron pattern'],
    ['0 0 31 2 *', 'not a usable cron pattern'],
  ] as const)('%s', ([cron, problem]) => {
    expect(checkCron(cron)).toContain(problem)
  })
})

describe('the interval is the largest gap', () => {
  const from = new Date('2026-03-03T10:01:00Z')
  test.for([
    ['every five minutes', '*/5 * * * *', 300],
    ['every ten seconds', '*/10 * * * * *', 10],
    ['every five minutes by day: the night', '*/5 8-19 * * *', 12 * 3600 + 300],
    ['weekdays at nine: the weekend', '0 9 * * 1-5', 3 * 24 * 3600],
    ['at 0 and 40 of the hour: forty minutes', '0,40 * * * *', 2400],
  ] as const)('%s', ([, cron, seconds]) => {
    expect(intervalOf(cron, from).as('seconds')).toBe(seconds)
  })

  test('throws on an unusable pattern', () => {
    expect(() => intervalOf('nonsense')).toThrow('five or six fields')
  })
})
