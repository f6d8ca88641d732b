import { describe, expect, test } from 'vitest'
import { noAnswer } from '../../../src/provider/truelayer/failures.ts'

describe('a call without an answer', () => {
  test('is surely unsent only when a connection was seen to start and never opened', () => {
    expect(noAnswer('ECONNREFUSED', 'connecting').sent).toBe('no')
    expect(noAnswer('ECONNRESET', 'open').sent).toBe('maybe')
    expect(noAnswer('ECONNREFUSED', 'open').sent).toBe('maybe')
  })

  test('proves nothing when no connection was seen, whatever the code says', () => {
    expect(noAnswer('ECONNREFUSED', 'no-socket').sent).toBe('maybe')
  })

  for (const [cause, code] of [
    ['ETIMEDOUT', 'provider-timeout'],
    ['HPE_INVALID_CONSTANT', 'provider-garbled'],
    ['ERR_READING_RESPONSE_STREAM', 'provider-garbled'],
    ['ERR_HTTP_CONTENT_LENGTH_MISMATCH', 'provider-unreachable'],
    ['BODY_TOO_LARGE', 'provider-garbled'],
    ['ECONNRESET', 'provider-unreachable'],
    ['UNKNOWN', 'provider-unreachable'],
  ] as const) {
    test(`${cause} is ${code}`, () => expect(noAnswer(cause, 'open').code).toBe(code))
  }
})
