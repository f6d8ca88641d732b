// A failing run is reported as failing: the exit code of every command that runs tests, with one failure planted in
// each.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { nothingIsLeft, npmRun, plant } from './planted.ts'

vi.setConfig({ testTimeout: 120_000 })

const testOf = (body: string): string => `import { expect, test } from 'vitest'
test('planted', async () => {
  ${body}
})
`

test.each<[string, string, string, number, RegExp]>([
  ['test', 'test/planted/a.test.ts', 'expect(1).toBe(1)', 0, /1 passed/],
  ['test', 'test/planted/a.test.ts', 'expect(1).toBe(2)', 1, /1 failed/],
  [
    'test',
    'test/planted/a.test.ts',
    'expect(1).toBe(1); void Promise.reject(new Error("nobody waits"))',
    1,
    /nobody waits/,
  ],
  [
    'test',
    'test/planted/a.test.ts',
    `process.kill(process.pid, 'SIGKILL'); await new Promise(() => undefined)`,
    1,
    /SIGKILL|exited unexpectedly/,
  ],
  [
    'test',
    'test/planted/a.test.ts',
    `setTimeout(() => { throw new Error('nobody catches') }); await new Promise((resolve) => setTimeout(resolve, 50))`,
    1,
    /nobody catches/,
  ],
  ['test', 'test/planted/a.test.ts', 'process.exit(0)', 1, /1 failed/],
  ['test:crash', 'test/crash/planted.test.ts', 'expect(1).toBe(2)', 1, /1 failed/],
  ['test:browser', 'test/browser/planted.test.ts', 'expect(1).toBe(2)', 1, /1 failed/],
])('npm run %s on %s: %s ends with %d', async (script, file, body, code, says) => {
  const copy = plant([], { [file]: testOf(body) })
  const ended = await npmRun(copy, [script, '--', file])
  expect(ended.output).toMatch(says)
  expect(ended.code).toBe(code)
})

test.each(['SIGINT', 'SIGTERM'] as const)(
  'npm test, interrupted by %s, does not pass and leaves nothing',
  async (name) => {
    const file = 'test/planted/a.test.ts'
    const copy = plant([], { [file]: testOf('console.log("it runs"); await new Promise(() => undefined)') })
    const ended = await npmRun(copy, ['test', '--', file], { signal: { after: 'it runs', name } })
    expect(ended.code).not.toBe(0)
    await nothingIsLeft(copy)
  },
)

test('npm run test:mutants ends with 1 when a mutant survives, with 1 when there is no such mutant', async () => {
  const find = `replace: "input.known.source !== 'assumed'"`
  const harmless = `replace: "input.known.source === ('me' as string)"`
  const copy = plant([{ file: 'test/mutants/list/renewals.ts', find, replace: harmless }])
  // The command copies the copy from the files that git lists.
  execFileSync('git', ['init', '--quiet'], { cwd: copy.tree })
  copy.write(join('.git', 'info', 'exclude'), 'node_modules\n')
  const survived = await npmRun(copy, ['test:mutants', '--', '--only', 'proof-by-any-later-date'])
  expect(survived.output).toMatch(/proof-by-any-later-date: survived/)
  expect(survived.code).toBe(1)
  expect((await npmRun(copy, ['test:mutants', '--', '--only', 'planted'])).code).toBe(1)
})
