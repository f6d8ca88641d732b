// What `explain` says of codes whose outcome is not known yet: the step that the job would take, at its date.
import { expect, test } from 'vitest'
import { authorisationJson } from '../src/presentation/consent-json.ts'
import { explain, explanationJson } from '../src/presentation/explanation.ts'
import { aPolicy } from './builders.ts'
import { aCycle, aLink, at } from './domain/a-cycle.ts'

const link = (over: Parameters<typeof aLink>[1]) => aLink('-10d -5m', { codeReceivedAt: at('-10d'), ...over })
const attemptsOf = (...links: readonly ReturnType<typeof link>[]) =>
  explanationJson(explain(aCycle({ links }), at('-10d +1m'), aPolicy())).attempts.map(
    ({ status, at: looksAt, code, step, reason }) => ({ status, at: looksAt, code, step, reason }),
  )

test('a code in hand waits for the one that is being proven', () => {
  expect(
    attemptsOf(
      link({ status: 'verifying', nextActionAt: at('-10d +10m'), errorCode: 'not-proven', tokenOwner: 'ours' }),
      link({ status: 'code_received', nextActionAt: at('-10d +30s') }),
    ),
  ).toEqual([
    {
      status: 'verifying',
      at: '2026-06-05T12:10:00.000Z',
      code: 'not-proven',
      step: 'read-me',
      reason: 'a clean exchange is proven by /me',
    },
    {
      status: 'code_received',
      at: '2026-06-05T12:00:30.000Z',
      code: null,
      step: 'wait',
      reason: 'another code of this consent is being exchanged',
    },
  ])
})

test('an outcome in doubt is asked about, first with a pending token', () => {
  expect(
    attemptsOf(link({ status: 'in_doubt', nextActionAt: at('-10d +6m'), errorCode: 'exchange-in-doubt' })),
  ).toMatchObject([{ step: 'refresh', code: 'exchange-in-doubt' }])
  expect(
    attemptsOf(link({ status: 'in_doubt', nextActionAt: at('-10d'), tokenOwner: 'pending', hasPendingToken: true })),
  ).toMatchObject([{ step: 'refresh', reason: 'the pending token may be the only valid one' }])
})

test('a date that may come late: what is awaited and until when, and when it is looked for', () => {
  const awaiting = link({ status: 'awaiting_date', nextActionAt: at('-10d +6h'), errorCode: 'not-proven' })
  const explained = explanationJson(explain(aCycle({ links: [awaiting] }), at('-10d +1h'), aPolicy()))
  expect(explained.attempts).toMatchObject([
    {
      status: 'awaiting_date',
      at: '2026-06-05T18:00:00.000Z',
      awaited_until: '2026-06-06T13:00:00.000Z',
      step: 'refresh',
      reason: 'a refresh and /me look for the new date, which may come until 2026-06-06T13:00:00.000Z',
    },
  ])
  expect(explained.next).toMatchObject({
    action: 'wait',
    at: '2026-06-06T14:00:00.000Z',
    reason: 'the new date of a renewal may come up to a day late: it is awaited before anything is sent',
  })
})

test('`show` and the API say until when, too', () => {
  const shown = (over: Parameters<typeof aLink>[1]) => authorisationJson(link(over))
  const awaiting = { status: 'awaiting_date', nextActionAt: at('-10d +6h') } as const
  expect(shown(awaiting)).toMatchObject({
    status: 'awaiting_date',
    next_action_at: '2026-06-05T18:00:00.000Z',
    awaited_until: '2026-06-06T13:00:00.000Z',
  })
  expect(shown({ status: 'refused' })).toMatchObject({ awaited_until: null })
})

test('an outcome in doubt is awaited as long, a code in hand is not', () => {
  const untilOf = (over: Parameters<typeof aLink>[1]) =>
    explanationJson(explain(aCycle({ links: [link(over)] }), at('-10d +1m'), aPolicy())).attempts.map(
      ({ awaited_until: until }) => until,
    )
  expect(untilOf({ status: 'in_doubt', nextActionAt: at('-10d +6m') })).toEqual(['2026-06-06T13:00:00.000Z'])
  expect(untilOf({ status: 'verifying', nextActionAt: at('-10d +10m') })).toEqual([null])
})

test('a code that is being sent: a worker may be at it right now', () => {
  expect(attemptsOf(link({ status: 'exchanging', nextActionAt: at('-10d') }))).toMatchObject([
    {
      status: 'exchanging',
      step: 'doubt',
      reason: 'if no worker is at it: the process stopped while the code was being sent',
    },
  ])
})

test('links that wait for their user, and attempts that have ended, are not among them', () => {
  expect(attemptsOf(link({ status: 'issued' }), link({ status: 'refused' }), link({ status: 'renewed' }))).toEqual([])
})
