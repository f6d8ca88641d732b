// One run of Vitest in a copy, in its own process group: it has a time limit, is ended as a whole, and is judged by its
// JSON report.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Copy } from './copy.ts'
import type { Judge } from './mutant.ts'

export interface Told {
  /** Relative to the copy. */
  readonly file: string
  readonly name: string
  readonly status: 'passed' | 'failed'
  /** The first line of the test's failure message. */
  readonly why: string | undefined
}

export interface Ran {
  /** Tests that passed or failed, not skipped ones. */
  readonly tests: readonly Told[]
  /**
   * Why the run proves nothing, whatever its tests report: a file that did not load, a hook that failed, no report, or
   * the time limit.
   */
  readonly broken: string | undefined
  readonly seconds: number
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

const KILLED_AFTER_MS = 3_000
const WORDS_SHOWN = 600

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)

/** Ends Vitest and all processes that it started: workers, PostgreSQL, Redis. */
const endGroup = async (child: ChildProcess): Promise<void> => {
  const signal = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name)
    } catch {
      // The group has ended already.
    }
  }
  signal('SIGTERM')
  if (child.exitCode === null && child.signalCode === null)
    await Promise.race([once(child, 'exit'), delay(KILLED_AFTER_MS)])
  signal('SIGKILL')
}

const readReport = (path: string): Report | undefined => {
  if (!existsSync(path)) return undefined
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Report
  } catch {
    return undefined
  }
}

/**
 * A test that fails is reported as failed; a file or a hook that fails keeps its tests from running, and none of them
 * is reported as failed.
 */
const brokenBy = (report: Report, tree: string): string | undefined => {
  const silent = report.testResults.find(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.every((one) => one.status !== 'failed'),
  )
  return silent === undefined
    ? undefined
    : `${silent.name.replace(`${tree}/`, '')} failed as a whole: ${silent.message.slice(0, WORDS_SHOWN)}`
}

/**
 * Runs these tests; if every judge has an `only`, no other tests of their files. When the signal aborts, ends the
 * processes that it started and rejects.
 */
export const runVitest = async (
  copy: Copy,
  judges: readonly Judge[],
  options: { seconds: number; signal: AbortSignal },
): Promise<Ran> => {
  const started = performance.now()
  const reportPath = join(copy.temporary, 'report.json')
  rmSync(reportPath, { force: true })
  const files = [...new Set(judges.map(({ file }) => file))]
  const titles = judges.flatMap(({ only }) => (only === undefined ? [] : [escaped(only)]))
  const named = titles.length === judges.length ? ['--testNamePattern', titles.join('|')] : []
  const vitest = join(copy.tree, 'node_modules/vitest/vitest.mjs')
  const args = [vitest, 'run', ...files, ...named, '--reporter=json', `--outputFile=${reportPath}`]
  const child = spawn(process.execPath, args, {
    cwd: copy.tree,
    env: { ...process.env, TMPDIR: copy.temporary, NODE_ENV: 'test', CI: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-WORDS_SHOWN)))
  const end = AbortSignal.any([options.signal, AbortSignal.timeout(options.seconds * 1000)])
  const exited = once(child, 'exit').then(() => 'exited' as const)
  const ended = new Promise<'ended'>((resolve) => end.addEventListener('abort', () => resolve('ended'), { once: true }))
  const how = end.aborted ? 'ended' : await Promise.race([exited, ended])
  await endGroup(child)
  options.signal.throwIfAborted()
  const seconds = (performance.now() - started) / 1000
  if (how === 'ended') return { tests: [], broken: `took longer than ${options.seconds} s`, seconds }
  const report = readReport(reportPath)
  if (report === undefined) return { tests: [], broken: `left no report: ${said.trim()}`, seconds }
  const tests = report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.flatMap(({ fullName, status, failureMessages = [] }): Told[] =>
      status === 'passed' || status === 'failed'
        ? [{ file: name.replace(`${copy.tree}/`, ''), name: fullName, status, why: failureMessages[0]?.split('\n')[0] }]
        : [],
    ),
  )
  return { tests, broken: brokenBy(report, copy.tree), seconds }
}
