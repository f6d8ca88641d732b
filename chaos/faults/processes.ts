// Processes that are killed, sleep past their leases, or are replaced.
import { setTimeout as wait } from 'node:timers/promises'
import type { Role } from '../../src/main.ts'
import type { Member } from '../fleet.ts'
import { LEASE_MS } from '../rig.ts'
import type { Fault, Stage } from './fault.ts'

const PATIENCE_MS = 10_000

/** One that runs; all of a role may just be starting again. */
const pickMember = async ({ rig, chance }: Stage, role: Role): Promise<Member | undefined> => {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const members = rig.fleet.members(role).filter((member) => !member.paused)
    if (members.length > 0) return chance.pick(members)
    if (Date.now() > end) return undefined
    await wait(100)
  }
}

const kill = (role: Role): Fault => ({
  lane: 'processes',
  act: async (stage) => {
    const member = await pickMember(stage, role)
    if (member === undefined) return 0
    await stage.rig.fleet.kill(member, stage.chance.between(100, 1500))
    return 1
  },
})

const pause = (role: Role): Fault => ({
  lane: 'processes',
  act: async (stage) => {
    const member = await pickMember(stage, role)
    if (member === undefined) return 0
    // Slow answers make sure that the process sleeps with work in hand, past its lease, while another takes over.
    const slow = stage.rig.simulator.faults.add({ endpoint: 'reauthuri', kind: 'slow', ms: 900, rate: 0.5 })
    await wait(300)
    await stage.rig.fleet.pause(member, LEASE_MS + stage.chance.between(1500, 4000))
    stage.rig.simulator.faults.remove(slow.id)
    return 1
  },
})

export const ofProcesses: Readonly<Record<string, Fault>> = {
  'kill a worker': kill('worker'),
  'kill a web process': kill('web'),
  'kill a scheduler': kill('scheduler'),
  'pause a worker past its lease': pause('worker'),
  'pause a web process': pause('web'),
  'pause a scheduler': pause('scheduler'),
  'roll all processes': {
    lane: 'processes',
    act: async ({ rig }) => {
      await rig.fleet.roll()
      return 1
    },
  },
  'kill all workers at once': {
    lane: 'processes',
    act: async ({ rig, chance }) => {
      const workers = rig.fleet.members('worker')
      await Promise.all(workers.map(async (member) => rig.fleet.kill(member, chance.between(100, 800))))
      return workers.length
    },
  },
}
