// When the nemesis may begin to spare a process of each role: once every fault that ends processes has happened.
import { expect, test } from 'vitest'
import { ofProcesses } from './faults/processes.ts'
import { DOWNTIME, everyEndHappened } from './living.ts'

const all = [...Object.keys(ofProcesses), DOWNTIME].map((name) => ({ name, happened: 1 }))

test('each fault of the processes and the downtime, met at least once', () => {
  expect(everyEndHappened(all)).toBe(true)
  for (const { name } of all) {
    expect(everyEndHappened(all.filter((one) => one.name !== name))).toBe(false)
    expect(everyEndHappened([...all.filter((one) => one.name !== name), { name, happened: 0 }])).toBe(false)
  }
})

test('then all workers are no longer killed at once, and none of the spared', async () => {
  const fleet = { isSparing: () => true } as Parameters<NonNullable<(typeof ofProcesses)[string]['isOver']>>[0]['fleet']
  expect(
    Object.entries(ofProcesses)
      .filter(([, { isOver }]) => isOver?.({ fleet }) === true)
      .map(([name]) => name),
  ).toEqual(['kill all workers at once'])
})
