// The run's operators on a real database: they record everything that they stop, and at the end no consent stays
// paused.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { holdsOf } from './holds.ts'
import { makeOperators } from './operators.ts'
import { seededChance } from './seeded.ts'
import { startWorld, type World } from '../setup/world.ts'
import { asked } from '../verify/lives.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const operatorsOf = ({ db, policy, clock }: World) => {
  const sql = async <Row>(text: string): Promise<Row[]> => db.prisma.$queryRawUnsafe<Row[]>(text)
  return makeOperators(
    { db, config: { policy }, clock, sql } as unknown as Parameters<typeof makeOperators>[0],
    seededChance(3),
  )
}

test('they pause consents that wait for an answer, and resume every one', async () => {
  const consents = [await asked(world), await asked(world), await asked(world)]
  const operators = operatorsOf(world)
  operators.start()
  await expect.poll(() => operators.acts.filter(({ what }) => what === 'pause').length).toBeGreaterThan(1)
  await operators.stop()
  const stopped = operators.acts.filter(({ what, answer }) => what === 'pause' && answer === 'done')
  expect(stopped.length).toBeGreaterThan(1)
  for (const { consentId } of stopped)
    for (const { may, certain } of holdsOf(operators.acts, consentId)) {
      expect(may.to).toBeLessThanOrEqual(Date.now())
      expect(certain?.to).toBeLessThanOrEqual(may.to)
    }
  const statuses = await world.db.prisma.consent.findMany({
    where: { id: { in: consents.map(({ id }) => id) } },
    select: { status: true },
  })
  expect(statuses.map(({ status }) => status)).not.toContain('paused')
})

test('a database that is away loses an answer, and the consent may have been paused until it is resumed', () => {
  const act = { consentId: 'a', underWay: false } as const
  const lost = { ...act, what: 'pause', from: 10, to: 20, answer: 'lost' } as const
  const resumed = { ...act, what: 'resume', from: 30, to: 35, answer: 'done' } as const
  expect(holdsOf([lost, { ...resumed, from: 25, to: 26, answer: 'lost' }, resumed], 'a')).toEqual([
    { may: { from: 10, to: 35 }, certain: undefined },
  ])
  expect(holdsOf([{ ...lost, answer: 'done' }, resumed], 'a')).toEqual([
    { may: { from: 10, to: 35 }, certain: { from: 20, to: 30 } },
  ])
  expect(holdsOf([{ ...lost, answer: 'refused' }, resumed], 'a')).toEqual([])
})
