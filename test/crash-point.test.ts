// The few crash points in the code itself: each occurs there once and is awaited, each has a situation that reaches it,
// and production arms none. All other points are calls of a port (test/crash/points.ts).
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { armCrashPoints, crashPoint } from '../src/crash-point.ts'
import { cases } from './crash/cases.ts'
import { crashPoints } from './crash/points.ts'

const SRC = join(import.meta.dirname, '../src')
const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && path !== 'crash-point.ts' && !path.startsWith('generated'))
  .map((path) => ({ path, text: readFileSync(join(SRC, path), 'utf8') }))
const names = Object.keys(crashPoints)
const inTheCode = ['answer-unnoted', 'mail-leaving', 'mail-server-greeted']

test('the code has these and no others, each once', () => {
  const used = sources.flatMap(({ text }) => [...text.matchAll(/crashPoint\('([^']*)'\)/g)].map(([, name]) => name))
  expect(used.toSorted()).toEqual(inTheCode)
  for (const name of inTheCode) expect(names).toContain(name)
})

test('every call is awaited: a point that is not awaited would stop nothing', () => {
  const calls = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/^.*\bcrashPoint\(.*$/gm)].map(([line]) => ({ path, line: line.trim() })),
  )
  expect(calls.filter(({ line }) => !line.startsWith('await crashPoint('))).toEqual([])
})

test('every point has a situation that reaches it', () => {
  expect(names.filter((name) => !cases.some(({ point }) => point === name))).toEqual([])
})

test('nothing in src arms a point', () => {
  expect(sources.filter(({ text }) => text.includes('armCrashPoints')).map(({ path }) => path)).toEqual([])
})

test('a point does nothing until it is armed', async () => {
  expect(crashPoint('mail-leaving')).toBeUndefined()
  const struck: string[] = []
  armCrashPoints(async (name) => void struck.push(name))
  await crashPoint('mail-leaving')
  expect(struck).toEqual(['mail-leaving'])
})
