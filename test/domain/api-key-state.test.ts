// Whether a key is good: the millisecond before, at and after its end.
import { DateTime } from 'luxon'
import { expect, test } from 'vitest'
import { stateOfKey } from '../../src/domain/api-key-state.ts'

const END = DateTime.fromISO('2026-12-03T12:00:00Z', { zone: 'utc' })
const before = END.minus({ milliseconds: 1 })
const after = END.plus({ milliseconds: 1 })

test.each<[string, Parameters<typeof stateOfKey>[0], DateTime, string]>([
  ['never ends', { expiresAt: undefined }, after, 'living'],
  ['has not ended yet', { expiresAt: END }, before, 'living'],
  ['ends at this instant', { expiresAt: END }, END, 'expired'],
  ['has ended', { expiresAt: END }, after, 'expired'],
  ['is revoked at this instant', { expiresAt: undefined, revokedAt: END }, END, 'revoked'],
  ['is to be revoked', { expiresAt: undefined, revokedAt: END }, before, 'living'],
  ['was revoked and has expired since', { expiresAt: END, revokedAt: before }, after, 'revoked'],
])('a key that %s', (_, key, now, state) => {
  expect(stateOfKey(key, now)).toBe(state)
})
