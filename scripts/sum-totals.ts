// Prints the last lines of a CI run: the result of each step, and the totals of all test runners in one plain line, `N
// passed, N failed`. Exits 1 when anything failed.
// Usage: node scripts/sum-totals.ts NAME:EXIT_CODE[:REPORT.json]…
import { existsSync, readFileSync } from 'node:fs'

export interface Step {
  readonly name: string
  readonly exitCode: number
  /** Vitest's JSON report; undefined for a step that runs no tests, or whose report is missing. */
  readonly report: Totals | undefined
}

interface Totals {
  readonly passed: number
  readonly failed: number
  /** Each failed test, and how the reason begins: the last thing that a reader of a long log sees. */
  readonly failures: readonly string[]
}

interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message?: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

/** Includes the second line, in which a property test gives its seed. */
const beginningOf = (text = 'no reason given'): string =>
  text
    .split('\n', 3)
    .map((line) => line.trim())
    .join(' ')
    .slice(0, 400)

/** A file that could not even be loaded has no tests to count: it counts as one failure. */
export const totalsOf = (report: VitestReport): Totals => {
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  )
  const failed = report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status }) => status === 'failed')
      .map(({ fullName, failureMessages }) => `${name}: ${fullName}: ${beginningOf(failureMessages?.[0])}`),
  )
  const failures = [...unloaded.map(({ name, message }) => `${name}: not loaded: ${beginningOf(message)}`), ...failed]
  return { passed: report.numPassedTests, failed: report.numFailedTests + unloaded.length, failures }
}

/**
 * A step that failed without a failed test in its report counts as one failure: the totals must not say that all is
 * well.
 */
export const sum = (steps: readonly Step[]): { passed: number; failed: number; lines: string[] } => {
  const results = steps.map(({ name, exitCode, report }) => {
    const failed = exitCode === 0 ? (report?.failed ?? 0) : Math.max(report?.failed ?? 0, 1)
    const detail = report === undefined ? '' : ` (${report.passed} tests passed, ${report.failed} failed)`
    const line = `${failed === 0 ? 'ok    ' : 'FAILED'}  ${name}${detail}`
    return {
      passed: report?.passed ?? 0,
      failed,
      lines: [line, ...(report?.failures ?? []).map((failure) => `        ${failure}`)],
    }
  })
  const total = (key: 'passed' | 'failed'): number => results.reduce((before, result) => before + result[key], 0)
  return { passed: total('passed'), failed: total('failed'), lines: results.flatMap(({ lines }) => lines) }
}

const readStep = (argument: string): Step => {
  const [name = '', code = '', file] = argument.split(':')
  const found =
    file !== undefined && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as VitestReport) : undefined
  // A test runner without a report has not run.
  const exitCode = file !== undefined && found === undefined ? 1 : Number(code)
  return { name, exitCode, report: found === undefined ? undefined : totalsOf(found) }
}

if (import.meta.main) {
  const { passed, failed, lines } = sum(process.argv.slice(2).map(readStep))
  console.log(`\n${lines.join('\n')}\n${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
