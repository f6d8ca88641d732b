// What the statements of the loop promise beside their results: locks are taken in one order, writes that are sent
// together keep the order of the program, and a claim brings facts as old as itself.
import { Duration } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isPassing } from '../../src/store/database-errors.ts'
import { lockAuthorisation, lockConsent } from '../../src/store/locks.ts'
import { moveOne } from '../../src/store/moves.ts'
import { appendEvent } from '../../src/store/events.ts'
import { changeRecord, find, insert } from '../../src/store/tables.ts'
import { askedConsent, withCode } from '../processors/rig.ts'
import { holdLocks } from '../setup/locks.ts'
import { startWorld, type World } from '../setup/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const LEASE = Duration.fromObject({ seconds: 60 })
const consentRow = async (id: string) => {
  const [row] = await find(world.db.sql, 'consent', { id })
  if (row === undefined) throw new Error('gone')
  return row
}

describe('locks', () => {
  test('an attempt is locked after its consent: whoever waits for the consent holds nothing of it', async () => {
    const { consent, codeId } = await withCode(world)
    const holder = await holdLocks(world.db, 'SELECT FROM consents WHERE id = $1 FOR UPDATE', [consent.id])
    const waiting = world.db.transaction(async (tx) => lockAuthorisation(tx, codeId))
    await holder.untilWaiting(1)
    const free = await world.db.sql.$queryRaw<unknown[]>`
      SELECT FROM authorisations AS attempt JOIN renewals AS renewal ON renewal.id = attempt.renewal_id
      WHERE attempt.id = ${codeId}::uuid FOR UPDATE OF attempt, renewal NOWAIT`
    expect(free).toHaveLength(1)
    await holder.commit()
    expect((await waiting)?.consent.id).toBe(consent.id)
  })

  test('who had to wait gets all three as they are by then', async () => {
    const { consent, codeId } = await withCode(world)
    const holder = await holdLocks(
      world.db,
      `WITH consent AS (UPDATE consents SET mismatches = 2 WHERE id = $1 RETURNING id),
         renewal AS (UPDATE renewals SET again_no = 7 WHERE consent_id = $1 RETURNING id)
       UPDATE authorisations SET poll_count = 5 WHERE consent_id = $1`,
      [consent.id],
    )
    const waiting = world.db.transaction(async (tx) => lockAuthorisation(tx, codeId))
    await holder.untilWaiting(1)
    await holder.commit()
    const locked = await waiting
    expect([locked?.consent.mismatches, locked?.renewal.againNo, locked?.authorisation.pollCount]).toEqual([2, 7, 5])
  })
})

