// The table of crash points and the code agree: every named point occurs in the code, the code has no point that the
// table lacks, each point has a situation that reaches it, and production arms none.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { armCrashPoints, crashPoint, crashPoints } from '../src/crash-point.ts'
import { cases } from './crash/cases.ts'

const SRC = join(import.meta.dirname, '../src')
const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && path !== 'crash-point.ts' && !path.startsWith('generated'))
  .map((path) => ({ path, text: readFileSync(join(SRC, path), 'utf8') }))
const names = Object.keys(crashPoints)

test('every named point stands in the code exactly once', () => {
  const places = names.map((name) => ({
    name,
    in: sources.flatMap(({ path, text }) => Array.from({ length: text.split(`'${name}'`).length - 1 }, () => path)),
  }))
  expect(places.filter((place) => place.in.length !== 1)).toEqual([])
})

test('no point stands in the code that the table does not know', () => {
  const used = sources.flatMap(({ text }) => [...text.matchAll(/crashPoint\('([^']*)'\)/g)].map(([, name]) => name))
  expect(used.filter((name) => name === undefined || !names.includes(name))).toEqual([])
})

test('every call is awaited: a point that is not awaited would stop nothing', () => {
  const calls = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/^.*\bcrashPoint\(.*$/gm)].map(([line]) => ({ path, line: line.trim() })),
  )
  expect(calls.filter(({ line }) => !/^(if \(\w+\) )?await crashPoint\(/.test(line))).toEqual([])
})

test('every point has a situation that reaches it', () => {
  expect(names.filter((name) => !cases.some(({ point }) => point === name))).toEqual([])
})

test('nothing in src arms a point', () => {
  expect(sources.filter(({ text }) => text.includes('armCrashPoints')).map(({ path }) => path)).toEqual([])
})

test('a point does nothing until it is armed', async () => {
  expect(crashPoint('job-taken')).toBeUndefined()
  const struck: string[] = []
  armCrashPoints(async (name) => void struck.push(name))
  await crashPoint('job-taken')
  expect(struck).toEqual(['job-taken'])
})
