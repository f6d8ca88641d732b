// The fleet with real, small processes: what it records of each process that it stops, which processes it spares, and
// which it starts again and when.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { ChildOrder } from './child.ts'
import { judgeEndings } from './endings.ts'
import { type Fleet, makeFleet, type Seat } from './fleet.ts'

const PROGRAM = `
const { seat } = JSON.parse(process.env.CHAOS_ORDER)
const crashes = () => { throw new Error('while stopping') }
const onTerm = { deaf: () => undefined, crashes, lets: () => process.exit(3), fails: () => process.exit(4) }
if (!seat.startsWith('dies')) process.on('SIGTERM', onTerm[seat.split('-')[0]] ?? (() => process.exit(0)))
process.on('disconnect', () => process.exit(0))
process.on('message', () => process.send({ kind: 'sample', sample: { seat } }))
if (!seat.startsWith('never')) process.send({ kind: 'ready', url: 'http://127.0.0.1:1' })
`
let opened: { fleet: Fleet; folder: string } | undefined
afterEach(async () => {
  await opened?.fleet.close()
  if (opened !== undefined) await rm(opened.folder, { recursive: true, force: true })
})

const fleetOf = async (...seats: Seat[]): Promise<Fleet> => {
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-fleet-'))
  const program = join(folder, 'program.mjs')
  await writeFile(program, PROGRAM)
  const fleet = makeFleet({
    seats,
    folder,
    program,
    killedAfterMs: 400,
    orderOf: ({ name }) => ({ seat: name }) as ChildOrder,
  })
  opened = { fleet, folder }
  await fleet.startAll()
  return fleet
}
const worker = (name: string): Seat => ({ name, role: 'worker' })
const pids = (fleet: Fleet): Record<string, number | undefined> =>
  Object.fromEntries(fleet.members().map(({ name, process }) => [name, process.pid]))
const memberOf = (fleet: Fleet, name: string) => {
  const member = fleet.members().find((one) => one.name === name)
  if (member === undefined) throw new Error(`${name} does not run`)
  return member
}

describe('who is told to stop', () => {
  const endingOf = async (seat: string) => {
    const fleet = await fleetOf(worker(seat))
    await fleet.roll()
    expect(fleet.members().map(({ name }) => name)).toEqual([seat])
    expect(fleet.surprises()).toEqual([])
    return fleet.endings()[0]
  }
  test.each([
    ['good', 0],
    ['crashes', 1],
    ['lets', 3],
    ['fails', 4],
    ['dies', 'SIGTERM'],
  ] as const)('%s: its exit code or signal is written down, and another takes its seat', async (seat, how) => {
    const before = Date.now()
    const ending = await endingOf(seat)
    expect(ending).toMatchObject({ seat, how, wasReady: true, wasKilled: false })
    expect(ending?.toldAt).toBeGreaterThanOrEqual(before)
    expect(ending?.goneAt).toBeGreaterThanOrEqual(ending?.toldAt ?? Number.POSITIVE_INFINITY)
  })

  test('who does not go is killed, and that is written down', async () => {
    expect(await endingOf('deaf')).toMatchObject({ how: 'SIGKILL', wasKilled: true })
  })

  test('rolling restarts of which each must be killed, or crashes, do not pass', async () => {
    for (const seat of ['deaf', 'crashes']) {
      const fleet = await fleetOf(worker(seat))
      await fleet.roll()
      await fleet.stopAll()
      expect(judgeEndings(fleet.endings(), [], 6_000)).toMatchObject({
        looked: 2,
        violations: [{ record: seat }, { record: seat }],
      })
      await fleet.close()
    }
  })

  test('one that is paused is continued for it', async () => {
    const fleet = await fleetOf(worker('good'))
    await fleet.pauseWhile(memberOf(fleet, 'good'), async () => fleet.stopAll())
    expect(fleet.endings()).toMatchObject([{ how: 0, wasKilled: false }])
  })

  test('one that is stopping is not paused, nor told twice', async () => {
    const fleet = await fleetOf(worker('deaf'))
    const member = memberOf(fleet, 'deaf')
    const stopping = fleet.stopAll()
    let ran = false
    await fleet.pauseWhile(member, async () => {
      expect(member.paused).toBe(false)
      ran = true
    })
    await Promise.all([stopping, fleet.stopAll(), fleet.roll()])
    expect(ran).toBe(true)
    expect(fleet.endings()).toHaveLength(1)
  })

  test('one that is being killed is no ending', async () => {
    const fleet = await fleetOf(worker('good'))
    await Promise.all([fleet.kill(memberOf(fleet, 'good'), 0), fleet.stopAll()])
    expect(fleet.endings()).toEqual([])
  })
})

test('between stopping all and starting all nobody runs, whoever was about to start one', async () => {
  const fleet = await fleetOf(worker('good-1'), worker('good-2'), worker('deaf'))
  // The roll stops a process that is already being stopped, and meets a process that is slow to stop.
  const [rolling, killing] = [fleet.roll(), fleet.kill(memberOf(fleet, 'good-2'), 50)]
  await fleet.stopAll()
  await Promise.all([rolling, killing])
  expect(fleet.members()).toEqual([])
  await fleet.startAll()
  expect(fleet.members()).toHaveLength(3)
})

test('one of each role is spared: rolled and sampled by that', async () => {
  const fleet = await fleetOf(
    worker('good-1'),
    worker('good-2'),
    { name: 'web-1', role: 'web' },
    { name: 'web-2', role: 'web' },
  )
  const before = pids(fleet)
  expect([fleet.isSparing(), ...fleet.members().map(fleet.isSpared)]).toEqual([false, false, false, false, false])
  fleet.spare()
  await fleet.roll()
  const after = pids(fleet)
  expect(Object.keys(before).filter((name) => before[name] === after[name])).toEqual(['good-1', 'web-1'])
  expect(fleet.endings().map(({ seat }) => seat)).toEqual(['good-2', 'web-2'])
  const sampled = await fleet.sample(fleet.members().filter(fleet.isSpared))
  expect([...sampled.keys()].map(({ name }) => name).toSorted()).toEqual(['good-1', 'web-1'])
})

test('a process that ends by itself is told and started again', async () => {
  const fleet = await fleetOf(worker('good'))
  memberOf(fleet, 'good').process.kill('SIGKILL')
  await expect.poll(() => fleet.surprises()).toMatchObject([{ seat: 'good', how: 'SIGKILL' }])
  await expect.poll(() => fleet.members()).toHaveLength(1)
  expect(fleet.endings()).toEqual([])
})
