import { describe, expect, test } from 'vitest'
import { replay, type ReplayedEvent } from '../../src/domain/replay.ts'

const event = (type: string, data: Record<string, unknown> = {}): ReplayedEvent => ({ type, data })
const imported = event('consent.imported', { status: 'active', cycle: 1 })

const lives: Record<string, [events: ReplayedEvent[], status: string, cycle: number]> = {
  'nothing yet: what a consent is created as': [[], 'active', 1],
  imported: [[imported], 'active', 1],
  'imported by a full authentication, which names neither': [
    [event('consent.imported', { supersedes: 'x' })],
    'active',
    1,
  ],
  'asked and asked again': [
    [
      imported,
      event('renewal.opened', { cycle: 1 }),
      event('link.made'),
      event('message.queued'),
      event('message.sent'),
    ],
    'active',
    1,
  ],
  'renewed: the next cycle': [
    [imported, event('renewal.opened', { cycle: 1 }), event('consent.renewed', { cycle: 1 })],
    'active',
    2,
  ],
  'renewed by another connection, then superseded': [
    [imported, event('consent.renewed', { cycle: 1, by: 'new' }), event('consent.superseded', { by: 'new' })],
    'superseded',
    1,
  ],
  paused: [[imported, event('consent.paused')], 'paused', 1],
  'paused, and renewed by a code in hand': [
    [imported, event('consent.paused'), event('consent.renewed', { cycle: 1 })],
    'active',
    2,
  ],
  'resumed into the same cycle': [
    [imported, event('consent.paused'), event('consent.resumed', { cycle: 1 })],
    'active',
    1,
  ],
  quarantined: [[imported, event('consent.quarantined')], 'quarantined', 1],
  'released into the next cycle': [
    [imported, event('consent.unsupported'), event('consent.released', { from: 'unsupported', cycle: 2 })],
    'active',
    2,
  ],
  lapsed: [[imported, event('consent.lapsed')], 'lapsed', 1],
  'lapsed, asked for by hand': [
    [imported, event('consent.lapsed'), event('renewal.requested', { cycle: 1 })],
    'active',
    1,
  ],
  'renewed, asked for by hand early: its renewal opens the cycle': [
    [imported, event('renewal.opened', { cycle: 2 }), event('renewal.requested', { cycle: 2 })],
    'active',
    2,
  ],
  'lapsed, renewed late': [[imported, event('consent.lapsed'), event('consent.renewed', { cycle: 1 })], 'active', 2],
  'lapsed, repaired by an import': [
    [imported, event('consent.lapsed'), event('consent.repaired', { cycle: 1, status: 'active' })],
    'active',
    2,
  ],
  'paused, repaired by an import: still paused': [
    [imported, event('consent.paused'), event('consent.repaired', { cycle: 1, status: 'paused' })],
    'paused',
    2,
  ],
  'updated by an import: nothing of this': [
    [imported, event('consent.paused'), event('consent.updated', { fields: ['email'] })],
    'paused',
    1,
  ],
  'taken over by a full authentication': [
    [imported, event('consent.lapsed'), event('consent.updated', { status: 'active', supersedes: 'x' })],
    'active',
    1,
  ],
  'closed for good': [[imported, event('consent.closed', { as: 'opted_out' })], 'opted_out', 1],
  'an event of a later release': [[imported, event('consent.blessed', { status: 'paused', cycle: 9 })], 'active', 1],
  'an event called like a method': [[imported, event('toString')], 'active', 1],
}

describe('replay', () => {
  test.each(Object.entries(lives))('%s', (_name, [events, status, cycle]) => {
    expect(replay(events)).toEqual({ status, cycle })
  })
})
