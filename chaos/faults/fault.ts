// What a fault is: it acts for a while, heals what it did, and answers how often it really happened.
import { setTimeout as wait } from 'node:timers/promises'
import type { FaultOrder } from '../../src/simulator/faults.ts'
import type { Rig } from '../rig.ts'
import type { Chance } from '../seeded.ts'

export type Lane = 'processes' | 'infrastructure' | 'provider' | 'mail'

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
  readonly act: (stage: Stage) => Promise<number>
}

/** The simulator's own faults: counted where they fired. */
export const atSimulator = (lane: Lane, seconds: number, orders: (chance: Chance) => readonly FaultOrder[]): Fault => ({
  lane,
  act: async ({ rig: { simulator }, chance, span }) => {
    const added = orders(chance).map((order) => simulator.faults.add(order).id)
    const met = (): number => simulator.faults.list().filter(({ id }) => added.includes(id)).reduce((sum, fault) => sum + fault.fired, 0)
    await wait(span(seconds))
    // A fault that nobody met shows nothing: it waits a little for somebody.
    const end = Date.now() + 2 * span(seconds)
    while (met() === 0 && Date.now() < end) await wait(100)
    const fired = met()
    for (const id of added) simulator.faults.remove(id)
    return fired
  },
})
