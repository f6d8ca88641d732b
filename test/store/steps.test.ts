// A step reads without locks and writes everything in one statement. What it promises is what a transaction with locks
// promises: it never writes on what is no longer so.
import { Duration } from 'luxon'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type Consent as ConsentRow, Prisma } from '../../src/generated/prisma/client.ts'
import { columnOf } from '../../src/store/columns.ts'
import { appendEvent } from '../../src/store/events.ts'
import { lockConsent } from '../../src/store/locks.ts'
import { moveOne } from '../../src/store/moves.ts'
import type { Statements } from '../../src/store/statements.ts'
import { Secret } from '../../src/secret.ts'
import { changeRecord, find, update } from '../../src/store/tables.ts'
import { startFaultProxy } from '../chaos/fault-proxy.ts'
import { askedConsent, endLease, withCode } from '../processors/rig.ts'
import { holdLocks } from '../setup/locks.ts'
import { aRun, startWorld, type World } from '../setup/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const LEASE = Duration.fromObject({ seconds: 60 })
const rowOf = async (id: string): Promise<ConsentRow> => {
  const [row] = await find(world.db.sql, 'consent', { id })
  if (row === undefined) throw new Error('gone')
  return row
}
const locked = async (tx: Statements, id: string): Promise<ConsentRow> => {
  const row = await lockConsent(tx, id)
  if (row === undefined) throw new Error('gone')
  return row
}
/** Counts a mismatch by what it reads, as a step that decides would, and says so in an event. */
const countOne = async (tx: Statements, id: string): Promise<ConsentRow> => {
  const row = await locked(tx, id)
  await changeRecord(tx, 'consent', id, { mismatches: row.mismatches + 1 })
  await appendEvent(tx, row, { type: 'consent.updated', at: world.clock.now(), actor: 'company' })
  return row
}

/** A consent whose first message waits to be sent, and a claim of that message. */
const claimedMessage = async (before: (consentId: string) => Promise<unknown> = async () => undefined) => {
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 10 }) })
  await world.jobs.consent(consent.id, aRun())
  await before(consent.id)
  const [message] = await world.notificationsOf(consent.id)
  const answer = await world.store.claim('notification', message?.id ?? '', LEASE)
  if (answer.kind !== 'claimed') throw new Error(answer.kind)
  return { consent, claim: answer.claim }
}

describe('what a step has read', () => {
  test('is still so: it writes at once, without a second look', async () => {
    const consent = await askedConsent(world)
    let runs = 0
    await world.db.step(async (tx) => {
      runs += 1
      return countOne(tx, consent.id)
    })
    expect([(await rowOf(consent.id)).mismatches, runs]).toEqual([1, 1])
  })

  test('was changed before it writes: it is made again, with locks', async () => {
    const consent = await askedConsent(world)
    const wasInStep: boolean[] = []
    await world.db.step(async (tx) => {
      const row = await countOne(tx, consent.id)
      wasInStep.push(tx.seen !== undefined)
      if (wasInStep.length === 1) await world.db.transaction(async (other) => countOne(other, consent.id))
      return row
    })
    expect([(await rowOf(consent.id)).mismatches, wasInStep]).toEqual([2, [true, false]])
  })

  test('is being changed by somebody who holds its lock: it waits, and is made again', async () => {
    const consent = await askedConsent(world)
    const holder = await holdLocks(world.db, 'UPDATE consents SET mismatches = 5 WHERE id = $1', [consent.id])
    const writing = world.db.step(async (tx) => countOne(tx, consent.id))
    await holder.untilWaiting(1)
    await holder.commit()
    await writing
    expect((await rowOf(consent.id)).mismatches).toBe(6)
  })

  test('is locked by somebody who changes nothing: it waits, and writes', async () => {
    const consent = await askedConsent(world)
    let runs = 0
    const holder = await holdLocks(world.db, 'SELECT FROM consents WHERE id = $1 FOR UPDATE', [consent.id])
    const writing = world.db.step(async (tx) => {
      runs += 1
      return countOne(tx, consent.id)
    })
    await holder.untilWaiting(1)
    await holder.commit()
    await writing
    expect([(await rowOf(consent.id)).mismatches, runs]).toEqual([1, 1])
  })

  test('by many at once: each counts, and the events have no gap', async () => {
    const consent = await askedConsent(world)
    const before = await rowOf(consent.id)
    await Promise.all(Array.from({ length: 12 }, async () => world.db.step(async (tx) => countOne(tx, consent.id))))
    const after = await rowOf(consent.id)
    expect([after.mismatches, after.eventSeq]).toEqual([12, before.eventSeq + 12])
    const seqs = (await world.eventsOf(consent.id)).map(({ seq }) => seq)
    expect(seqs).toEqual(seqs.map((_, index) => index + 1))
  })
})

