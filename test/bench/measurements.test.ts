// The measurements beside the bench itself, as npm starts them, with so few callbacks and consents that their figures
// mean nothing: that they still run, check what they should, and say it.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test, vi } from 'vitest'
import { sendAtRate } from '../../bench/load.ts'
import { judgeLevel, type Seen } from '../../bench/soak-verdict.ts'
import { quantileOf } from '../../bench/statistics.ts'

// Some 10 s each, and more on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

/** Rejects unless the program ends with 0. */
const outputOf = async (program: string, ...words: readonly string[]): Promise<string> => {
  const file = join(import.meta.dirname, '../../bench', program)
  return (await promisify(execFile)(process.execPath, [file, ...words], { timeout: 110_000 })).stdout
}

test('a few callbacks are timed on both sides, and found in the databases', async () => {
  const output = await outputOf('callbacks.ts', '--rate', '20', '--seconds', '1', '--burst', '20')
  for (const side of ['bare', 'reconsent'])
    expect(output).toMatch(
      new RegExp(`^${side}, 20 a second for 1 s: p50 [\\d.]+ ms, p99 [\\d.]+ ms, max [\\d.]+ ms; .*; no error$`, 'm'),
    )
  expect(output.match(/^ {2}burst of 20 connections: no error/gm)).toHaveLength(2)
  expect(output.match(/^ {2}every callback is stored once$/gm)).toHaveLength(2)
  expect(output).toMatch(/^p99 of Reconsent: [\d.]+ times that of the bare handler; of the middle 5 s [\d.]+ times$/m)
})

test('a sweep is timed in two databases of different sizes', async () => {
  const output = await outputOf('sweep.ts', '--stored', '1000,3000', '--due', '600', '--rounds', '2')
  expect(output).toMatch(/^1000 stored, 600 due: \d+ rows\/s \(\d+ to \d+\)$/m)
  expect(output).toMatch(/^3000 stored, 600 due: \d+ rows\/s \(\d+ to \d+\); a row costs [\d.]+ times as much$/m)
})

test('a soak of seconds renews everything, and shows what it has seen without judging it', async () => {
  const output = await outputOf('soak.ts', '--rate', '2', '--minutes', '0.05')
  expect(output).toMatch(/^0\.1 min: 6 renewed, due to renewed p50 \d+ ms, p99 \d+ ms; resident \d+ MB, heap \d+ MB, /m)
  expect(output).toMatch(/consents [\d.]+\+[\d.]+ \(\d+\), .*unsequenced_events/)
  expect(output).toMatch(/^all 6 consents are renewed, as the provider has them/m)
  expect(output).not.toMatch(/: ok|GROWS/)
})

test('a request counts from when it was meant to be sent, and one that nobody answers is a problem', async () => {
  const urls = ['http://127.0.0.1:1/', 'http://127.0.0.1:1/again']
  const { latenciesMs, lateMs, problems } = await sendAtRate(urls, 100)
  expect([...problems]).toEqual(urls.map((url) => [url, 'connect ECONNREFUSED 127.0.0.1:1']))
  for (const [index, late] of lateMs.entries()) expect(latenciesMs[index]).toBeGreaterThanOrEqual(late)
  for (const late of lateMs) expect(late).toBeGreaterThanOrEqual(0)
})

test('a quantile is the least value that enough of the others do not exceed', () => {
  const numbers = Array.from({ length: 100 }, (_, index) => 100 - index)
  expect([0.5, 0.99, 1].map((share) => quantileOf(numbers, share))).toEqual([50, 99, 100])
  expect(quantileOf([7], 0.01)).toBe(7)
  expect(quantileOf([], 0.5)).toBeNaN()
})

/** Of each second of 20 minutes, the first 200 seconds of which are the warm-up. */
const seenBy = (valueAt: (second: number) => number): readonly Seen[] =>
  Array.from({ length: 1_200 }, (_, second) => ({ second, value: valueAt(second) }))

test.each<[string, (second: number) => number, boolean]>([
  ['what stays level', () => 300, false],
  ['what rises in the warm-up alone', (second) => Math.min(second, 200), false],
  ['what rises by little', (second) => 300 + second / 100, false],
  ['what keeps rising', (second) => 300 + second / 10, true],
  ['what falls', (second) => 3_000 - second, false],
  ['what nobody has seen', () => Number.NaN, false],
])('whether it keeps growing: %s', (_, valueAt, grows) => {
  const level = { name: 'resident', unit: 'MB', seen: seenBy(valueAt), share: 0.5, limit: 1.15 }
  expect(judgeLevel(level, 1_200).grows).toBe(grows)
  expect(judgeLevel({ ...level, limit: undefined }, 1_200).grows).toBe(false)
})
