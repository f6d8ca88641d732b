// Which message and which link are due, when the consent is looked at next, and what the user is asked past grace.
import { describe, expect, test } from 'vitest'
import type { Policy } from '../../src/domain/policy.ts'
import { explainNextAction, gatherFacts, nextAction } from '../../src/domain/next-action.ts'
import { aPolicy } from '../builders.ts'
import { type Cycle, aCycle, aLink, aMessage, at, inWords } from './a-cycle.ts'

interface Row extends Cycle {
  now: string
  policy?: Partial<Policy>
  is: string
  because?: string
}

const tableOf = (name: string, table: Record<string, Row>): void => {
  describe(name, () => {
    test.each(Object.entries(table))('%s', (_, { now, policy, is, because, ...cycle }) => {
      const next = nextAction(aCycle(cycle), at(now), aPolicy(policy))
      expect(inWords(next)).toBe(is)
      if (because !== undefined) expect(next.reason).toContain(because)
    })
  })
}

const first = [aMessage('-14d', '-14d')]
const links = [aLink('-14d')]

tableOf('the ladder', {
  'sent: the next rung': { links, messages: first, now: '-14d +1s', is: 'wait -7d', because: 'next message: -7d' },
  'a second before the next rung': { links: [aLink('-8d')], messages: first, now: '-7d -1s', is: 'wait -7d' },
  'at the next rung': { links: [aLink('-8d')], messages: first, now: '-7d', is: 'renew -7d (reminder)' },
  'after a downtime one message, the latest': {
    links: [aLink('-8d')],
    messages: first,
    now: '-2d',
    is: 'renew -3d (reminder)',
  },
  'and the ones passed over never': {
    links: [aLink('-2d')],
    messages: [...first, aMessage('-3d', '-2d')],
    now: '-2d +1s',
    is: 'wait -1d',
  },
  'pending counts as made': {
    links,
    messages: [aMessage('-14d', '-14d', { status: 'pending' })],
    now: '-13d',
    is: 'wait -7d',
  },
  'uncertain is never made again': {
    links,
    messages: [aMessage('-14d', '-14d', { status: 'uncertain' })],
    now: '-13d',
    is: 'wait -7d',
  },
  'failed is a person’s to retry': {
    links,
    messages: [aMessage('-14d', '-14d', { status: 'failed' })],
    now: '-13d',
    is: 'wait -7d',
  },
  'cancelled is not made again': {
    links,
    messages: [aMessage('-14d', '-14d', { status: 'cancelled' })],
    now: '-13d',
    is: 'wait -7d',
  },
  'the last one sent: the expiry asks for a link': {
    links: [aLink('-1d')],
    messages: [...first, aMessage('-1d', '-1d')],
    now: '-1d +1s',
    is: 'wait 0d',
  },
  'after the last rung the proofs go on': {
    links: [aLink('+83d')],
    messages: [aMessage('+83d', '+83d')],
    now: '+83d +1s',
    is: 'wait +90d',
    because: 'lapses at the end of grace',
  },
})

tableOf('a message made after a rung’s instant stands for it', {
  'by hand a second after': {
    renewal: { manualNo: 1 },
    links: [aLink('-8d')],
    messages: [...first, aMessage('manual-1', '-7d +1s')],
    now: '-7d +2s',
    is: 'wait -3d',
  },
  'by hand at its very instant': {
    renewal: { manualNo: 1 },
    links: [aLink('-8d')],
    messages: [...first, aMessage('manual-1', '-7d')],
    now: '-7d',
    is: 'wait -3d',
  },
  'by hand a second before: the rung is owed': {
    renewal: { manualNo: 1 },
    links: [aLink('-8d')],
    messages: [...first, aMessage('manual-1', '-7d -1s')],
    now: '-7d',
    is: 'renew -7d (reminder)',
  },
  'cancelled: it stands for nothing': {
    renewal: { manualNo: 1 },
    links: [aLink('-8d')],
    messages: [...first, aMessage('manual-1', '-7d +1s', { status: 'cancelled' })],
    now: '-7d +2s',
    is: 'renew -7d (reminder)',
  },
})

