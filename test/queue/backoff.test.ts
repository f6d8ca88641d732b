import { expect, test } from 'vitest'
import { TransientError } from '../../src/errors.ts'
import { MAX_BACKOFF, pacedBackoff } from '../../src/queue/backoff.ts'
import { failureOf, storedError } from '../../src/queue/failure.ts'

type Job = Parameters<typeof pacedBackoff>[3]
const job = { opts: { backoff: { type: 'paced', delay: 5_000 } } } as unknown as Job
const asked = (retryAfterMs: number) =>
  storedError(failureOf(new TransientError('provider-rate-limited', { retryAfterMs })), true)

test('doubles from the base, within a fifth', async () => {
  for (const [attempt, about] of [
    [1, 5_000],
    [2, 10_000],
    [3, 20_000],
  ] as const) {
    const wait = await pacedBackoff(attempt, 'paced', undefined, job)
    expect(wait).toBeGreaterThanOrEqual(about * 0.8)
    expect(wait).toBeLessThanOrEqual(about * 1.2)
  }
})

test('never sooner than asked, never longer than minutes', async () => {
  expect(await pacedBackoff(1, 'paced', asked(60_000), job)).toBe(60_000)
  expect(await pacedBackoff(1, 'paced', asked(86_400_000), job)).toBe(MAX_BACKOFF)
  expect(await pacedBackoff(30, 'paced', undefined, job)).toBe(MAX_BACKOFF)
})
