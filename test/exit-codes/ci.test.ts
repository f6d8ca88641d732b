// `.ci/run` fails when any of its steps fails, by that step's own exit code: reports and their totals cannot make it
// pass.
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Ended, run } from './planted.ts'

const project = join(import.meta.dirname, '../..')

interface Planted {
  /** How a step ends, by the words after `npm`: with an exit code, by a signal to itself, or after a long wait. */
  readonly ends?: Readonly<Record<string, number | NodeJS.Signals | 'waits'>>
  /** How many failed tests the reports count, or that there is no report at all. */
  readonly failed?: number | 'no report'
  readonly sumTotals?: string
  readonly signal?: { readonly after: string; readonly name: NodeJS.Signals }
}

/** Stands in for npm: writes the report that the step should write, and ends as planted. */
const npm = ({ ends = {}, failed = 0 }: Planted): string => `#!${process.execPath}
const { writeFileSync } = require('node:fs')
const words = process.argv.slice(2)
const name = words.filter((word) => /^(test|check|run|chaos|ci)/.test(word)).at(-1)
const file = words.map((word) => /^--outputFile.json=(.*)$/.exec(word)?.[1]).find((path) => path !== undefined)
const failed = ${JSON.stringify(failed)}
const report = { numPassedTests: 3, numFailedTests: failed, testResults: [] }
if (file !== undefined && failed !== 'no report') writeFileSync(file, JSON.stringify(report))
const end = ${JSON.stringify(ends)}[name] ?? 0
console.log(name, 'ends')
if (end === 'waits') setInterval(() => undefined, 1000)
else if (typeof end === 'string') process.kill(process.pid, end)
else process.exitCode = end
`

const ci = async (planted: Planted = {}): Promise<Ended> => {
  const root = mkdtempSync(join(tmpdir(), 'reconsent-ci-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
  write('package.json', '{ "type": "module" }')
  write('bin/npm', npm(planted))
  write('bin/package.json', '{ "type": "commonjs" }')
  chmodSync(join(root, 'bin/npm'), 0o755)
  write('package-lock.json', '{}')
  // The lock file is older than what is installed, so nothing is to be installed.
  utimesSync(join(root, 'package-lock.json'), 1, 1)
  write('node_modules/.package-lock.json', '{}')
  mkdirSync(join(root, 'node_modules/.bin'))
  symlinkSync(process.execPath, join(root, 'node_modules/.bin/node'))
  for (const file of ['.ci/run', 'scripts/sum-totals.ts']) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    copyFileSync(join(project, file), join(root, file))
  }
  if (planted.sumTotals !== undefined) write('scripts/sum-totals.ts', planted.sumTotals)
  const env = { PATH: [join(root, 'bin'), process.env['PATH']].join(delimiter) }
  return run(['bash', '.ci/run'], {
    cwd: root,
    temporary: root,
    env,
    ...(planted.signal === undefined ? {} : { signal: planted.signal }),
  })
}

test('.ci/run passes when every step passes', async () => {
  const { code, output } = await ci()
  expect(output).toMatch(/\n9 passed, 0 failed\n$/)
  expect(code).toBe(0)
})

const steps = ['test', 'check', 'check:image', 'test:browser', 'test:crash', 'chaos']

test.each(steps)('.ci/run fails when %s fails, though no report has a failure', async (step) => {
  const { code, output } = await ci({ ends: { [step]: 1 } })
  expect(output).toMatch(/\n9 passed, 1 failed\n$/)
  expect(code).toBe(1)
})

test.each<[string, Planted]>([
  ['a runner was killed after it had written its report', { ends: { test: 'SIGKILL' } }],
  ['a step ended with a code of its own', { ends: { 'test:crash': 13 } }],
  ['the sum is wrong', { ends: { check: 1 }, sumTotals: 'console.log("9 passed, 0 failed")' }],
  ['the sum cannot be made', { sumTotals: 'throw new Error("planted")' }],
  ['a runner ended with 0 and its report tells of a failed test', { failed: 1 }],
  ['a runner ended with 0 and left no report', { failed: 'no report' }],
])('.ci/run fails when %s', async (_, planted) => {
  expect((await ci(planted)).code).not.toBe(0)
})

test.each<[NodeJS.Signals, number]>([
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGTERM', 143],
])('.ci/run is ended by %s, with %d, and ends the running step', async (name, code) => {
  const ended = await ci({ ends: { check: 'waits' }, signal: { after: 'check ends', name } })
  expect(ended.output).not.toMatch(/== image ==/)
  expect(ended.code).toBe(code)
})
