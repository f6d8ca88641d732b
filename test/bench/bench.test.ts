// The bench itself, as `npm run bench` starts it, with so few consents that its figures mean nothing: that it still
// runs, and that its report is complete and fits together.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { figureNames, type Report } from '../../bench/report.ts'
import { spreadOf } from '../../bench/statistics.ts'

// Some 15 s, and more on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

const PROGRAM = join(import.meta.dirname, '../../bench/run.ts')
const few = ['--consents', '4', '--warm-up', '2', '--rest', '0', '--rounds', '1', '--sides', 'floor,redis']
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-test-'))
})
afterAll(async () => rm(folder, { recursive: true, force: true }))

test('a short run of the floor and of Reconsent gives a table, a plot, and every figure of both', async () => {
  const [json, svg] = [join(folder, 'report.json'), join(folder, 'plot.svg')]
  const words = [PROGRAM, ...few, '--json', json, '--svg', svg]
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: 110_000 })
  const report = JSON.parse(await readFile(json, 'utf8')) as Report
  const [floor, reconsent] = report.sides

  expect(report.options).toEqual({ consents: 4, warmUp: 2, rounds: 1, latencyMs: 0 })
  expect(report.sides.map(({ name }) => name)).toEqual(['floor', 'redis'])
  for (const side of report.sides) {
    expect(side.turns).toHaveLength(1)
    expect(Object.keys(side.figures)).toEqual([...figureNames])
    for (const name of figureNames) expect(side.figures[name]).toEqual(spreadOf(side.turns.map((turn) => turn[name])))
    for (const name of ['renewalsPerSecond', 'worldCpuMs', 'peakMegabytes'] as const)
      expect(side.figures[name].median).toBeGreaterThan(0)
    // What every renewal needs at least: link, mail, code, tokens and proof, each committed.
    expect(side.figures.writes.median).toBeGreaterThanOrEqual(5)
    expect(side.figures.commits.median).toBeGreaterThanOrEqual(side.figures.writes.median)
    expect(side.figures.statements.median).toBeGreaterThanOrEqual(7)
    // What is called less than once in ten renewals is not listed.
    const listed = side.statements.reduce((sum, { calls }) => sum + calls, 0)
    expect(listed).toBeLessThanOrEqual(side.figures.statements.median + 1e-9)
    expect(listed).toBeGreaterThan(side.figures.statements.median * 0.9)
    expect(stdout).toContain(`| ${side.name} |`)
  }
  expect(floor?.figures.redisCpuMs.median).toBe(0)
  expect(reconsent?.figures.redisCpuMs.median).toBeGreaterThan(0)
  expect(reconsent?.skips).toBe('nothing')
  const ratio = (reconsent?.figures.renewalsPerSecond.median ?? 0) / (floor?.figures.renewalsPerSecond.median ?? 0)
  expect(stdout).toMatch(new RegExp(`times the floor .*[^]*\\| redis \\| ${ratio.toFixed(2)} `))
  expect(await readFile(svg, 'utf8')).toMatch(/^<svg [^]*floor[^]*redis[^]*<\/svg>\n$/)
})

test('the middle of an even number of values lies between two of them', () => {
  expect(spreadOf([4, 1, 3, 2])).toEqual({ median: 2.5, least: 1, most: 4 })
  expect(spreadOf([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 })
})