const inVain = (closed: string) => [
  ...links,
  aLink('-14d +1h', { status: 'refused', codeReceivedAt: at(closed).minus({ minutes: 7 }), closedAt: at(closed) }),
]
tableOf('messages out of turn', {
  'by hand before anything is due: the cycle is open': {
    renewal: { manualNo: 1 },
    now: '-40d',
    is: 'renew link by reauth and manual-1 (reminder)',
  },
  'by hand, made: the first rung next': {
    renewal: { manualNo: 1 },
    links: [aLink('-16d')],
    messages: [aMessage('manual-1', '-16d')],
    now: '-16d +1s',
    is: 'wait -14d',
  },
  'by hand comes before the ladder': {
    renewal: { manualNo: 2 },
    links: [aLink('-8d')],
    messages: [...first, aMessage('manual-1', '-10d')],
    now: '-7d',
    is: 'renew manual-2 (reminder)',
  },
  'by hand after a code in vain: one message for both': {
    renewal: { manualNo: 1, againNo: 1, againReason: 'other-account' },
    links: inVain('-13d'),
    messages: first,
    now: '-13d',
    is: 'renew manual-1 (other-account)',
  },
  'and no second one': {
    renewal: { manualNo: 1, againNo: 1, againReason: 'other-account' },
    links: inVain('-13d'),
    messages: [...first, aMessage('manual-1', '-13d')],
    now: '-13d',
    is: 'wait -7d',
  },
  'a message before the code came in vain says nothing of it': {
    renewal: { manualNo: 1, againNo: 1, againReason: 'asked-again' },
    links: inVain('-13d'),
    messages: [...first, aMessage('manual-1', '-13d -1s')],
    now: '-13d',
    is: 'renew again-1 (asked-again)',
  },
  'nor does one that was cancelled': {
    renewal: { againNo: 1, againReason: 'asked-again' },
    links: inVain('-13d'),
    messages: [...first, aMessage('-13d', '-13d', { status: 'cancelled' })],
    now: '-13d',
    is: 'renew again-1 (asked-again)',
  },
  'asked again after a code in vain': {
    renewal: { againNo: 1, againReason: 'asked-again' },
    links,
    messages: first,
    now: '-13d',
    is: 'renew again-1 (asked-again)',
  },
  'asked again after another account': {
    renewal: { againNo: 1, againReason: 'other-account' },
    links,
    messages: first,
    now: '-13d',
    is: 'renew again-1 (other-account)',
  },
  'asked again comes before a rung that is due': {
    renewal: { againNo: 1, againReason: 'asked-again' },
    links: [aLink('-8d')],
    messages: first,
    now: '-7d',
    is: 'renew again-1 (asked-again)',
  },
  'and stands for it': {
    renewal: { againNo: 1, againReason: 'asked-again' },
    links: [aLink('-8d')],
    messages: [...first, aMessage('again-1', '-7d')],
    now: '-7d +1s',
    is: 'wait -3d',
  },
  'two failures before one message: one message': {
    renewal: { againNo: 2, againReason: 'asked-again' },
    links,
    messages: first,
    now: '-13d',
    is: 'renew again-2 (asked-again)',
  },
  'made once': {
    renewal: { againNo: 1, againReason: 'asked-again' },
    links,
    messages: [...first, aMessage('again-1', '-13d')],
    now: '-13d +1s',
    is: 'wait -7d',
  },
})

const all = (until: string) => [aMessage('-14d', '-14d'), aMessage('0d', '0d'), aMessage(until, until)]
tableOf('the proof that a renewal is possible', {
  'a cycle without a link gets one, message or not': {
    renewal: {},
    messages: first,
    now: '-13d',
    is: 'renew link by reauth',
  },
  'seven days after the last one': {
    links: [aLink('+14d')],
    messages: all('+7d'),
    now: '+21d',
    is: 'renew link by reauth',
  },
  'a second less': { links: [aLink('+14d')], messages: all('+7d'), now: '+21d -1s', is: 'wait +21d', because: 'proof' },
  'at the expiry, however young': {
    links: [aLink('-1h')],
    messages: [...first, aMessage('0d', '-1h')],
    now: '0d',
    is: 'renew link by reauth',
  },
  'a second before the expiry': {
    links: [aLink('-1h')],
    messages: [...first, aMessage('0d', '-1h')],
    now: '-1s',
    is: 'wait 0d',
  },
  'once at the expiry': {
    links: [aLink('0d')],
    messages: [...first, aMessage('0d', '0d')],
    now: '+1s',
    is: 'wait +7d',
    because: 'next message',
  },
  'a link the user asked for counts': {
    links: [aLink('0d'), aLink('+10d', { handedOutAt: at('+10d'), status: 'expired' })],
    messages: all('+7d'),
    now: '+12d',
    is: 'wait +17d',
  },
  'not at the end of grace': { links: [aLink('+84d')], messages: all('+83d'), now: '+85d', is: 'wait +90d' },
})

