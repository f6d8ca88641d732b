// Inflicts faults while the system works: each lane strikes one fault after the other, in an order that the seed
// decides, and every kind once before any comes again. Logs what happened when.
import { setTimeout as wait } from 'node:timers/promises'
import { faults } from './faults.ts'
import type { Stage } from './faults/fault.ts'
import type { Options } from './options.ts'
import type { Rig } from './rig.ts'
import type { Chance } from './seeded.ts'
import type { Hindrance, Lane, Pause, Struck } from './struck.ts'

export interface Nemesis {
  readonly log: readonly Struck[]
  start(): void
  /** Begins no further faults; resolves when the faults under way have healed. */
  stop(): Promise<void>
  /** Logs a fault that the run itself inflicts, e.g. the downtime. */
  note(name: string, hinders: readonly Hindrance[], act: () => Promise<number>): Promise<void>
  /** Logs faults that nobody inflicted and that were found afterwards. */
  add(found: readonly Struck[]): void
}

const lanes: readonly Lane[] = ['processes', 'infrastructure', 'provider', 'mail']
const RESTS_MS: Readonly<Record<Lane, readonly [number, number]>> = {
  processes: [4_000, 9_000],
  infrastructure: [3_000, 8_000],
  provider: [1_500, 5_000],
  mail: [1_500, 5_000],
}
/** Even in a short run, a fault must last long enough to be met. */
const MIN_MS = 1_500

/** The names of a lane's faults in the order in which they strike, without end. */
export function* orderOf(names: readonly string[], chance: Chance): Generator<string, never> {
  for (;;) yield* chance.shuffled(names)
}

/** The same fleet, which also records every pause. */
export const withPausesNoted = (fleet: Rig['fleet'], pauses: Pause[]): Rig['fleet'] => ({
  ...fleet,
  pauseWhile: async (member, work) => {
    const from = Date.now()
    try {
      return await fleet.pauseWhile(member, work)
    } finally {
      pauses.push({ seat: member.name, pid: member.process.pid ?? 0, from, to: Date.now() })
    }
  },
})

export interface NemesisDeps {
  readonly rig: Rig
  readonly options: Options
  readonly chance: Chance
  readonly beforeEmptying: Stage['beforeEmptying']
  readonly say: (line: string) => void
}

export const makeNemesis = ({ rig, options, chance, beforeEmptying, say }: NemesisDeps): Nemesis => {
  const log: Struck[] = []
  const stopping = new AbortController()
  const scale = options.minutes / 20
  // A short run waits less between faults, so that each kind has its turn.
  const pace = Math.min(1, Math.max(0.4, options.minutes / 5))
  const span = (seconds: number): number => Math.max(MIN_MS, Math.round(seconds * 1000 * Math.min(1, scale)))

  const strike = async (
    name: string,
    hinders: readonly Hindrance[],
    act: () => Promise<number>,
    more: Pick<Struck, 'each' | 'pauses'> = {},
  ): Promise<void> => {
    const struck: Struck = {
      name,
      hinders,
      ...more,
      from: Date.now(),
      to: Number.POSITIVE_INFINITY,
      happened: 0,
      problem: undefined,
    }
    log.push(struck)
    try {
      struck.happened = await act()
    } catch (error) {
      struck.problem = error instanceof Error ? error.message : String(error)
      say(`the fault "${name}" itself failed: ${struck.problem}`)
    }
    struck.to = Date.now()
  }

  const haunt = async (lane: Lane): Promise<void> => {
    const names = Object.keys(faults).filter(
      (name) => faults[name]?.lane === lane && (options.only.length === 0 || options.only.includes(name)),
    )
    const own = chance.branch(lane)
    const stage: Stage = { rig, chance: own, span, beforeEmptying }
    if (names.length === 0) return
    for (const name of orderOf(names, own.branch('order'))) {
      if (stopping.signal.aborted) return
      const fault = faults[name]
      if (fault !== undefined && fault.isOver?.(rig) !== true) {
        const pauses: Pause[] = []
        const noted: Stage = { ...stage, rig: { ...rig, fleet: withPausesNoted(rig.fleet, pauses) } }
        await strike(name, fault.hinders, async () => fault.act(noted), { each: fault.each, pauses })
      }
      // A lane waits longer between two faults than the faults take: a system that is never well cannot show that it
      // recovers.
      const [least, most] = RESTS_MS[lane]
      await wait(own.between(least, most) * pace, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  let haunting: Promise<unknown> = Promise.resolve()
  return {
    log,
    start: () => {
      if (!options.calm) haunting = Promise.all(lanes.map(haunt))
    },
    stop: async () => {
      stopping.abort()
      await haunting
    },
    note: strike,
    add: (found) => void log.push(...found),
  }
}