describe('what one statement cannot do is done in a transaction', () => {
  test('a read after a write sees it', async () => {
    const consent = await askedConsent(world)
    const seen = await world.db.step(async (tx) => {
      await countOne(tx, consent.id)
      const [row] = await find(tx, 'consent', { id: consent.id })
      return row?.mismatches
    })
    expect([seen, (await rowOf(consent.id)).mismatches]).toEqual([1, 1])
  })

  test('a write that counts', async () => {
    const consent = await askedConsent(world)
    const count = await world.db.step(async (tx) => {
      await locked(tx, consent.id)
      return update(tx, 'consent', { id: consent.id }, { mismatches: 4 })
    })
    expect([count, (await rowOf(consent.id)).mismatches]).toEqual([1, 4])
  })

  test('the last place of the hour is gone: the message stays as it is', async () => {
    const { consent, claim } = await claimedMessage()
    const before = await rowOf(consent.id)
    expect(await world.store.beginSending(claim, world.clock.now(), 0)).toEqual({ kind: 'cap-reached' })
    const [after] = await world.notificationsOf(consent.id)
    expect([after?.status, (await rowOf(consent.id)).eventSeq]).toEqual(['pending', before.eventSeq])
  })
})

test('a step that fails writes nothing', async () => {
  const consent = await askedConsent(world)
  const failing = world.db.step(async (tx) => {
    await countOne(tx, consent.id)
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect((await rowOf(consent.id)).mismatches).toBe(0)
})

test('a transition that the table does not have fails a step as it fails a transaction', async () => {
  const consent = await askedConsent(world)
  const moving = world.db.step(async (tx) => {
    const row = await locked(tx, consent.id)
    await moveOne(tx, 'consent', { ...row, status: 'revoked' }, 'paused', { data: { nextActionAt: null } })
  })
  await expect(moving).rejects.toThrow('illegal transition')
  expect((await rowOf(consent.id)).status).toBe('active')
})

test('a step that writes without having read a record is refused: nothing would tell it of a change', async () => {
  const consent = await askedConsent(world)
  const blind = world.db.step(async (tx) => changeRecord(tx, 'consent', consent.id, { mismatches: 9 }))
  await expect(blind).rejects.toThrow('without having read')
  expect((await rowOf(consent.id)).mismatches).toBe(0)
})

describe('the facts that came with a claim', () => {
  test('were changed since, and the step would write: it is made again, with locks', async () => {
    const { consent, claim } = await claimedMessage()
    await world.db.transaction(async (tx) => {
      const row = await locked(tx, consent.id)
      await moveOne(tx, 'consent', row, 'paused', { data: { nextActionAt: null } })
    })
    const start = await world.store.beginSending(claim, world.clock.now(), 100)
    expect(start.kind).toBe('not-wanted')
  })

  test('were changed since, and the step would write nothing: that is not believed either', async () => {
    const { consent, claim } = await claimedMessage(
      async (id) =>
        world.db.sql.$executeRaw`UPDATE consents SET status = 'paused', next_action_at = NULL WHERE id = ${id}::uuid`,
    )
    await world.db.sql.$executeRaw`UPDATE consents SET status = 'active', next_action_at = now()
      WHERE id = ${consent.id}::uuid`
    expect(await world.store.beginSending(claim, world.clock.now(), 100)).toEqual({ kind: 'reserved' })
  })

  test('the next step begins from what this one has written', async () => {
    const { consent, claim } = await claimedMessage()
    expect(await world.store.beginSending(claim, world.clock.now(), 100)).toEqual({ kind: 'reserved' })
    await world.store.settleSending(claim, 'sent', world.clock.now())
    const [sent] = await world.notificationsOf(consent.id)
    expect([sent?.status, sent?.attempts]).toEqual(['sent', 1])
  })

  test.each(['consents', 'renewals', 'notifications'])(
    'what a step has left was changed (%s) before the next one: nothing of either is lost',
    async (table) => {
      const { consent, claim } = await claimedMessage()
      await world.store.beginSending(claim, world.clock.now(), 100)
      const [key, value] = table === 'consents' ? ['id', 'mismatches = 7'] : ['consent_id', 'created_at = now()']
      const change = table === 'renewals' ? 'again_no = 7' : value
      await world.db.transaction(async (tx) => {
        const row = await locked(tx, consent.id)
        await appendEvent(tx, row, { type: 'consent.updated', at: world.clock.now(), actor: 'company' })
        await tx.$executeRaw`UPDATE ${Prisma.raw(table)} SET ${Prisma.raw(change ?? '')}
          WHERE ${Prisma.raw(key ?? '')} = ${consent.id}::uuid`
      })
      await world.store.settleSending(claim, 'sent', world.clock.now())
      const [sent] = await world.notificationsOf(consent.id)
      expect([sent?.status, sent?.attempts]).toEqual(['sent', 1])
      expect((await rowOf(consent.id)).mismatches).toBe(table === 'consents' ? 7 : 0)
      const events = await world.eventsOf(consent.id)
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
      expect(events.slice(-3).map(({ type }) => type)).toEqual(['message.sending', 'consent.updated', 'message.sent'])
    },
  )

  test('what the tokens of an exchange leave is what the database has', async () => {
    const { codeId } = await withCode(world)
    const answer = await world.store.claim('authorisation', codeId, LEASE)
    if (answer.kind !== 'claimed') throw new Error(answer.kind)
    const { claim } = answer
    const now = world.clock.now()
    const start = await world.store.beginExchange(claim, now)
    if (start === undefined || start === 'refreshing') throw new Error('no exchange was begun')
    const stored = await world.store.storeTokenResponse(claim, {
      accessToken: new Secret('an-access-token'),
      refreshToken: new Secret('the-next-refresh-token'),
      answeredAt: now,
      tokenVersion: start.tokenVersion,
      owner: 'ours',
      credentialsId: undefined,
    })
    expect(stored.kind).toBe('stored')
    expect(stored.facts?.consent.tokenVersion).toBe(2)
    expect(stored.facts).toEqual(await world.store.getAttempt(claim))
  })
})

describe('the page that a user sees', () => {
  const pressed = async (change: (id: string) => Promise<unknown>): Promise<unknown> => {
    const consent = await askedConsent(world)
    const page = await world.renewalPage(consent.id)
    const id = page.authorisations[0]?.id ?? ''
    await change(id)
    return world.store.handOutLink(page, id, world.clock.now())
  }

  test('its link was handed out to somebody else meanwhile', async () => {
    const link = await pressed(async (id) => {
      const [attempt] = await find(world.db.sql, 'authorisation', { id })
      const other = await world.renewalPage(attempt?.consentId ?? '')
      expect(await world.store.handOutLink(other, id, world.clock.now())).toBeDefined()
    })
    expect(link).toBeUndefined()
  })

  test('its attempt expired meanwhile, which writes no event', async () => {
    const link = await pressed(async (id) => {
      await world.db.sql.$executeRaw`UPDATE authorisations SET status = 'expired', next_action_at = NULL, link = NULL
        WHERE id = ${id}::uuid`
    })
    expect(link).toBeUndefined()
  })

  test('and nothing of it has changed: the link is handed out', async () => {
    expect(await pressed(async () => askedConsent(world))).toBeDefined()
  })
})

describe('the acknowledgement of a step is lost', () => {
  // Nine on the way of a renewal: the link, the next date, the intent to send, the mail, the button, the code, the
  // intent to exchange, the tokens, the renewal.
  const failing: Readonly<Record<number, readonly string[]>> = {
    1: ['consent failed'],
    3: ['notification failed'],
    7: ['authorisation failed'],
    9: ['authorisation failed'],
  }
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])(
    'number %i: nothing is done twice, and nothing counts as our failure',
    async (no) => {
      const target = Number(new URL(inject('postgresUrl')).port)
      const proxy = await startFaultProxy({ targets: () => [target] })
      const through = async (url: string): Promise<string> => {
        const own = new URL(url)
        own.host = `127.0.0.1:${proxy.port}`
        return own.href
      }
      const cut = await startWorld({ through })
      try {
        const consent = await cut.addConsent({ expiresAt: cut.clock.now().plus({ days: 10 }) })
        await proxy.set({ kind: 'cut-answer', after: 'step_', times: 1, skip: no - 1 })
        const survive = async <Result>(work: () => Promise<Result>): Promise<Result | undefined> => {
          const before = proxy.swallowed()
          return work().catch((error: unknown) => {
            if (proxy.swallowed() === before) throw error
            return undefined
          })
        }
        const outcomes: string[] = []
        /** A job, and where it failed another one after its lease. */
        const job = async (kind: 'consent' | 'notification' | 'authorisation', id: string): Promise<void> => {
          const outcome = await survive(async () => cut.jobs[kind](id, aRun({ isLastTry: false })))
          outcomes.push(`${kind} ${outcome?.kind ?? 'failed'}`)
          await endLease(cut, kind, id)
          await cut.jobs[kind](id, aRun())
        }
        await job('consent', consent.id)
        const [message] = await cut.notificationsOf(consent.id)
        await job('notification', message?.id ?? '')
        const token = await cut.startToken(consent.id)
        const link = (await survive(async () => cut.leaveBy(token))) ?? (await cut.leaveBy(token))
        const played = await cut.simulator.play({ link, as: 'approve' })
        const callback = cut.toCallback(played)
        const answer = (await survive(async () => cut.receive(callback))) ?? (await cut.receive(callback))
        expect(['accepted', 'already']).toContain(answer.kind)
        const codes = await cut.authorisationsOf(consent.id)
        const came = codes.find(({ codeReceivedAt }) => codeReceivedAt !== undefined && codeReceivedAt !== null)
        await job('authorisation', came?.id ?? '')
        const types = (await cut.eventsOf(consent.id)).map(({ type }) => type)
        // The job of that step fails as in any outage of the database, unless it stores again itself, or a user tries
        // again. The second try of the link's job is its last: it writes that it was put off.
        expect(outcomes.filter((outcome) => outcome.endsWith(' failed'))).toEqual(failing[no] ?? [])
        expect(types.includes('link.failed')).toBe(no === 2)
        expect(proxy.swallowed()).toBe(1)
        const { ledger } = cut.simulator
        // After a lost intent the code is in doubt, and is never sent.
        expect(ledger.entries({ what: 'exchange' })).toHaveLength(no === 7 ? 0 : 1)
        expect(ledger.entries({ what: 'mail', outcome: 'ok' })).toHaveLength(1)
        const [after] = await find(cut.db.sql, 'consent', { id: consent.id })
        expect([after?.failedAttempts, after?.lastErrorCode]).toEqual([0, null])
        const attempts = await cut.authorisationsOf(consent.id)
        expect(attempts.map(({ errorCode }) => errorCode)).not.toContain('internal')
        const seqs = (await cut.eventsOf(consent.id)).map(({ seq }) => seq)
        expect(seqs).toEqual(seqs.map((_, index) => index + 1))
      } finally {
        await cut.close()
        await proxy.close()
      }
    },
  )
})

test('a record as JSON is what the driver reads column by column', async () => {
  const { consent, codeId } = await withCode(world)
  const of = {
    consents: 'consent',
    renewals: 'renewal',
    authorisations: 'authorisation',
    notifications: 'notification',
  } as const
  for (const [table, kind] of Object.entries(of)) {
    const which = kind === 'consent' ? { id: consent.id } : { consentId: consent.id }
    const [record] = await find(world.db.sql, kind, which as { id: string })
    const columns = await world.db.sql.$queryRaw<Record<string, unknown>[]>`
      SELECT * FROM ${Prisma.raw(table)} WHERE id = ${record?.id}::uuid`
    const fields = Object.keys(record ?? {})
    expect(fields.map(columnOf).toSorted()).toEqual(Object.keys(columns[0] ?? {}).toSorted())
    for (const [field, value] of Object.entries(record ?? {})) {
      const given = columns[0]?.[columnOf(field)]
      expect([field, value]).toEqual([field, given instanceof Uint8Array ? new Uint8Array(given) : given])
    }
  }
  expect(codeId).not.toBe('')
})