const ASK: Partial<Policy> = { routes: ['reauth', 'full'], afterGrace: 'ask-once' }
const FULL: Partial<Policy> = { routes: ['reauth', 'full'] }
tableOf('past grace', {
  'nothing unasked': { policy: FULL, messages: all('+83d'), links: [aLink('+83d')], now: '+90d', is: 'lapse' },
  'the policy asks once': {
    policy: ASK,
    messages: all('+83d'),
    links: [aLink('+83d')],
    now: '+90d',
    is: 'renew link by full and after-grace (reminder)',
  },
  'imported long past grace, the policy asks once': {
    policy: ASK,
    now: '+200d',
    is: 'renew link by full and after-grace (reminder)',
  },
  'not without the route full': { policy: { afterGrace: 'ask-once' }, now: '+90d', is: 'lapse' },
  'not without an address': { policy: ASK, consent: { email: undefined }, now: '+90d', is: 'lapse' },
  'asked: an answer is awaited': {
    policy: ASK,
    links: [aLink('+90d')],
    messages: [aMessage('after-grace', '+90d')],
    now: '+90d +1s',
    is: 'wait +120d',
    because: 'awaited',
  },
  'to the last second': {
    policy: ASK,
    links: [aLink('+90d')],
    messages: [aMessage('after-grace', '+90d')],
    now: '+120d -1s',
    is: 'wait +120d',
  },
  'then it lapses': {
    policy: ASK,
    links: [aLink('+90d')],
    messages: [aMessage('after-grace', '+90d')],
    now: '+120d',
    is: 'lapse',
  },
  'asked by hand before the expiry: the policy still asks once': {
    policy: ASK,
    renewal: { manualNo: 1 },
    links: [aLink('+83d')],
    messages: [aMessage('manual-1', '-20d')],
    now: '+90d',
    is: 'renew link by full and after-grace (reminder)',
  },
  'asked by hand past grace: that was the once': {
    policy: ASK,
    renewal: { manualNo: 1 },
    links: [aLink('+95d')],
    messages: [aMessage('manual-1', '+95d')],
    now: '+96d',
    is: 'wait +125d',
  },
  'a person asks, with the route full': {
    policy: FULL,
    renewal: { manualNo: 1 },
    now: '+95d',
    is: 'renew link by full and manual-1 (reminder)',
    because: 'by hand',
  },
  'a person asks, without it': { renewal: { manualNo: 1 }, now: '+95d', is: 'lapse' },
  'a person asked: thirty days for an answer': {
    policy: FULL,
    renewal: { manualNo: 1 },
    links: [aLink('+95d')],
    messages: [aMessage('manual-1', '+95d')],
    now: '+95d +1s',
    is: 'wait +125d',
  },
  'a code in vain past grace asks nobody again': {
    policy: FULL,
    renewal: { againNo: 1, againReason: 'asked-again' },
    links: [aLink('+90d')],
    now: '+91d',
    is: 'lapse',
  },
})

