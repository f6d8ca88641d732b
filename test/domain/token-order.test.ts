import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { tokenOrder } from '../../src/domain/token-order.ts'

const at = (seconds: number): DateTime => DateTime.fromSeconds(1_800_000_000 + seconds, { zone: 'utc' })

/** In seconds; undefined where nothing is known. */
interface Row {
  /** The current token. */
  issued?: number
  accepted?: number
  /** The candidate. */
  arrived?: number
  claims?: number
  first: 'current' | 'candidate'
}

const table: Record<string, Row> = {
  'no candidate': { accepted: 0, first: 'current' },
  'a candidate that came a second before the last acceptance': { accepted: 10, arrived: 9, first: 'current' },
  'a candidate that came with the last acceptance': { accepted: 10, arrived: 10, first: 'current' },
  'a candidate that came a second after the last acceptance': { accepted: 10, arrived: 11, first: 'candidate' },
  'a candidate beside a token that was never accepted': { arrived: 0, first: 'candidate' },
  'a candidate that was issued a second later, and came before the acceptance': {
    issued: 5,
    accepted: 10,
    arrived: 9,
    claims: 6,
    first: 'candidate',
  },
  'a candidate that was issued a second earlier, and came after the acceptance: a stale export': {
    issued: 5,
    accepted: 10,
    arrived: 11,
    claims: 4,
    first: 'current',
  },
  'issued in the same second, the arrival decides': {
    issued: 5,
    accepted: 10,
    arrived: 11,
    claims: 5,
    first: 'candidate',
  },
  'issued in the same second, and come before the acceptance': {
    issued: 5,
    accepted: 10,
    arrived: 9,
    claims: 5,
    first: 'current',
  },
  'the date of issue of the candidate alone decides nothing': {
    accepted: 10,
    arrived: 9,
    claims: 20,
    first: 'current',
  },
  'nor does that of the current token': { issued: 20, accepted: 10, arrived: 11, first: 'candidate' },
}

describe('tried first', () => {
  test.each(Object.entries(table))('%s', (_, { issued, accepted, arrived, claims, first }) => {
    const order = tokenOrder({
      tokenIssuedAt: issued === undefined ? undefined : at(issued),
      tokenAcceptedAt: accepted === undefined ? undefined : at(accepted),
      candidate:
        arrived === undefined
          ? undefined
          : { version: 1, arrivedAt: at(arrived), issuedAt: claims === undefined ? undefined : at(claims) },
    })
    expect(order[0]).toBe(first)
    expect([...order].sort()).toEqual(arrived === undefined ? ['current'] : ['candidate', 'current'])
  })
})
