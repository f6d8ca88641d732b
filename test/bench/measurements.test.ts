// The measurements beside the bench itself, as npm starts them, with so few callbacks and consents that their figures
// mean nothing: that they still run, check what they should, and say it.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test, vi } from 'vitest'

// Some 10 s each, and more on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

/** Rejects unless the program ends with 0. */
const outputOf = async (program: string, ...words: readonly string[]): Promise<string> => {
  const file = join(import.meta.dirname, '../../bench', program)
  return (await promisify(execFile)(process.execPath, [file, ...words], { timeout: 110_000 })).stdout
}

test('a sweep is timed in two databases of different sizes', async () => {
  const output = await outputOf('sweep.ts', '--stored', '1000,3000', '--due', '600', '--rounds', '2')
  expect(output).toMatch(/^1000 stored, 600 due: \d+ rows\/s \(\d+ to \d+\)$/m)
  expect(output).toMatch(/^3000 stored, 600 due: \d+ rows\/s \(\d+ to \d+\); a row costs [\d.]+ times as much$/m)
})
