// What a fault is: it acts for a while, heals what it did, and returns how often it really happened.
import { setTimeout as wait } from 'node:timers/promises'
import type { FaultOrder } from '../../../simulator/src/faults.ts'
import type { Behaviour, FaultProxy } from '../fault-proxy.ts'
import type { Rig } from '../rig.ts'
import type { Chance } from '../seeded.ts'
import type { Hindrance, Lane, Reach } from '../struck.ts'

export interface Stage {
  readonly rig: Rig
  readonly chance: Chance
  /** The milliseconds for something that takes so many seconds in a run of twenty minutes. */
  readonly span: (seconds: number) => number
  /** Searches what Redis holds before its data is lost. */
  readonly beforeEmptying: () => Promise<void>
}

export interface Fault {
  readonly lane: Lane
  readonly hinders: readonly Hindrance[]
  readonly each?: Reach
  /** True from the moment on from which the fault must not strike any more. */
  readonly isOver?: (rig: Pick<Rig, 'fleet'>) => boolean
  readonly act: (stage: Stage) => Promise<number>
}

/**
 * A fault of the simulator itself. The simulator counts how often the fault fired, and its ledger names the fault in
 * the entry of each request that met it.
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
    // A fault that no request met shows nothing: it waits a little longer for one.
    const end = Date.now() + 2 * span(seconds)
    while (met() === 0 && Date.now() < end) await wait(100)
    const fired = met()
    for (const id of added) simulator.faults.remove(id)
    return fired
  },
})

/** Waits until the fault has been met, but not longer than `withinMs`: a fault that nothing met shows nothing. */
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
  /** What goes on during the fault; by default the fault only waits. */
  readonly meanwhile?: (ms: number) => Promise<unknown>
  /** Counts the clients that found nobody listening: only their own logs report them. */
  readonly refused?: () => Promise<number>
}

/**
 * Sets a proxy's behaviour for so many milliseconds, and for longer until a client has met it; returns how often it was
 * met.
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

/** Cuts a proxy's connections ten times, and then again until it has cut some, for a while at most. */
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
