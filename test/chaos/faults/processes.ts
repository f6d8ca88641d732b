// Faults of processes: they are killed, paused past their leases, or replaced.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Role } from '../../../src/main.ts'
import type { Member } from '../fleet.ts'
import { linesOf } from '../logs.ts'
import { refusalIn } from '../refusals.ts'
import { LEASE_MS, type Rig } from '../rig.ts'
import type { Hindrance } from '../struck.ts'
import { writerName } from '../writer-name.ts'
import { type Holding, holdingsNow, isOvertaken } from '../writes.ts'
import type { Fault, Stage } from './fault.ts'

const PATIENCE_MS = 10_000
const hindered: Readonly<Record<Role, Hindrance>> = { worker: 'workers', web: 'web', scheduler: 'schedulers' }

/**
 * A running member of the role that may be chosen. Waits for such a member: all processes of a role may just be
 * starting.
 */
const pickMember = async (
  { rig, chance }: Stage,
  role: Role,
  mayBe: (member: Member) => boolean = () => true,
): Promise<Member | undefined> => {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const members = rig.fleet.members(role).filter((member) => !member.paused && mayBe(member))
    if (members.length > 0) return chance.pick(members)
    if (Date.now() > end) return undefined
    await wait(100)
  }
}

const kill = (role: Role): Fault => ({
  lane: 'processes',
  hinders: [hindered[role]],
  act: async (stage) => {
    const member = await pickMember(stage, role, (one) => !stage.rig.fleet.isSpared(one))
    if (member === undefined) return 0
    await stage.rig.fleet.kill(member, stage.chance.between(100, 1500))
    return 1
  },
})

const pause = (role: Role): Fault => ({
  lane: 'processes',
  hinders: [hindered[role]],
  act: async (stage) => {
    const member = await pickMember(stage, role)
    if (member === undefined) return 0
    await stage.rig.fleet.pauseWhile(member, async () => wait(LEASE_MS + stage.chance.between(1500, 4000)))
    return 1
  },
})

/**
 * How long the fault looks for a worker with work in hand, since an idle worker has none: in a run of twenty minutes,
 * and at least.
 */
const LOOKS_FOR_SECONDS = 200
const LOOKS_FOR_AT_LEAST_MS = 25_000
/** The lease, and then the time in which a sweep finds the record and another worker claims it. */
const OVERTAKEN_WITHIN_MS = LEASE_MS + 8_000
const WRITES_WITHIN_MS = 4_000

const writerOf = ({ name, process }: Pick<Member, 'name' | 'process'>): string => writerName(name, process.pid ?? 0)

/**
 * Whether the log reports a refused write to a record that another worker took over during the pause. Other refusals do
 * not count: an operator's stop causes refusals as well.
 */
const isRefused = async (seat: string, file: string, from: number, taken: readonly Holding[]): Promise<boolean> => {
  for await (const line of linesOf(file, from)) {
    const refusal = refusalIn(seat, line)
    if (refusal !== undefined && taken.some(({ rowId, who }) => rowId === refusal.recordId && who === refusal.who))
      return true
  }
  return false
}

/**
 * The records that the paused process holds and goes on holding. A record whose write was already on its way to the
 * database is not among them any more.
 */
const frozenIn = async (rig: Rig, member: Member): Promise<Holding[]> => {
  await wait(150)
  return (await holdingsNow(rig)).filter(({ who }) => who === writerOf(member))
}

/**
 * The records that other workers have taken over by now. Waits only for a while: all other workers may be busy, or
 * killed.
 */
const untilOvertaken = async (rig: Rig, holdings: readonly Holding[]): Promise<Holding[]> => {
  const end = Date.now() + OVERTAKEN_WITHIN_MS
  await wait(LEASE_MS)
  for (;;) {
    const taken: Holding[] = []
    for (const holding of holdings) if (await isOvertaken(rig, holding).catch(() => false)) taken.push(holding)
    if (taken.length > 0 || Date.now() > end) return taken
    await wait(200)
  }
}

/**
 * Pauses a worker that has a record in hand until another worker has taken the record over, then waits for the write
 * that the paused worker tries.
 */
const pauseOne = async (stage: Stage): Promise<'refused' | 'slept' | 'idle'> => {
  const { rig } = stage
  // A reauth job that continues after the pause only gives its lease back, which shows nothing.
  const busy = (await holdingsNow(rig).catch(() => [])).find(({ place }) => place !== 'consents')
  const member = rig.fleet
    .members('worker')
    .find(({ name, process, paused }) => !paused && busy?.who === writerOf({ name, process }))
  // Without another worker that can take the record over, a pause would show nothing.
  if (member === undefined || rig.fleet.members('worker').length < 2) return 'idle'
  const log = join(rig.logFolder, `${member.name}.log`)
  const { size } = await stat(log)
  if (!rig.fleet.isAlive(member)) return 'idle'
  const taken = await rig.fleet.pauseWhile(member, async () => {
    const holdings = await frozenIn(rig, member).catch(() => [])
    return holdings.length === 0 ? undefined : untilOvertaken(rig, holdings)
  })
  // The worker was continued at once: it had given its record back at the moment of the pause.
  if (taken === undefined) return 'idle'
  const end = Date.now() + WRITES_WITHIN_MS
  while (Date.now() < end) {
    if (await isRefused(member.name, log, size, taken)) return 'refused'
    await wait(200)
  }
  return 'slept'
}

/**
 * Repeated until the store has refused a write: a pause shows nothing if the worker has no work in hand, or is killed
 * before it writes.
 */
const pausePastLease: Fault = {
  lane: 'processes',
  hinders: ['workers'],
  act: async (stage) => {
    const { faults } = stage.rig.simulator
    // Calls become slow enough for a pause to fall in the middle of one, but not so slow that the worker gives up.
    const slow = (['exchange', 'refresh', 'me'] as const).map((endpoint) =>
      faults.add({ endpoint, kind: 'slow', ms: 900 }),
    )
    slow.push(faults.add({ endpoint: 'mail', kind: 'slow-mail', ms: 900 }))
    let pauses = 0
    try {
      const end = Date.now() + Math.max(LOOKS_FOR_AT_LEAST_MS, stage.span(LOOKS_FOR_SECONDS))
      while (Date.now() < end) {
        const met = await pauseOne(stage)
        if (met !== 'idle') pauses += 1
        if (met === 'refused') break
        await wait(50)
      }
    } finally {
      for (const { id } of slow) faults.remove(id)
    }
    return pauses
  },
}

export const PAUSE_PAST_LEASE = 'pause a worker past its lease'

export const ofProcesses: Readonly<Record<string, Fault>> = {
  'kill a worker': kill('worker'),
  'kill a web process': kill('web'),
  'kill a scheduler': kill('scheduler'),
  [PAUSE_PAST_LEASE]: pausePastLease,
  'pause a web process': pause('web'),
  'pause a scheduler': pause('scheduler'),
  'roll all processes': {
    lane: 'processes',
    hinders: ['workers', 'web', 'schedulers'],
    act: async ({ rig }) => {
      await rig.fleet.roll()
      return 1
    },
  },
  'kill all workers at once': {
    lane: 'processes',
    hinders: ['workers', 'all-workers'],
    each: 'worker',
    // Not once a worker is spared: this fault would kill that worker too.
    isOver: ({ fleet }) => fleet.isSparing(),
    act: async (stage) => {
      const { rig, chance } = stage
      await pickMember(stage, 'worker')
      const workers = rig.fleet.members('worker')
      await Promise.all(workers.map(async (member) => rig.fleet.kill(member, chance.between(100, 800))))
      return workers.length
    },
  },
}
