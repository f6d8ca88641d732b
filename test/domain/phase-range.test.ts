// A consent of a phase expires in the range that the phase is looked for in, whatever the policy and the bank.
import fc from 'fast-check'
import { DateTime, Duration } from 'luxon'
import { expect, test } from 'vitest'
import { gatherFacts } from '../../src/domain/next-action.ts'
import { expiriesOf } from '../../src/domain/phase-range.ts'
import { aloneOf } from '../../src/presentation/consent-json.ts'
import { aConsent, aPolicy } from '../builders.ts'

const NOW = DateTime.fromISO('2026-03-28T12:00:00Z', { zone: 'utc' })
const rung = fc.integer({ min: -60, max: 40 }).map((days) => ({ name: `${days}d`, days }))

test('every consent lies in the range of its phase', () => {
  fc.assert(
    fc.property(
      fc.record({
        minutes: fc.integer({ min: -400 * 1440, max: 400 * 1440 }),
        ladder: fc.uniqueArray(rung, { maxLength: 4, selector: ({ days }) => days }),
        grace: fc.integer({ min: 0, max: 120 }),
        spread: fc.integer({ min: 0, max: 72 }),
        timeZone: fc.constantFrom('Europe/London', 'Pacific/Kiritimati', 'America/Los_Angeles'),
        quiet: fc.boolean(),
        key: fc.constantFrom('uk-ob-monzo', 'GB'),
      }),
      ({ minutes, ladder, grace, spread, timeZone, quiet, key }) => {
        const policy = aPolicy({
          ladder: ladder.toSorted((a, b) => a.days - b.days),
          spread: spread === 0 ? false : Duration.fromObject({ hours: spread }),
          providers: { [key]: { grace: Duration.fromObject({ days: grace }) } },
          ...(quiet ? { quietHours: { from: '20:00', to: '09:00' } as never } : { quietHours: false }),
        })
        const expiresAt = NOW.plus({ minutes })
        const consent = aConsent({ expiresAt, timeZone, providerId: 'uk-ob-monzo', country: 'GB' })
        const { phase } = gatherFacts(aloneOf(consent), NOW, policy)
        const { from, before } = expiriesOf(phase, NOW, policy)
        expect(from === undefined || from <= expiresAt, `${phase} from`).toBe(true)
        expect(before === undefined || expiresAt < before, `${phase} before`).toBe(true)
      },
    ),
    { numRuns: 2_000 },
  )
})
