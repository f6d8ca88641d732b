import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { type Phase, phaseOf } from '../../src/domain/phase.ts'

const utc = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })
const dates = {
  windowOpensAt: utc('2026-05-17T12:00:00'),
  expiresAt: utc('2026-05-31T12:00:00'),
  graceEndsAt: utc('2026-08-29T12:00:00'),
}

describe('a consent', () => {
  const table: Record<string, { now: string; phase: Phase }> = {
    'long before its window is healthy': { now: '2026-03-02T12:00:00', phase: 'healthy' },
    'a second before its window opens is healthy': { now: '2026-05-17T11:59:59', phase: 'healthy' },
    'is due the moment its window opens': { now: '2026-05-17T12:00:00', phase: 'due' },
    'is due a second after its window opened': { now: '2026-05-17T12:00:01', phase: 'due' },
    'is due a second before its expiry': { now: '2026-05-31T11:59:59', phase: 'due' },
    'is in grace the moment it expires': { now: '2026-05-31T12:00:00', phase: 'in-grace' },
    'is in grace a second after it expired': { now: '2026-05-31T12:00:01', phase: 'in-grace' },
    'is in grace a second before the grace ends': { now: '2026-08-29T11:59:59', phase: 'in-grace' },
    'is lapsed the moment the grace ends': { now: '2026-08-29T12:00:00', phase: 'lapsed' },
    'stays lapsed': { now: '2030-01-01T00:00:00', phase: 'lapsed' },
  }
  test.each(Object.entries(table))('%s', (_, { now, phase }) => expect(phaseOf(dates, utc(now))).toBe(phase))

  test('is judged by the instant, whatever the zone of the clock', () =>
    expect(phaseOf(dates, DateTime.fromISO('2026-06-01T00:00:00', { zone: 'Pacific/Auckland' }))).toBe('in-grace'))

  test('with reminders only after expiry is never due', () => {
    const late = { ...dates, windowOpensAt: utc('2026-06-07T12:00:00') }
    expect(phaseOf(late, utc('2026-05-31T11:59:59'))).toBe('healthy')
    expect(phaseOf(late, utc('2026-05-31T12:00:00'))).toBe('in-grace')
  })

  test('without grace lapses at its expiry', () => {
    const none = { ...dates, graceEndsAt: dates.expiresAt }
    expect(phaseOf(none, utc('2026-05-31T11:59:59'))).toBe('due')
    expect(phaseOf(none, utc('2026-05-31T12:00:00'))).toBe('lapsed')
  })
})
