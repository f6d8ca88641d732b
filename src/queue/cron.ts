// Reads cron patterns with BullMQ's own parser, in UTC: is the pattern usable, and what is the longest time between two
// runs?
import { CronExpressionParser } from 'cron-parser'
import { Duration } from 'luxon'

/** Enough runs to include the night in "every five minutes from 8 to 20" and the weekend in "weekdays at nine". */
const RUNS = 300

/**
 * What is wrong with a cron pattern of five or six fields (the first of six is seconds), or undefined when the pattern
 * is usable.
 */
export const checkCron = (text: string): string | undefined => {
  const fields = text
    .trim()
    .split(/\s+/)
    .filter((field) => field !== '')
  if (fields.length < 5 || fields.length > 6) return `a cron pattern has five or six fields, this has ${fields.length}`
  try {
    CronExpressionParser.parse(fields.join(' '), { tz: 'UTC' }).next()
    return undefined
  } catch (error) {
    return `not a usable cron pattern: ${error instanceof Error ? error.message : 'unreadable'}`
  }
}

/** The largest gap between the next runs of a pattern. Throws an Error when `checkCron` finds a problem. */
export const intervalOf = (cron: string, from: Date = new Date()): Duration => {
  const problem = checkCron(cron)
  if (problem !== undefined) throw new Error(problem)
  const runs = CronExpressionParser.parse(cron.trim(), { tz: 'UTC', currentDate: from })
  let last = runs.next().getTime()
  let largest = 0
  for (let run = 0; run < RUNS; run += 1) {
    const next = runs.next().getTime()
    largest = Math.max(largest, next - last)
    last = next
  }
  return Duration.fromMillis(largest)
}
