// Whether an earlier message may be sent now: at the second before, at and after each boundary.
import { describe, expect, test } from 'vitest'
import type { Policy } from '../../src/domain/policy.ts'
import { sendDecision } from '../../src/domain/send-decision.ts'
import { gatherFacts } from '../../src/domain/next-action.ts'
import { aPolicy } from '../builders.ts'
import { type Cycle, aCycle, aLink, aMessage, at, offsetOf } from './a-cycle.ts'

interface Row extends Cycle {
  /** When the message was made; its rung is -14d by default. */
  made?: string
  rung?: string
  due?: string
  now: string
  manual?: boolean
  revived?: boolean
  policy?: Partial<Policy>
  is: string
}

const standing = ({
  made = '-14d',
  rung = '-14d',
  due,
  now,
  manual = false,
  revived = false,
  policy,
  ...cycle
}: Omit<Row, 'is'>): string => {
  const message = aMessage(rung, made, { status: 'pending', sentAt: undefined, nextActionAt: at(due ?? made) })
  const view = aCycle({
    ...cycle,
    messages: [message, ...(cycle.messages ?? [])].toSorted((a, b) => a.createdAt.toMillis() - b.createdAt.toMillis()),
  })
  const answer = sendDecision(gatherFacts(view, at(now), aPolicy(policy), manual), message, { revived })
  return answer.kind === 'send'
    ? 'send'
    : answer.kind === 'wait'
      ? `wait ${offsetOf(answer.until)}`
      : `cancel: ${answer.reason}`
}

/** The expiry is at noon in UTC, and so is the rung `-14d`. */
const quiet: Partial<Policy> = { quietHours: { from: '20:00', to: '08:00' } }
const tables: Record<string, Record<string, Row>> = {
  'while it is wanted': {
    'at once': { now: '-14d', is: 'send' },
    'the day after': { now: '-13d', is: 'send' },
    'a second before its date': { due: '-14d +1m', now: '-14d +59s', is: 'wait -14d +1m' },
    'at its date': { due: '-14d +1m', now: '-14d +1m', is: 'send' },
    'before its date, a person asks': { due: '-14d +1m', now: '-14d +59s', manual: true, is: 'send' },
  },
  'when it is not': {
    'the consent was paused': {
      consent: { status: 'paused' },
      now: '-14d',
      is: 'cancel: the consent is paused, its renewal open',
    },
    'the cycle was renewed': {
      consent: { cycle: 2 },
      renewal: { status: 'renewed' },
      now: '-14d',
      is: 'cancel: the consent is active, its renewal renewed',
    },
    'a second before the end of grace': { made: '+83d', rung: '+83d', now: '+90d -1s', is: 'send' },
    'at the end of grace': { made: '+83d', rung: '+83d', now: '+90d', is: 'cancel: the grace window has ended since' },
    'asked past grace': { made: '+95d', rung: 'manual-1', now: '+95d +1m', is: 'send' },
    'a person asks for it past grace': {
      made: '+83d',
      rung: '+83d',
      now: '+90d',
      manual: true,
      revived: true,
      is: 'cancel: the grace window has ended since',
    },
  },
  'when another says it better': {
    'a second before the next rung': { now: '-7d -1s', is: 'send' },
    'at the next rung': { now: '-7d', is: 'cancel: message -7d is due by now and goes in its place' },
    'long after: the latest of them': { now: '-2d', is: 'cancel: message -3d is due by now and goes in its place' },
    'made since': {
      messages: [aMessage('manual-1', '-13d', { status: 'pending' })],
      now: '-13d',
      is: 'cancel: message manual-1 was made since',
    },
    'made since and failed': {
      messages: [aMessage('manual-1', '-13d', { status: 'failed' })],
      now: '-13d',
      is: 'send',
    },
    'made since and cancelled': {
      messages: [aMessage('manual-1', '-13d', { status: 'cancelled' })],
      now: '-13d',
      is: 'send',
    },
    'made before': { messages: [aMessage('manual-1', '-15d')], now: '-14d', is: 'send' },
    'a failed one that a person asks for again': {
      messages: [aMessage('-7d', '-7d')],
      now: '-6d',
      manual: true,
      revived: true,
      is: 'send',
    },
    'a pending one that a person asks for': {
      now: '-7d',
      manual: true,
      is: 'cancel: message -7d is due by now and goes in its place',
    },
  },
  'while the user is on the way': {
    'at the bank': { links: [aLink('-14d', { handedOutAt: at('-14d') })], now: '-14d +1799s', is: 'wait -14d +30m' },
    'half an hour later': { links: [aLink('-14d', { handedOutAt: at('-14d') })], now: '-14d +30m', is: 'send' },
    'twice: until the later one': {
      links: [aLink('-14d', { handedOutAt: at('-14d') }), aLink('-14d', { handedOutAt: at('-14d +10m') })],
      now: '-14d +20m',
      is: 'wait -14d +40m',
    },
    'an outcome is unknown': {
      links: [aLink('-14d', { status: 'in_doubt', codeReceivedAt: at('-14d') })],
      now: '-13d +7199s',
      is: 'wait -13d +2h',
    },
    'an hour after the last poll for a late date': {
      links: [aLink('-14d', { status: 'in_doubt', codeReceivedAt: at('-14d') })],
      now: '-13d +2h',
      is: 'send',
    },
    'a date may come late': {
      links: [aLink('-14d', { status: 'awaiting_date', codeReceivedAt: at('-14d') })],
      now: '-13d +7199s',
      is: 'wait -13d +2h',
    },
    'a date may come late, and a person asks': {
      links: [aLink('-14d', { status: 'awaiting_date', codeReceivedAt: at('-14d') })],
      now: '-14d +1h',
      manual: true,
      is: 'wait -13d +2h',
    },
    'a date that nobody could ask for': {
      links: [aLink('-14d', { status: 'awaiting_date', codeReceivedAt: at('-14d') })],
      now: '-13d +2h',
      is: 'send',
    },
    'at the bank, and a person asks': {
      links: [aLink('-14d', { handedOutAt: at('-14d') })],
      now: '-14d +1m',
      manual: true,
      is: 'wait -14d +30m',
    },
  },
  'in quiet hours': {
    'a second before them': { policy: quiet, now: '-14d +28799s', is: 'send' },
    'as they begin, made long before': { policy: quiet, now: '-14d +8h', is: 'wait -13d -4h' },
    'as they begin, made within the half hour': { policy: quiet, made: '-14d +451m', now: '-14d +8h', is: 'send' },
    'half an hour after it was made': { policy: quiet, made: '-14d +470m', now: '-14d +500m', is: 'wait -13d -4h' },
    'made within them': { policy: quiet, made: '-14d +8h', now: '-14d +481m', is: 'wait -13d -4h' },
    'to the last second': { policy: quiet, made: '-14d +8h', now: '-13d -14401s', is: 'wait -13d -4h' },
    'as they end': { policy: quiet, made: '-14d +8h', now: '-13d -4h', is: 'send' },
    'and a person asks': { policy: quiet, made: '-14d +8h', now: '-14d +9h', manual: true, is: 'wait -13d -4h' },
    'in a zone nobody knows: UTC': {
      policy: quiet,
      consent: { timeZone: 'Mars/Olympus' },
      made: '-14d +8h',
      now: '-14d +9h',
      is: 'wait -13d -4h',
    },
  },
}

describe.each(Object.entries(tables))('%s', (_, table) => {
  test.each(Object.entries(table))('%s', (__, row) => expect(standing(row)).toBe(row.is))
})
