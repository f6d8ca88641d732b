// Verify on the feed: it reports one corruption of each kind, and does not report events that only wait.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startWorld, type World } from '../setup/world.ts'
import { asked, verified } from './lives.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

let id: string
beforeEach(async () => {
  await world.db.prisma.$executeRaw`DELETE FROM event_positions`
  ;({ id } = await asked(world))
  // Notes for the events whose positions an earlier test deleted.
  await world.db.prisma.$executeRaw`INSERT INTO unsequenced_events (consent_id, seq) SELECT consent_id, seq FROM events`
  while ((await world.store.sequenceEvents(10_000)) > 0);
  expect(await verified(world)).toEqual([])
})

const sql = async (...statements: string[]): Promise<void> => {
  await world.db.prisma.$transaction(async (tx) => {
    await tx.$executeRawUnsafe(`SET LOCAL reconsent.rewrite_events = 'allowed'`)
    for (const statement of statements) await tx.$executeRawUnsafe(statement)
  })
}
const told = async (): Promise<string[]> =>
  (await verified(world)).map(({ invariant, record, what }) => `${invariant} ${record}: ${what}`)
const last = async (): Promise<bigint> =>
  (await world.db.prisma.eventPosition.aggregate({ _max: { position: true } }))._max.position ?? 0n

test('an event that has neither a place nor a note', async () => {
  const note =
    'INSERT INTO unsequenced_events (consent_id, seq) SELECT consent_id, seq FROM event_positions WHERE position ' +
    `= ${await last()}`
  const { seq } = await world.db.prisma.eventPosition.findUniqueOrThrow({ where: { position: await last() } })
  await sql(note)
  expect(await told()).toEqual([])
  await sql(`DELETE FROM event_positions WHERE position = ${await last()}`)
  expect(await told()).toEqual([])
  await sql('DELETE FROM unsequenced_events')
  expect(await told()).toEqual([`10 consents ${id}: event ${seq} is left out of the feed: reconsent migrate adds it`])
})

test('one that waits although a sweep came long after it; none where there was no sweep since', async () => {
  await sql(
    `INSERT INTO unsequenced_events (consent_id, seq, added_at) VALUES ('${id}', 1, clock_timestamp() - ` +
      "interval '10 minutes')",
  )
  expect(await told()).toEqual([])
  await sql(`INSERT INTO sweeps VALUES ('sweep', clock_timestamp() - interval '6 minutes')`)
  expect(await told()).toEqual([])
  await world.store.recordSweep()
  expect(await told()).toEqual([
    expect.stringMatching(`^10 consents ${id}: event 1 has waited for its place in the feed since 2`),
  ])
  await sql('DELETE FROM sweeps')
})

test('a gap, a place that names no event, one whose event or predecessors are others', async () => {
  const end = await last()
  await sql(`UPDATE event_positions SET position = position + 1 WHERE position = ${end}`)
  expect(await told()).toEqual([`10 event_positions ${end + 1n}: the place before it is ${end - 1n}`])
  await sql(
    `UPDATE event_positions SET position = position - 1 WHERE position = ${end + 1n}`,
    `UPDATE event_positions SET chain = repeat('0', 16) WHERE position = 1`,
  )
  expect(await told()).toEqual([
    expect.stringMatching(/^10 event_positions 1: event 1 of consents .* is not what was placed here/),
  ])
  await sql(`UPDATE event_positions SET consent_id = gen_random_uuid() WHERE position = 1`)
  expect(await told()).toContainEqual(expect.stringMatching(/^10 event_positions 1: its event is gone: 1 of consents /))
})

test('the trigger that notes events, switched off', async () => {
  await sql('ALTER TABLE events DISABLE TRIGGER events_are_sequenced')
  expect(await told()).toEqual(['10 table events: the trigger that notes them for the feed is missing or switched off'])
  await sql('ALTER TABLE events ENABLE TRIGGER events_are_sequenced')
})
