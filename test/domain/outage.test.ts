// How long a consent is delayed while something around it is unavailable: the table, the second before and after each
// boundary, and what ends the series.
import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import {
  failureKinds,
  isOutage,
  nextPollAfterOutage,
  outageNo,
  outageTable,
  delayAfterOutage,
  delayOfRecord,
} from '../../src/domain/outage.ts'
import { errorTable } from '../../src/errors.ts'

const utc = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })
const now = utc('2026-03-02T12:00:00')

describe('what is an outage', () => {
  test('every transient code is classified, except those that only messages and proofs have', () => {
    const others = ['message-unavailable', 'message-deferred', 'consent-suspended', 'not-proven']
    const transient = Object.entries(errorTable)
      .filter(([, { kind }]) => kind === 'transient')
      .map(([code]) => code)
    expect(Object.keys(failureKinds).toSorted()).toEqual(transient.filter((code) => !others.includes(code)).toSorted())
  })
  test.each(['link-unusable', 'link-rejected', 'internal', 'decryption-failed', 'no-such-code', 'toString'])(
    '%s is no outage',
    (code) => expect(isOutage(code)).toBe(false),
  )
})

describe('a consent whose job met an outage and used up the queue’s retries', () => {
  const table: Record<string, { no: number; minutes: number }> = {
    'the first time rests five minutes': { no: 1, minutes: 5 },
    'the second time a quarter of an hour': { no: 2, minutes: 15 },
    'the third time an hour': { no: 3, minutes: 60 },
    'the fourth time two': { no: 4, minutes: 120 },
    'and never longer': { no: 500, minutes: 120 },
    'not counted yet: as the first time': { no: 0, minutes: 5 },
  }
  test.each(Object.entries(table))('%s', (_, { no, minutes }) => {
    for (let id = 0; id < 200; id += 1) {
      const rest = delayAfterOutage({ no, key: `consent-${id}` }).as('minutes')
      expect(rest).toBeGreaterThanOrEqual(minutes * 0.9)
      expect(rest).toBeLessThanOrEqual(minutes * 1.1)
    }
  })

  test('a hundred thousand that failed in the same second do not come back in the same second', () => {
    const perSecond = new Map<number, number>()
    for (let id = 0; id < 100_000; id += 1) {
      const second = Math.floor(delayAfterOutage({ no: 1, key: `consent-${id}` }).as('seconds'))
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1)
    }
    expect(Math.max(...perSecond.values())).toBeLessThan(2_000)
    const asked = new Set(
      Array.from({ length: 1_000 }, (_, id) =>
        Math.floor(delayAfterOutage({ no: 1, key: `${id}`, retryAfterMs: 600_000 }).as('seconds')),
      ),
    )
    expect(asked.size).toBeGreaterThan(55)
  })

  const asked: Record<string, { no: number; retryAfterMs: number; least: number; most: number }> = {
    'Retry-After shorter than the rest changes nothing': { no: 1, retryAfterMs: 60_000, least: 270, most: 330 },
    'Retry-After longer than the rest is kept, never undercut': { no: 1, retryAfterMs: 900_000, least: 900, most: 990 },
    'Retry-After of a day is kept': { no: 4, retryAfterMs: 86_400_000, least: 86_400, most: 95_040 },
    'Retry-After of nothing': { no: 1, retryAfterMs: 0, least: 270, most: 330 },
  }
  test.each(Object.entries(asked))('%s', (_, { no, retryAfterMs, least, most }) => {
    for (let id = 0; id < 200; id += 1) {
      const rest = delayAfterOutage({ no, key: `consent-${id}`, retryAfterMs }).as('seconds')
      expect(rest).toBeGreaterThanOrEqual(least)
      expect(rest).toBeLessThanOrEqual(most)
    }
  })
})

describe('the number of an outage in its series', () => {
  const table: Record<string, { outages: number; retryAfter?: string; manual?: boolean; no: number }> = {
    'never one before: the first': { outages: 0, no: 1 },
    'one before, its rest just over: the second': { outages: 1, retryAfter: '2026-03-02T12:00:00', no: 2 },
    'one before, its rest not over yet (the button of the board, an import): the second': {
      outages: 1,
      retryAfter: '2026-03-02T12:04:00',
      no: 2,
    },
    'a second less than a day after its rest: the same row': { outages: 2, retryAfter: '2026-03-01T12:00:01', no: 3 },
    'a day after its rest: a new row': { outages: 2, retryAfter: '2026-03-01T12:00:00', no: 1 },
    'weeks after: a new row': { outages: 4, retryAfter: '2026-02-01T12:00:00', no: 1 },
    'counted, but with no rest on record: a new row': { outages: 4, no: 1 },
    'a person’s retry is the first where there was none': { outages: 0, manual: true, no: 1 },
    'a person’s retry uses nothing up': { outages: 2, retryAfter: '2026-03-02T12:10:00', manual: true, no: 2 },
  }
  test.each(Object.entries(table))('%s', (_, { outages, retryAfter, manual = false, no }) =>
    expect(outageNo({ outages, retryAfter: retryAfter === undefined ? undefined : utc(retryAfter) }, now, manual)).toBe(
      no,
    ),
  )
})

describe('an exchange in doubt, the provider unavailable when it was polled', () => {
  const rows: Record<string, { since: string; planned: string; least: number; most: number }> = {
    'just begun: in five minutes': {
      since: '2026-03-02T12:00:00',
      planned: '2026-03-02T13:00:00',
      least: 4.5,
      most: 5.5,
    },
    'at six minutes: as long again': {
      since: '2026-03-02T11:54:00',
      planned: '2026-03-02T12:54:00',
      least: 5.4,
      most: 6.6,
    },
    'at half an hour: as long again, or at its own date': {
      since: '2026-03-02T11:30:00',
      planned: '2026-03-02T12:30:00',
      least: 27,
      most: 30,
    },
    'at six hours: an hour': { since: '2026-03-02T06:00:00', planned: '2026-03-03T06:00:00', least: 54, most: 66 },
    'never later than its own date': {
      since: '2026-03-02T11:59:59',
      planned: '2026-03-02T12:01:00',
      least: 1,
      most: 1,
    },
  }
  test.each(Object.entries(rows))('%s', (_, { since, planned, least, most }) => {
    for (let id = 0; id < 100; id += 1) {
      const wait = nextPollAfterOutage({ since: utc(since), now, planned: utc(planned), key: `${id}` })
        .diff(now)
        .as('minutes')
      expect(wait).toBeGreaterThanOrEqual(least)
      expect(wait).toBeLessThanOrEqual(most)
    }
  })
})

test('any other record whose job used up its retries: 5 minutes for an outage, 15 for a fault of ours', () => {
  expect(['database-unavailable', 'timed-out', 'internal'].map((code) => delayOfRecord(code).as('minutes'))).toEqual([
    5, 5, 15,
  ])
  expect(outageTable.map((rest) => rest.as('minutes'))).toEqual([5, 15, 60, 120])
})