describe('writes that are sent together', () => {
  test('count up what they name several times, and are there for the next read', async () => {
    const { id } = await askedConsent(world)
    const before = await consentRow(id)
    await world.db.transaction(async (tx) => {
      const consent = await lockConsent(tx, id)
      if (consent === undefined) throw new Error('gone')
      await changeRecord(tx, 'consent', id, { mismatches: { increment: 1 }, lastErrorCode: 'first' })
      await appendEvent(tx, consent, { type: 'consent.updated', at: world.clock.now(), actor: 'company' })
      await changeRecord(tx, 'consent', id, { mismatches: { increment: 2 }, lastErrorCode: null })
      await appendEvent(tx, consent, { type: 'consent.updated', at: world.clock.now(), actor: 'company' })
      const [now] = await find(tx, 'consent', { id })
      expect([now?.mismatches, now?.lastErrorCode, now?.eventSeq]).toEqual([3, null, before.eventSeq + 2])
      await changeRecord(tx, 'consent', id, { mismatches: 5 })
      await changeRecord(tx, 'consent', id, { mismatches: { decrement: 1 } })
    })
    expect((await consentRow(id)).mismatches).toBe(before.mismatches + 4)
    expect((await world.eventsOf(id)).slice(-2).map(({ seq }) => seq)).toEqual([
      before.eventSeq + 1,
      before.eventSeq + 2,
    ])
  })

  test('a change of a record that was just added belongs to it', async () => {
    const { consent, codeId } = await withCode(world)
    const [attempt] = await find(world.db.sql, 'authorisation', { id: codeId })
    if (attempt === undefined) throw new Error('gone')
    const id = '00000000-0000-4000-8000-00000000beef'
    await world.db.transaction(async (tx) => {
      const other = { ...attempt, id, doneId: 'another', stateHash: new Uint8Array(32), status: 'issued' }
      await insert(tx, 'authorisation', other)
      await changeRecord(tx, 'authorisation', id, { pollCount: { increment: 3 } })
    })
    const [added] = await find(world.db.sql, 'authorisation', { id })
    expect([added?.consentId, added?.pollCount]).toEqual([consent.id, attempt.pollCount + 3])
  })

  test('a transition that another session made impossible is an error, and nothing is written', async () => {
    const { id } = await askedConsent(world)
    const stale = await consentRow(id)
    await world.db.sql.$executeRaw`
      UPDATE consents SET status = 'revoked', next_action_at = NULL WHERE id = ${id}::uuid`
    const moving = world.db.transaction(async (tx) => {
      await changeRecord(tx, 'consent', id, { mismatches: 2 })
      await moveOne(tx, 'consent', stale, 'paused', { data: { nextActionAt: null } })
    })
    await expect(moving).rejects.toThrow('illegal transition')
    const after = await consentRow(id)
    expect([after.status, after.mismatches]).toEqual(['revoked', 0])
  })

  test('are dropped when the step fails', async () => {
    const { id } = await askedConsent(world)
    const failing = world.db.transaction(async (tx) => {
      await changeRecord(tx, 'consent', id, { mismatches: 2 })
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect((await consentRow(id)).mismatches).toBe(0)
  })
})

describe('a session', () => {
  test('whose transaction has failed does not commit, even if the error was swallowed', async () => {
    const { id } = await askedConsent(world)
    const swallowing = world.db.transaction(async (tx) => {
      await tx.$executeRaw`UPDATE consents SET mismatches = 3 WHERE id = ${id}::uuid`
      await tx.$queryRaw`SELECT 1 / 0`.catch(() => undefined)
    })
    await expect(swallowing).rejects.toThrow('rolled back')
    expect((await consentRow(id)).mismatches).toBe(0)
  })

  test('whose plan no longer fits the tables: that passes, and the next try is planned anew', async () => {
    const { sql, transaction } = world.db
    await sql.$executeRaw`CREATE TABLE of_the_plan AS SELECT 1::int AS one`
    const read = async (on: typeof sql): Promise<unknown> => on.$queryRaw`SELECT * FROM of_the_plan`
    for (const inTransaction of [false, true]) {
      const again = async (): Promise<unknown> => (inTransaction ? transaction(read) : read(sql))
      // Enough for every session of the pool to have planned it.
      await Promise.all(Array.from({ length: 30 }, again))
      await sql.$executeRaw`ALTER TABLE of_the_plan ADD COLUMN two text`
      const results = await Promise.allSettled(Array.from({ length: 60 }, again))
      const failed = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
      expect(failed.length).toBeGreaterThan(0)
      expect(failed.filter((error) => !isPassing(error))).toEqual([])
      await Promise.all(Array.from({ length: 30 }, again))
      await sql.$executeRaw`ALTER TABLE of_the_plan DROP COLUMN two`
      await Promise.allSettled(Array.from({ length: 60 }, again))
    }
    await sql.$executeRaw`DROP TABLE of_the_plan`
  })
})

test('a claim that had to wait brings what was committed meanwhile, not what was there when it began', async () => {
  const { consent } = await withCode(world)
  const before = await consentRow(consent.id)
  const holder = await holdLocks(
    world.db,
    `WITH consent AS (UPDATE consents SET updated_at = clock_timestamp() WHERE id = $1)
     UPDATE authorisations SET poll_count = 9 WHERE consent_id = $1`,
    [consent.id],
  )
  const claiming = world.store.claim('consent', consent.id, LEASE)
  await holder.untilWaiting(1)
  await holder.commit()
  const answer = await claiming
  if (answer.kind !== 'claimed') throw new Error(`not claimed: ${answer.kind}`)
  expect(answer.facts().authorisations.map(({ pollCount }) => pollCount)).toEqual([9])
  // The first try changed nothing.
  expect(answer.claim.fencingToken).toBe(before.fencingToken + 1)
  expect((await consentRow(consent.id)).fencingToken).toBe(before.fencingToken + 1)
})
