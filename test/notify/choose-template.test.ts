import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { chooseTemplate, type Occasion } from '../../src/notify/choose-template.ts'

const at = (iso: string): DateTime => DateTime.fromISO(iso, { zone: 'utc' })
const occasion = (over: Partial<Occasion>): Occasion => ({
  rung: '-7d',
  expiresAt: at('2026-11-10T12:00:00Z'),
  graceEndsAt: at('2027-02-08T12:00:00Z'),
  now: at('2026-11-03T12:00:00Z'),
  situation: 'reminder',
  timeZone: 'UTC',
  ...over,
})

const table: Record<string, [Partial<Occasion>, string]> = {
  'a week before': [{}, 'before-expiry'],
  'the last second of the day before': [{ rung: '-1d', now: at('2026-11-09T23:59:59Z') }, 'before-expiry'],
  'the first second of the last day': [{ rung: '0d', now: at('2026-11-10T00:00:00Z') }, 'last-day'],
  'a second before expiry': [{ rung: '0d', now: at('2026-11-10T11:59:59Z') }, 'last-day'],
  'at expiry': [{ rung: '0d', now: at('2026-11-10T12:00:00Z') }, 'expired'],
  'the last rung moved by quiet hours to the evening before': [
    { rung: '0d', expiresAt: at('2026-11-10T03:00:00Z'), now: at('2026-11-09T19:30:00Z') },
    'before-expiry',
  ],
  'today is the day of the user: still yesterday in New York': [
    {
      rung: '0d',
      expiresAt: at('2026-11-10T12:00:00Z'),
      now: at('2026-11-10T03:00:00Z'),
      timeZone: 'America/New_York',
    },
    'before-expiry',
  ],
  'today is the day of the user: from midnight in Auckland': [
    { rung: '-1d', now: at('2026-11-10T11:00:00Z'), timeZone: 'Pacific/Auckland' },
    'last-day',
  ],
  'and not a second earlier': [
    { rung: '-1d', now: at('2026-11-10T10:59:59Z'), timeZone: 'Pacific/Auckland' },
    'before-expiry',
  ],
  'an unknown zone counts as UTC': [{ rung: '0d', now: at('2026-11-10T01:00:00Z'), timeZone: 'Mars/Base' }, 'last-day'],
  'a month after': [{ rung: '+30d', now: at('2026-12-10T12:00:00Z') }, 'expired'],
  'a second before the last ten days': [{ rung: '+60d', now: at('2027-01-29T11:59:59Z') }, 'expired'],
  'the last ten days': [{ rung: '+83d', now: at('2027-01-29T12:00:00Z') }, 'last-chance'],
  'a second before the end of grace': [{ rung: '+83d', now: at('2027-02-08T11:59:59Z') }, 'last-chance'],
  'the end of grace': [{ rung: 'manual-1', now: at('2027-02-08T12:00:00Z') }, 'after-grace'],
  'by hand, early': [{ rung: 'manual-1', now: at('2026-09-01T12:00:00Z') }, 'before-expiry'],
  'an old rung sent late is still true on its day': [{ rung: '-1d', now: at('2026-11-12T12:00:00Z') }, 'expired'],
  'asked again by its rung': [{ rung: 'again-2' }, 'asked-again'],
  'asked again by its situation': [{ situation: 'asked-again' }, 'asked-again'],
  'another account, named by its situation before its rung': [
    { rung: 'again-1', situation: 'other-account' },
    'other-account',
  ],
  'no result yet': [{ situation: 'uncertain', now: at('2026-12-10T12:00:00Z') }, 'uncertain'],
}

describe('which message fits', () => {
  for (const [name, [over, expected]] of Object.entries(table)) {
    test(`${name}: ${expected}`, () => expect(chooseTemplate(occasion(over))).toBe(expected))
  }
})
