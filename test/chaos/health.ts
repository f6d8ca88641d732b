// Samples the processes while they run, so that growth.ts can judge whether they grow, and counts the refused writes in
// the logs.
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Checked } from './checked.ts'
import type { Sample } from './child.ts'
import { PAUSE_PAST_LEASE } from './faults/processes.ts'
import type { Member } from './fleet.ts'
import { compareLevels, type Connections, type Course, lowest, type Taken } from './growth.ts'
import { linesOf, logsIn } from './logs.ts'
import { ofSleepers, type Refusal, refusalIn } from './refusals.ts'
import type { Rig } from './rig.ts'
import type { Struck } from './struck.ts'
import { readTakeovers } from './writes.ts'

export interface Levels {
  /**
   * Call this when nothing is going on. Waits until the pools have closed the connections that they do not need, then
   * takes the lowest of several samples.
   */
  takeQuiet(): Promise<void>
  /** Takes one sample of the processes that the nemesis spares, whatever goes on. */
  takeSpared(): Promise<void>
  /** `isDemanded`: a process of each role must have been sampled for long enough. */
  judge(isDemanded: boolean): Checked
}

const ROLES = ['web', 'worker', 'scheduler'] as const
/** A share of the time from the beginning to the last sample. */
const LOOKED_FOR_SHARE = 0.25
/** The pool's own idle time-out (pg: ten seconds), and a moment more. */
const POOLS_REST_MS = 13_000
const LOOKS = 4
const LOOKS_EVERY_MS = 300

const connectionsOf = async ({ sql, direct, fleet }: Rig): Promise<Connections> => {
  const [row] = await sql<{ count: string }>(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = 'reconsent' AND application_name ~ " +
      "'^(web|worker|scheduler)-'",
  )
  const info = await direct.info('clients')
  return {
    postgres: Number(row?.count ?? 0),
    redis: Number(/connected_clients:(\d+)/.exec(info)?.[1] ?? 0),
    processes: fleet.members().length,
  }
}

export const makeLevels = (rig: Rig): Levels => {
  const began = Date.now()
  const courses = new Map<Member, Course & { readonly taken: Taken[] }>()
  const quiet: Connections[] = []
  const keep = (samples: ReadonlyMap<Member, Sample>, rested: boolean): void => {
    for (const [member, sample] of samples) {
      const { name, role, startedAt } = member
      const course = courses.get(member) ?? { name, role, startedAt, taken: [] }
      courses.set(member, course)
      course.taken.push({ at: Date.now(), sample, rested })
    }
  }
  return {
    takeQuiet: async () => {
      await wait(POOLS_REST_MS)
      // A sweep that happens to run uses a connection or two more: the lowest of several samples is the level.
      const levels = new Map<Member, Sample>()
      let connections: Connections = {
        postgres: Number.POSITIVE_INFINITY,
        redis: Number.POSITIVE_INFINITY,
        processes: 0,
      }
      for (let look = 0; look < LOOKS; look += 1) {
        for (const [member, sample] of await rig.fleet.sample())
          levels.set(member, lowest(levels.get(member) ?? sample, sample))
        const now = await connectionsOf(rig)
        connections = {
          postgres: Math.min(connections.postgres, now.postgres),
          redis: Math.min(connections.redis, now.redis),
          processes: now.processes,
        }
        await wait(LOOKS_EVERY_MS)
      }
      keep(levels, true)
      quiet.push(connections)
    },
    takeSpared: async () => keep(await rig.fleet.sample(rig.fleet.members().filter(rig.fleet.isSpared)), false),
    judge: (isDemanded) =>
      compareLevels([...courses.values()], quiet, {
        roles: ROLES,
        forMs: (Date.now() - began) * LOOKED_FOR_SHARE,
        isDemanded,
      }),
  }
}

export const refusedWrites = async (rig: Pick<Rig, 'logFolder' | 'sql'>, log: readonly Struck[]): Promise<Checked> => {
  const refusals: Refusal[] = []
  const unexpected: string[] = []
  const printed: string[] = []
  for (const name of await logsIn(rig.logFolder)) {
    for await (const line of linesOf(join(rig.logFolder, name))) {
      const refusal = refusalIn(name.replace(/\.log$/, ''), line)
      if (refusal !== undefined) refusals.push(refusal)
      if (line.includes('"msg":"unexpected error in a job"'))
        unexpected.push(/"error":(\{[^}]*\})/.exec(line)?.[1] ?? 'unknown')
      if (!line.startsWith('{') && line.trim() !== '' && !line.startsWith(' ')) printed.push(line.slice(0, 100))
    }
  }
  const pauses = log.filter(({ name }) => name === PAUSE_PAST_LEASE).flatMap((struck) => struck.pauses ?? [])
  const refused = ofSleepers(refusals, await readTakeovers(rig), pauses).length
  return judgeRefusals({ refused, others: refusals.length - refused, unexpected, printed }, log)
}

export interface Told {
  /** Refusals to workers that slept past their lease while another worker took the record over. */
  readonly refused: number
  /** Refusals for other reasons: an operator's stop, a process that was killed, a slow machine. */
  readonly others?: number
  readonly unexpected: readonly string[]
  readonly printed: readonly string[]
}

export const judgeRefusals = ({ refused, others = 0, unexpected, printed }: Told, log: readonly Struck[]): Checked => {
  const struck = log.filter(({ name }) => name === PAUSE_PAST_LEASE)
  const pauses = struck.reduce((sum, { happened }) => sum + happened, 0)
  const missing =
    struck.length === 0 || refused > 0
      ? undefined
      : pauses === 0
        ? `${struck.length} times a worker with a record in hand was looked for, to make it sleep past its ` +
          'lease, and in all that time none was found: nothing shows that its write is refused'
        : `${pauses} times a worker slept past its lease, and none was ever refused a write of a record that ` +
          'another had taken over meanwhile'
  // Whether another worker takes the record over during the sleep is chance, and a short run has few such sleeps: then
  // any refused write is enough.
  const isViolated = missing !== undefined && others === 0
  return {
    invariant: 11,
    says: 'where a worker slept past its lease, a write was refused',
    looked: pauses,
    violations: isViolated ? [{ invariant: 11, record: 'all logs', what: missing }] : [],
    notShown: isViolated ? undefined : missing,
    notes: [
      `${refused} writes refused to whoever had slept while another took the record over, ${others} for other reasons`,
      ...countedLines('unexpected error in a job', unexpected),
      ...countedLines('line that is no log entry', printed),
    ],
  }
}

const countedLines = (what: string, lines: readonly string[]): string[] =>
  [...Map.groupBy(lines, (line) => line)].map(([line, { length }]) => `${length} × ${what}: ${line}`)
