// Whether a message is sent once more that its worker died over: at the second before, at and after each boundary.
import { describe, expect, test } from 'vitest'
import type { Notification } from '../../src/domain/model.ts'
import { gatherFacts } from '../../src/domain/next-action.ts'
import type { Policy } from '../../src/domain/policy.ts'
import { mostRepeats, repeatDecision } from '../../src/domain/repeat-decision.ts'
import { aPolicy } from '../builders.ts'
import { aCycle, aLink, aMessage, at, type Cycle, offsetOf } from './a-cycle.ts'

interface Row extends Cycle {
  /** When the message was made; its rung is -14d by default. */
  made?: string
  rung?: string
  /** What else the ledger says of the message. */
  message?: Partial<Notification>
  now: string
  manual?: boolean
  policy?: Partial<Policy>
  is: string
}

const standing = ({
  made = '-14d',
  rung = '-14d',
  message: over,
  now,
  manual = false,
  policy,
  ...cycle
}: Omit<Row, 'is'>): string => {
  const message = aMessage(rung, made, { status: 'sending', sentAt: undefined, nextActionAt: at(made), ...over })
  const messages = [message, ...(cycle.messages ?? [])].toSorted(
    (a, b) => a.createdAt.toMillis() - b.createdAt.toMillis(),
  )
  const facts = gatherFacts(aCycle({ ...cycle, messages }), at(now), aPolicy(policy), manual)
  const decision = repeatDecision(facts, message)
  if (decision.kind === 'repeat') return 'repeat'
  return decision.kind === 'wait' ? `wait ${offsetOf(decision.until)}` : `leave: ${decision.reason}`
}

const quiet: Partial<Policy> = { quietHours: { from: '20:00', to: '08:00' } }
const tables: Record<string, Record<string, Row>> = {
  'what the worker left': {
    'an intent and nothing else: within minutes': { now: '-14d +2m', is: 'repeat' },
    'the record that all of it had left': {
      message: { handedOverAt: at('-14d +1m') },
      now: '-14d +2m',
      is: 'leave: its last byte had left, and only the answer was missing',
    },
    'a repetition that was begun': {
      message: { repeatedAt: at('-14d +1m') },
      now: '-14d +2m',
      is: 'leave: it was repeated once',
    },
    'a repetition, and a person asks': {
      message: { repeatedAt: at('-14d +1m') },
      now: '-14d +2m',
      manual: true,
      is: 'leave: it was repeated once',
    },
    'the record that all of it had left, and a person asks': {
      message: { handedOverAt: at('-14d +1m') },
      now: '-14d +2m',
      manual: true,
      is: 'leave: its last byte had left, and only the answer was missing',
    },
  },
  'the next rung': {
    'is due in more than a day': { now: '-8d -1s', is: 'repeat' },
    'is due in a day': { now: '-8d', is: 'leave: message -7d is due within a day' },
    'is due in less': { now: '-8d +1s', is: 'leave: message -7d is due within a day' },
    'is due by now': { now: '-7d', is: 'leave: message -7d is due by now and goes in its place' },
    'does not exist, long after the last one': { made: '+83d', rung: '+83d', now: '+88d', is: 'repeat' },
    'a day before, for the rung a day before the expiry': {
      made: '-1d',
      rung: '-1d',
      now: '-1d +1m',
      is: 'leave: message 0d is due within a day',
    },
  },
  'other messages': {
    'one made since': {
      messages: [aMessage('manual-1', '-13d', { status: 'pending' })],
      now: '-13d +1m',
      is: 'leave: message manual-1 was made since',
    },
    'one made since, which failed': {
      messages: [aMessage('manual-1', '-13d', { status: 'failed' })],
      now: '-13d +1m',
      is: 'repeat',
    },
    'one that a person asked for, not made yet': {
      renewal: { manualNo: 1 },
      now: '-14d +2m',
      is: 'leave: message manual-1 is owed and goes in its place',
    },
    'one for a user who came back in vain, not made yet': {
      renewal: { againNo: 1, againReason: 'asked-again' },
      now: '-14d +2m',
      is: 'leave: the user came back in vain since: message again-1 goes in its place',
    },
  },
  'no longer wanted': {
    'opted out': {
      consent: { status: 'opted_out' },
      renewal: { status: 'cancelled' },
      now: '-14d +2m',
      is: 'leave: the consent is opted_out, its renewal cancelled',
    },
    renewed: {
      consent: { cycle: 2 },
      renewal: { status: 'renewed' },
      now: '-14d +2m',
      is: 'leave: the consent is active, its renewal renewed',
    },
    'past grace': { made: '+83d', rung: '+83d', now: '+90d', is: 'leave: the grace window has ended since' },
  },
  'not now': {
    'the consent is paused': { consent: { status: 'paused' }, now: '-14d +2m', is: 'wait -14d +62m' },
    'the consent is quarantined': { consent: { status: 'quarantined' }, now: '-14d +2m', is: 'wait -14d +62m' },
    'the user is at the bank': {
      links: [aLink('-14d', { handedOutAt: at('-14d') })],
      now: '-14d +1799s',
      is: 'wait -14d +30m',
    },
    'the user was at the bank': { links: [aLink('-14d', { handedOutAt: at('-14d') })], now: '-14d +30m', is: 'repeat' },
    'an outcome is in doubt': {
      links: [aLink('-14d', { status: 'in_doubt', codeReceivedAt: at('-14d') })],
      now: '-13d -1s',
      is: 'wait -13d +2h',
    },
    'quiet hours have begun': { policy: quiet, now: '-14d +8h', is: 'wait -13d -4h' },
    'quiet hours have begun, and it was made just before': {
      policy: quiet,
      made: '-14d +470m',
      now: '-14d +8h',
      is: 'repeat',
    },
    'a date of its own': { message: { nextActionAt: at('-14d +10m') }, now: '-14d +2m', is: 'wait -14d +10m' },
    'a date of its own, and a person asks': {
      message: { nextActionAt: at('-14d +10m') },
      now: '-14d +2m',
      manual: true,
      is: 'repeat',
    },
  },
}

describe.each(Object.entries(tables))('%s', (_, table) => {
  test.each(Object.entries(table))('%s', (__, row) => expect(standing(row)).toBe(row.is))
})

test.each([
  [0, 5],
  [599, 5],
  [600, 6],
  [2_000, 20],
])('of %i messages in an hour, %i may be repeats', (begun, most) => expect(mostRepeats(begun)).toBe(most))