/** A code that came an hour before the end of grace and ended at `closed` without a renewal. */
const lateCode = (closed: string) => [
  aLink('+90d -65m', { status: 'refused', codeReceivedAt: at('+90d -1h'), closedAt: at(closed) }),
]
const failedOnce = { againNo: 1, againReason: 'asked-again' } as const
tableOf('a code that was out when grace ended', {
  'renewed nothing: asked once more by the route that is left': {
    policy: FULL,
    renewal: failedOnce,
    messages: all('+83d'),
    links: lateCode('+91d'),
    now: '+91d',
    is: 'renew link by full and again-1 (asked-again)',
    because: 'in vain before grace ended',
  },
  'was of another account: told so': {
    policy: FULL,
    renewal: { ...failedOnce, againReason: 'other-account' },
    links: [aLink('+90d -65m', { status: 'mismatched', codeReceivedAt: at('+90d -1h'), closedAt: at('+90d') })],
    now: '+90d',
    is: 'renew link by full and again-1 (other-account)',
  },
  'ended as grace did': {
    policy: FULL,
    renewal: failedOnce,
    links: lateCode('+90d'),
    now: '+90d',
    is: 'renew link by full and again-1 (asked-again)',
  },
  'ended a second before grace did, and nobody was told yet': {
    policy: FULL,
    renewal: failedOnce,
    links: lateCode('+90d -1s'),
    now: '+90d',
    is: 'renew link by full and again-1 (asked-again)',
  },
  'ended before grace did, and the user was told': {
    policy: FULL,
    renewal: failedOnce,
    links: lateCode('+90d -1m'),
    messages: [aMessage('again-1', '+90d -1m')],
    now: '+90d',
    is: 'lapse',
  },
  'renewed nothing, and no route is left: it lapses': {
    renewal: failedOnce,
    links: lateCode('+91d'),
    now: '+91d',
    is: 'lapse',
  },
  'renewed nothing, and there is no address: it lapses': {
    policy: FULL,
    consent: { email: undefined },
    renewal: failedOnce,
    links: lateCode('+91d'),
    now: '+91d',
    is: 'lapse',
  },
  'asked once more: seven days for an answer': {
    policy: FULL,
    renewal: failedOnce,
    links: [...lateCode('+91d'), aLink('+91d')],
    messages: [aMessage('again-1', '+91d')],
    now: '+91d +1s',
    is: 'wait +98d',
    because: 'an answer is awaited',
  },
  'to the last second of them': {
    policy: FULL,
    renewal: failedOnce,
    links: [...lateCode('+91d'), aLink('+91d')],
    messages: [aMessage('again-1', '+91d')],
    now: '+98d -1s',
    is: 'wait +98d',
  },
  'then it lapses': {
    policy: FULL,
    renewal: failedOnce,
    links: [...lateCode('+91d'), aLink('+91d')],
    messages: [aMessage('again-1', '+91d')],
    now: '+98d',
    is: 'lapse',
  },
  'where the policy asks once: that was the once, with its thirty days': {
    policy: ASK,
    renewal: failedOnce,
    links: [...lateCode('+91d'), aLink('+91d')],
    messages: [aMessage('again-1', '+91d')],
    now: '+98d',
    is: 'wait +121d',
  },
  'in vain again past grace: nobody is asked a second time': {
    policy: FULL,
    renewal: { ...failedOnce, againNo: 2 },
    links: [
      ...lateCode('+91d'),
      aLink('+92d', { route: 'full', status: 'refused', codeReceivedAt: at('+92d'), closedAt: at('+92d') }),
    ],
    messages: [aMessage('again-1', '+91d')],
    now: '+92d',
    is: 'wait +98d',
  },
})

const onlyAfter: Partial<Policy> = { ladder: [{ name: '+7d', days: 7 }] }
tableOf('unusual ladders', {
  'none: the cycle opens at the expiry': { policy: { ladder: [] }, now: '-1s', is: 'wait 0d' },
  'none: a link, no message': { policy: { ladder: [] }, now: '0d', is: 'renew link by reauth' },
  'only after the expiry: the window opens at the expiry': { policy: onlyAfter, now: '-1s', is: 'wait 0d' },
  'and the first link is made there': { policy: onlyAfter, now: '0d', is: 'renew link by reauth' },
  'an unknown time zone is UTC': { consent: { timeZone: 'Mars/Olympus' }, now: '-14d -1s', is: 'wait -14d' },
  'an empty time zone is UTC': {
    consent: { timeZone: '' },
    now: '-14d',
    is: 'renew link by reauth and -14d (reminder)',
  },
})

test('the trail names every rule looked at, in order, and the last one decided', () => {
  const facts = gatherFacts(aCycle({ links, messages: first }), at('-13d'), aPolicy())
  const { trail, next } = explainNextAction(facts)
  expect(trail.map(({ rule }) => rule)).toEqual([
    'status',
    'exchange in progress',
    'user at the bank',
    'grace window',
    'renewal window',
    'routes of the bank',
    'channel',
    'back-off',
    'owed',
    'next date',
  ])
  expect(trail.map(({ decided }) => decided)).toEqual([...Array.from({ length: 9 }, () => false), true])
  expect(trail.at(-1)?.detail).toBe(next.reason)
})
