// Stalls as they are measured, logged, read again and counted as faults.
import { appendFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeLog } from '../../src/log.ts'
import {
  asFaults,
  fieldsOf,
  type Measured,
  readStalls,
  STALL_MESSAGE,
  STALL_MS,
  stallIn,
  watchStalls,
} from './stalls.ts'
import type { Pause } from './struck.ts'
import { writerName } from './writer-name.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reconsent-stalls-'))
})
afterAll(async () => rm(folder, { recursive: true, force: true }))

/** This process really stands still. */
const standStill = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

test('a process that stood still notes from when to when, and one that did not notes nothing', async () => {
  const noted = Promise.withResolvers<Measured>()
  const all: Measured[] = []
  const end = watchStalls((stall) => {
    all.push(stall)
    noted.resolve(stall)
  })
  const from = Date.now()
  standStill(STALL_MS + 400)
  const to = Date.now()
  const stall = await noted.promise
  end()
  // The watch looks now and then: the stall began after its last look and ended before its next one.
  expect(stall.from).toBeLessThanOrEqual(from + 5)
  expect(stall.to).toBeGreaterThanOrEqual(to - 5)
  expect(stall.to - stall.from).toBeGreaterThanOrEqual(STALL_MS)
  standStill(STALL_MS + 400)
  expect(all).toHaveLength(1)
})

test('what a process logs of a stall is read again, by seat and process', async () => {
  const file = join(folder, 'worker-1.log')
  const log = makeLog({ level: 'debug', pretty: false, to: { write: (line) => appendFileSync(file, line) } })
  log.info({}, 'another line')
  log.warn(fieldsOf({ from: 1_000, to: 3_000 }), STALL_MESSAGE)
  appendFileSync(file, `half a line about ${STALL_MESSAGE}\n`)
  expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(4)
  expect(await readStalls(folder)).toEqual([{ who: writerName('worker-1', process.pid), from: 1_000, to: 3_000 }])
  expect(stallIn('worker-1', '{"msg":"another line"}')).toBeUndefined()
})

describe('the nemesis stopped a process from second 1 to 4', () => {
  const pause: Pause = { seat: 'worker-1', pid: 77, from: 1_000, to: 4_000 }
  test.each<[string, string, number, number, [number, number][]]>([
    ['what the process noted of that is no stall', 'worker-1:77', 900, 4_100, []],
    ['a stall of its own afterwards is one', 'worker-1:77', 5_000, 6_000, [[5_000, 6_000]]],
    ['so is one that went on after the stop', 'worker-1:77', 900, 5_000, [[4_000, 5_000]]],
    ['and one at the same time of another process', 'worker-1:78', 1_000, 4_000, [[1_000, 4_000]]],
  ])('%s', (_name, who, from, to, left) => {
    const faults = asFaults([{ who, from, to }], [pause])
    expect(faults.map((one) => [one.from, one.to])).toEqual(left)
    for (const one of faults) expect(one).toMatchObject({ who, hinders: ['one-process'], happened: 1 })
  })
})
