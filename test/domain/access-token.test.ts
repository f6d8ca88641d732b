import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { type AccessFacts, isStillOfUse, nextAccessStep } from '../../src/domain/access-token.ts'
import { aConsent } from '../builders.ts'

const NOW = DateTime.fromISO('2026-03-01T12:00:00Z', { zone: 'utc' })
const inMinutes = (minutes: number, seconds = 0): DateTime => NOW.plus({ minutes, seconds })
const consent = (over: Partial<ReturnType<typeof aConsent>> = {}) =>
  aConsent({ expiresAt: NOW.plus({ days: 30 }), ...over })
const facts = (over: Partial<AccessFacts> = {}): AccessFacts => ({
  consent: consent(),
  cached: undefined,
  rests: undefined,
  isRefreshing: false,
  isCodeFirst: false,
  ...over,
})
const cached = (minutes: number, seconds = 0, isLatest = true) => ({ endsAt: inMinutes(minutes, seconds), isLatest })
const rejectedOnce = { lastErrorCode: 'token-rejected', retryAfter: inMinutes(5) }
const newer = { version: 1, arrivedAt: inMinutes(-1), issuedAt: undefined }

describe('the next step for an access token', () => {
  test.each<[string, Partial<AccessFacts>, object]>([
    ['nothing is there', {}, { do: 'refresh' }],
    ['a second more than five minutes are left', { cached: cached(5, 1) }, { do: 'answer' }],
    ['five minutes are left', { cached: cached(5) }, { do: 'refresh' }],
    ['it has ended', { cached: cached(-1) }, { do: 'refresh' }],
    ['another call may have ended it', { cached: cached(50, 0, false) }, { do: 'refresh' }],
    ['an import came since', { cached: cached(50), consent: consent({ candidate: newer }) }, { do: 'refresh' }],
    [
      'the provider has accepted ours after the import',
      { cached: cached(50), consent: consent({ candidate: newer, tokenAcceptedAt: NOW }) },
      { do: 'answer' },
    ],
    ['somebody refreshes', { isRefreshing: true }, { do: 'wait', for: 'refresh' }],
    ['somebody refreshes, and it is there', { isRefreshing: true, cached: cached(50) }, { do: 'answer' }],
    ['a code is out', { isCodeFirst: true }, { do: 'wait', for: 'code' }],
    ['the provider asked us to wait', { rests: { until: inMinutes(1) } }, { do: 'rest', why: 'no-answer' }],
    ['the wait is over', { rests: { until: NOW } }, { do: 'refresh' }],
    ['it was rejected once', { consent: consent(rejectedOnce) }, { do: 'rest', why: 'first-rejection' }],
    ['five minutes later', { consent: consent({ ...rejectedOnce, retryAfter: NOW }) }, { do: 'refresh' }],
    [
      'it waited for a token, and one was accepted since',
      { consent: consent({ ...rejectedOnce, retryAfter: inMinutes(600) }) },
      { do: 'refresh' },
    ],
    [
      'the connection waits for a token',
      { consent: consent({ ...rejectedOnce, tokenRejectedAt: inMinutes(-60) }) },
      { do: 'reject' },
    ],
    [
      'links rest after an outage',
      { consent: consent({ lastErrorCode: 'provider-failed', retryAfter: inMinutes(5) }) },
      { do: 'refresh' },
    ],
    ['a second before its end', { consent: consent({ expiresAt: NOW.plus({ seconds: 1 }) }) }, { do: 'refresh' }],
    ['at its end', { consent: consent({ expiresAt: NOW }), cached: cached(50) }, { do: 'refuse' }],
    ['paused', { consent: consent({ status: 'paused' }), cached: cached(50) }, { do: 'refuse' }],
  ])('%s', (_, over, step) => expect(nextAccessStep(facts(over), NOW)).toMatchObject(step))
})

test('what is about to end is of use until 30 seconds before', () => {
  expect([31, 30, -5].map((seconds) => isStillOfUse(cached(0, seconds), NOW))).toEqual([true, false, false])
  expect(isStillOfUse(undefined, NOW)).toBe(false)
})
