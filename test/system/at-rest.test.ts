// What a process of all roles does while nothing is due: so that it cannot creep up. Counted is what wakes it and
// others; its CPU is measured by hand (docs/performance.md), since a busy machine would falsify it.
import { setTimeout as wait } from 'node:timers/promises'
import { expect, inject, onTestFinished, test } from 'vitest'
import { startCompany } from '../setup/company.ts'
import { createDatabase } from '../setup/database.ts'
import { startRedisCounter } from '../setup/redis-counter.ts'
import { startStatementCounter } from '../setup/statement-counter.ts'

const BEGINS_MS = 4_000
const RESTS_MS = 20_000

test('at rest it asks PostgreSQL and Redis for little', async () => {
  const statements = await startStatementCounter(await createDatabase())
  onTestFinished(async () => statements.close())
  const commands = await startRedisCounter(inject('redisUrl'))
  onTestFinished(async () => commands.close())
  const company = await startCompany({
    queue: 'redis',
    processes: [['web', 'worker', 'scheduler']],
    databaseUrl: statements.url,
    redisUrl: commands.url,
    // The timings of production; no sweep comes in the meantime.
    policy: { timing: {}, sweep: { cron: '0 0 1 1 *' } },
  })
  onTestFinished(async () => {
    await company.stop()
  })
  await wait(BEGINS_MS)
  statements.take()
  commands.take()
  // What is measured is the passing of time: there is no event to wait for.
  await wait(RESTS_MS)
  const asked = statements.take().statements
  const sent = [...commands.take().values()].reduce((sum, count) => sum + count, 0)
  // Each 5 s the feed; each 10 s what is urgent, twice, and codes; each 30 s the watchdog.
  expect(asked.length).toBeGreaterThanOrEqual(8)
  expect(asked.length).toBeLessThanOrEqual(16)
  // Each 10 s four workers, twice, and two counts; each 15 s the trial, three; each 30 s four looks for stalled jobs.
  expect(sent).toBeGreaterThanOrEqual(20)
  expect(sent).toBeLessThanOrEqual(40)
})
