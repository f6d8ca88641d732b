// What a fault is: it acts for a while, heals what it did, and answers how often it really happened.
import { setTimeout as wait } from 'node:timers/promises'
import type { FaultOrder } from '../../../simulator/src/faults.ts'
import type { Behaviour, FaultProxy } from '../fault-proxy.ts'
import type { Rig } from '../rig.ts'
import type { Chance } from '../seeded.ts'
import type { Hindrance, Lane, Reach } from '../struck.ts'

export interface Stage {
  readonly rig: Rig
  readonly chance: Chance
  /** Milliseconds for what takes so many seconds in a run of twenty minutes. */
  readonly span: (seconds: number) => number
  /** Looks at what Redis holds before it is lost. */
  readonly beforeEmptying: () => Promise<void>
}

export interface Fault {
  readonly lane: Lane
  readonly hinders: readonly Hindrance[]
  readonly each?: Reach
  /** From then on it strikes no more. */
  readonly isOver?: (rig: Pick<Rig, 'fleet'>) => boolean
  readonly act: (stage: Stage) => Promise<number>
}

/**
 * The simulator's own faults: counted where they fired, and told by its ledger in the entry of each request that met
 * one.
 */
export const atSimulator = (
  lane: Lane,
  hinders: readonly Exclude<Hindrance, 'provider-breaks'>[],
  seconds: number,
  orders: (chance: Chance) => readonly FaultOrder[],
): Fault => ({
  lane,
  hinders,
  act: async ({ rig: { simulator }, chance, span }) => {
    const added = orders(chance).map((order) => simulator.faults.add(order).id)
    const met = (): number =>
      simulator.faults
        .list()
        .filter(({ id }) => added.includes(id))
        .reduce((sum, fault) => sum + fault.fired, 0)
    await wait(span(seconds))
    // A fault that nobody met shows nothing: it waits a little for somebody.
    const end = Date.now() + 2 * span(seconds)
    while (met() === 0 && Date.now() < end) await wait(100)
    const fired = met()
    for (const id of added) simulator.faults.remove(id)
    return fired
  },
})

/** Until somebody has met it, a while at most: a fault that nobody met shows nothing. */
export const untilMet = async (met: () => Promise<number> | number, withinMs: number): Promise<number> => {
  const end = Date.now() + withinMs
  for (;;) {
    const count = await met()
    if (count > 0 || Date.now() > end) return count
    await wait(200)
  }
}

export interface Barring {
  readonly ms: number
  /** What goes on while it lasts; nothing unless said. */
  readonly meanwhile?: (ms: number) => Promise<unknown>
  /** Those who find nobody listening are only seen by what they write down. */
  readonly refused?: () => Promise<number>
}

/**
 * A proxy that lets nothing through for so many milliseconds, and longer until somebody has met it; answers how many
 * have.
 */
export const barFor = async (
  proxy: Pick<FaultProxy, 'set' | 'met'>,
  behaviour: Behaviour,
  { ms, meanwhile = wait, refused }: Barring,
): Promise<number> => {
  const before = proxy.met()
  const met = async (): Promise<number> => proxy.met() - before + ((await refused?.()) ?? 0)
  await proxy.set(behaviour)
  try {
    await meanwhile(ms)
    return await untilMet(met, ms)
  } finally {
    await proxy.set({ kind: 'pass' })
  }
}

/** Cuts a proxy's connections again and again, until it has met some, for a while at most. */
export const cutAgain = async (
  proxy: { cut(): number },
  { chance, span }: Stage,
  maxDelayMs: number,
): Promise<number> => {
  let cut = 0
  const end = Date.now() + span(20)
  for (let time = 0; time < 10 || (cut === 0 && Date.now() < end); time += 1) {
    cut += proxy.cut()
    await wait(chance.between(50, maxDelayMs))
  }
  return cut
}
