import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { isWaitingForToken, judgeRejection } from '../../src/domain/token-rejection.ts'

const NOW = DateTime.utc(2026, 11, 23, 10)
const never = { id: 'a', lastErrorCode: undefined, retryAfter: undefined, tokenRejectedAt: undefined }
const once = { ...never, lastErrorCode: 'token-rejected', retryAfter: NOW }
const own = { ...once, tokenRejectedAt: NOW.minus({ days: 1 }) }

describe('a rejection of every token', () => {
  test('the first time: five minutes, and nothing is told', () =>
    expect(judgeRejection(never, NOW)).toEqual({ until: NOW.plus({ minutes: 5 }), isOwn: false, tells: false }))

  test('after another failure it is the first time', () =>
    expect(judgeRejection({ ...once, lastErrorCode: 'provider-circuit-open' }, NOW)).toMatchObject({ isOwn: false }))

  test('again a second before the five minutes: no second time, and no longer rest', () => {
    const early = NOW.minus({ seconds: 1 })
    expect(judgeRejection(once, early)).toEqual({ until: NOW, isOwn: false, tells: false })
  })

  test('again at five minutes: the connection’s own, told once, then tried daily', () => {
    const first = judgeRejection(once, NOW)
    expect(first).toMatchObject({ isOwn: true, tells: true })
    expect(first.until.diff(NOW).as('hours')).toBeGreaterThan(21)
    expect(first.until.diff(NOW).as('hours')).toBeLessThan(27)
    expect(judgeRejection(own, NOW)).toMatchObject({ isOwn: true, tells: false, until: first.until })
  })

  test('of a token that came after the first time: its first time', () =>
    expect(judgeRejection({ ...once, retryAfter: undefined }, NOW)).toEqual({
      until: NOW.plus({ minutes: 5 }),
      isOwn: false,
      tells: false,
    }))

  test('of a token that came while the consent waited, and with which that was forgotten: its first time', () =>
    expect(judgeRejection({ ...own, retryAfter: undefined, tokenRejectedAt: undefined }, NOW)).toMatchObject({
      isOwn: false,
      tells: false,
    }))
})

test('a consent waits for a token while its last failure is that rejection, and it is its own', () => {
  expect(isWaitingForToken(own)).toBe(true)
  expect(isWaitingForToken(once)).toBe(false)
  expect(isWaitingForToken({ ...own, lastErrorCode: 'provider-failed' })).toBe(false)
  expect(isWaitingForToken({ ...own, lastErrorCode: undefined })).toBe(false)
})
