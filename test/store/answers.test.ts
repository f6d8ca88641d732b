// Answers that are kept for repetitions: with the write or not at all.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TransientError } from '../../src/errors.ts'
import type { RepeatableRequest } from '../../src/store/answers-port.ts'
import { answerOnce, answerPurge, within } from '../../src/store/answers.ts'
import { administration } from '../../src/store/administration.ts'
import { startWorld, type World } from '../setup/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

const aRequest = (over: Partial<RepeatableRequest> = {}): RepeatableRequest => ({
  callerId: 'a key',
  method: 'POST',
  path: '/v1/consents/x/pause',
  idempotencyKey: randomUUID(),
  body: '{}',
  now: world.clock.now(),
  ...over,
})
const answering = (body: unknown) => async () => ({ status: 200, body })
const once = async (request: RepeatableRequest, body: unknown = 'first') =>
  answerOnce(world.db, request, answering(body))

test('a repetition gets the first answer; each part of a request makes another one', async () => {
  const request = aRequest()
  expect(await once(request)).toEqual({ kind: 'answered', answer: { status: 200, body: 'first' } })
  expect(await once(request, 'second')).toEqual({ kind: 'repeated', answer: { status: 200, body: 'first' } })
  for (const over of [{ callerId: 'another key' }, { method: 'PUT' }, { path: '/v1/consents/y/pause' }])
    expect(await once({ ...request, ...over }, 'other')).toMatchObject({ kind: 'answered' })
  expect(await once({ ...request, body: '{"a":1}' })).toEqual({ kind: 'other-request' })
})

test('a repetition gets the headers of the first answer', async () => {
  const request = aRequest()
  const answer = { status: 200, body: '', headers: { etag: '"a-tag"' } }
  await answerOnce(world.db, request, async () => answer)
  expect(await once(request)).toEqual({ kind: 'repeated', answer })
  // As an answer that the previous release has stored.
  await world.db.prisma.idempotencyKey.updateMany({ data: { headers: null } })
  expect(await once(request)).toEqual({ kind: 'repeated', answer: { status: 200, body: '' } })
})

test('a write that fails leaves nothing, and may be repeated', async () => {
  const consent = await world.addConsent({ expiresAt: world.clock.now().plus({ days: 60 }) })
  const request = aRequest()
  const pause = async (end: () => { status: number; body: unknown }) =>
    answerOnce(world.db, request, async (tx) => {
      await administration(within(world.db, tx), world.policy).pauseConsent(consent.id, {
        now: world.clock.now(),
        reason: 'a test',
      })
      return end()
    })
  await expect(
    pause(() => {
      throw new TransientError('database-unavailable')
    }),
  ).rejects.toThrow('database-unavailable')
  expect((await world.consentOf(consent.id)).status).toBe('active')
  expect(await world.eventsOf(consent.id)).toEqual([])
  expect(await pause(() => ({ status: 200, body: 'paused' }))).toMatchObject({ kind: 'answered' })
  expect((await world.consentOf(consent.id)).status).toBe('paused')
  // An answer that is our own failure is refused by the table, whoever tries.
  await expect(answerOnce(world.db, aRequest(), async () => ({ status: 500, body: '' }))).rejects.toThrow()
})

test('of two at once, one is at work and the other is told so', async () => {
  const request = aRequest()
  const begun = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const first = answerOnce(world.db, request, async () => {
    begun.resolve()
    await end.promise
    return { status: 200, body: 'first' }
  })
  await begun.promise
  expect(await once(request)).toEqual({ kind: 'in-progress' })
  end.resolve()
  expect(await first).toMatchObject({ kind: 'answered' })
  expect(await once(request)).toMatchObject({ kind: 'repeated' })
})

test('twenty at once: the write is done once', async () => {
  const request = aRequest()
  let writes = 0
  const all = await Promise.all(
    Array.from({ length: 20 }, async () =>
      answerOnce(world.db, request, async () => ({ status: 200, body: (writes += 1) })),
    ),
  )
  expect(writes).toBe(1)
  expect(all.filter(({ kind }) => kind === 'answered')).toHaveLength(1)
})

test('an answer is kept for a day, whether or not the sweep has come', async () => {
  const { purgeAnswers } = answerPurge(world.db)
  const request = aRequest()
  await once(request)
  const count = async () => world.db.prisma.idempotencyKey.count({ where: { createdAt: request.now.toJSDate() } })
  await purgeAnswers(request.now.minus({ milliseconds: 1 }), 1000)
  expect(await count()).toBe(1)
  const dayAfter = { ...request, now: request.now.plus({ hours: 24 }) }
  expect(await once({ ...request, now: dayAfter.now.minus({ milliseconds: 1 }) })).toMatchObject({ kind: 'repeated' })
  expect(await once(dayAfter, 'anew')).toEqual({ kind: 'answered', answer: { status: 200, body: 'anew' } })
  expect(await purgeAnswers(dayAfter.now, 1000)).toBeGreaterThanOrEqual(1)
  expect(await world.db.prisma.idempotencyKey.count()).toBe(0)
})
