// The busy processes really use up processors, and leave nothing behind.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { until } from '../setup/company.ts'
import { startBusy } from './busy.ts'

/** The processor time that a process has used, in the system's ticks; undefined when it is gone (Linux). */
const ticksOf = async (pid: number): Promise<number | undefined> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields === undefined || fields[0] === 'Z' ? undefined : Number(fields[11]) + Number(fields[12])
}

test.runIf(process.platform === 'linux')('they use up processor time until they are stopped', async () => {
  const busy = startBusy(2)
  expect(busy.pids).toHaveLength(2)
  for (const pid of busy.pids)
    await until('a busy process', async () => (((await ticksOf(pid)) ?? 0) > 20 ? true : undefined))
  await busy.stop()
  expect(await Promise.all(busy.pids.map(ticksOf))).toEqual([undefined, undefined])
})

test('none are started where none are wanted', async () => {
  const busy = startBusy(0)
  expect(busy.pids).toEqual([])
  await busy.stop()
})

test('one ends when its parent is gone', async () => {
  const child = fork(join(import.meta.dirname, 'burner.ts'), { stdio: 'ignore' })
  await once(child, 'spawn')
  child.disconnect()
  const [code] = (await once(child, 'exit')) as [number]
  expect(code).toBe(0)
})
