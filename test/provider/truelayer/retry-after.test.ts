import { expect, test } from 'vitest'
import { maxRetryAfterMs, retryAfterMs } from '../../../src/provider/truelayer/retry-after.ts'

const now = Date.parse('2026-11-02T10:00:00Z')
const tenMinutesSlow = 'Mon, 02 Nov 2026 09:50:00 GMT'
const cases: readonly [
  name: string,
  header: string | undefined,
  sentAt: string | undefined,
  expected: number | undefined,
][] = [
  ['absent', undefined, undefined, undefined],
  ['empty', ' ', undefined, undefined],
  ['seconds', '120', undefined, 120_000],
  ['zero', '0', undefined, 0],
  ['a fraction is not allowed', '1.5', undefined, undefined],
  ['a negative number is not allowed', '-1', undefined, undefined],
  ['more seconds than a day', '99999999999999999999', undefined, maxRetryAfterMs],
  ['a date, by our clock', 'Mon, 02 Nov 2026 10:00:30 GMT', undefined, 30_000],
  ['a date, by the sender’s clock', 'Mon, 02 Nov 2026 09:50:30 GMT', tenMinutesSlow, 30_000],
  ['a date, and a Date that is none', 'Mon, 02 Nov 2026 10:00:30 GMT', 'today', 30_000],
  ['the old date forms', 'Monday, 02-Nov-26 10:00:30 GMT', undefined, 30_000],
  ['the C form', 'Mon Nov  2 10:00:30 2026', undefined, 30_000],
  ['a date that has passed', 'Mon, 02 Nov 2026 09:00:00 GMT', undefined, 0],
  ['a date years away', 'Wed, 02 Nov 2033 10:00:00 GMT', undefined, maxRetryAfterMs],
  ['nonsense', 'in a minute', undefined, undefined],
]

for (const [name, header, sentAt, expected] of cases) {
  test(name, () => expect(retryAfterMs(header, sentAt, now)).toBe(expected))
}
