// Whether processes grow: memory and handles of each process against its own level after its warm-up, connections against the quiet
// level at the start; and what the logs say of writes that were refused.
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Sample } from './child.ts'
import type { Member } from './fleet.ts'
import { PAUSE_PAST_LEASE } from './faults/processes.ts'
import type { Checked, Violation } from './invariants.ts'
import { linesOf, logsIn } from './logs.ts'
import type { Struck } from './nemesis.ts'
import { isRefusal } from './refusals.ts'
import type { Rig } from './rig.ts'

export interface Taken {
  readonly at: number
  readonly sample: Sample
}

/** One process, from its start to its end or the run's. */
export interface Course {
  readonly name: string
  readonly role: string
  readonly startedAt: number
  /** When nothing was going on. */
  readonly taken: readonly Taken[]
}

export interface Connections {
  readonly postgres: number
  readonly redis: number
  /** That ran when it was counted. */
  readonly processes: number
}

export interface Levels {
  /** To be asked for when nothing is going on: waits until the pools have let go of what they do not need, then takes the lowest of some looks. */
  takeQuiet(): Promise<void>
  judge(): Checked
}

/** The pool's own idle time-out (pg: ten seconds), and a moment. */
const POOLS_REST_MS = 11_000
const LOOKS = 4
const LOOKS_EVERY_MS = 300

const lower = (one: Sample, other: Sample): Sample => ({
  heapBytes: Math.min(one.heapBytes, other.heapBytes), bufferBytes: Math.min(one.bufferBytes, other.bufferBytes),
  rssBytes: Math.min(one.rssBytes, other.rssBytes), handles: Math.min(one.handles, other.handles),
})

const connectionsOf = async ({ sql, direct, fleet }: Rig): Promise<Connections> => {
  const [row] = await sql<{ count: string }>(`SELECT count(*) FROM pg_stat_activity WHERE datname = 'reconsent' AND application_name ~ '^(web|worker|scheduler)-'`)
  const info = await direct.info('clients')
  return { postgres: Number(row?.count ?? 0), redis: Number(/connected_clients:(\d+)/.exec(info)?.[1] ?? 0), processes: fleet.members().length }
}

export const makeLevels = (rig: Rig): Levels => {
  const courses = new Map<Member, Course & { readonly taken: Taken[] }>()
  const quiet: Connections[] = []
  return {
    takeQuiet: async () => {
      await wait(POOLS_REST_MS)
      // A sweep that happens to run has a connection or two more: the lowest of several looks is the level.
      const lowest = new Map<Member, Sample>()
      let connections: Connections = { postgres: Number.POSITIVE_INFINITY, redis: Number.POSITIVE_INFINITY, processes: 0 }
      for (let look = 0; look < LOOKS; look += 1) {
        for (const [member, sample] of await rig.fleet.sample()) lowest.set(member, lower(lowest.get(member) ?? sample, sample))
        const now = await connectionsOf(rig)
        connections = { postgres: Math.min(connections.postgres, now.postgres), redis: Math.min(connections.redis, now.redis), processes: now.processes }
        await wait(LOOKS_EVERY_MS)
      }
      for (const [member, sample] of lowest) {
        const { name, role, startedAt } = member
        const course = courses.get(member) ?? { name, role, startedAt, taken: [] }
        courses.set(member, course)
        course.taken.push({ at: Date.now(), sample })
      }
      quiet.push(connections)
    },
    judge: () => compareLevels([...courses.values()], quiet),
  }
}

const GROWTH = 1.2
const WARM_AFTER_MS = 20_000
/** Between two samples that are compared. */
const APART_MS = 15_000
/** Buffers come in slabs: one socket more or less at the moment of the look is no growth. */
const FLOOR = { heapBytes: 0, bufferBytes: 1024 * 1024, handles: 0, clients: 0 }
const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`

export const compareLevels = (courses: readonly Course[], quiet: readonly Connections[]): Checked => {
  const violations: Violation[] = []
  const notes: string[] = []
  const compare = (record: string, what: string, before: number, after: number, floor: number, shown: (value: number) => string): void => {
    if (after > Math.max(before * GROWTH, before + floor)) violations.push({ invariant: 12, record, what: `${what} grew from ${shown(before)} to ${shown(after)}` })
  }
  let looked = 0
  for (const { name, startedAt, taken } of courses) {
    const warm = taken.find(({ at }) => at - startedAt >= WARM_AFTER_MS)
    const last = taken.at(-1)
    if (warm === undefined || last === undefined || last.at - warm.at < APART_MS) continue
    looked += 1
    const record = `${name} of ${new Date(startedAt).toISOString()}`
    compare(record, 'heap', warm.sample.heapBytes, last.sample.heapBytes, FLOOR.heapBytes, megabytes)
    compare(record, 'memory outside of the heap', warm.sample.bufferBytes, last.sample.bufferBytes, FLOOR.bufferBytes, megabytes)
    compare(record, 'handles', warm.sample.handles, last.sample.handles, FLOOR.handles, String)
    notes.push(`${name}, over ${Math.round((last.at - warm.at) / 1000)} s: heap ${taken.map(({ sample }) => megabytes(sample.heapBytes)).join(' ')}, buffers ${taken.map(({ sample }) => megabytes(sample.bufferBytes)).join(' ')}, handles ${taken.map(({ sample }) => sample.handles).join(' ')}; resident, as the system counts: ${taken.map(({ sample }) => megabytes(sample.rssBytes)).join(' ')}`)
  }
  const [first, last] = [quiet[0], quiet.at(-1)]
  if (first !== undefined && last !== undefined && quiet.length > 1) {
    // Two timers of a process that happen to meet take a second connection, and the pool keeps it for a while: one each is no growth.
    compare('PostgreSQL', 'connections', first.postgres, last.postgres, last.processes, String)
    compare('Redis', 'clients', first.redis, last.redis, FLOOR.clients, String)
    notes.push(`connections when quiet: PostgreSQL ${first.postgres} → ${last.postgres}, Redis ${first.redis} → ${last.redis}`)
  }
  return { invariant: 12, says: 'memory, connections and handles stay level', looked, violations, notes }
}

export const refusedWrites = async (rig: Pick<Rig, 'logFolder'>, log: readonly Struck[]): Promise<Checked> => {
  let refused = 0
  const unexpected: string[] = []
  const printed: string[] = []
  for (const name of await logsIn(rig.logFolder)) {
    for await (const line of linesOf(join(rig.logFolder, name))) {
      if (isRefusal(line)) refused += 1
      if (line.includes('"msg":"unexpected error in a job"')) unexpected.push(/"error":(\{[^}]*\})/.exec(line)?.[1] ?? 'unknown')
      if (!line.startsWith('{') && line.trim() !== '' && !line.startsWith(' ')) printed.push(line.slice(0, 100))
    }
  }
  return judgeRefusals({ refused, unexpected, printed }, log)
}

export const judgeRefusals = ({ refused, unexpected, printed }: { refused: number; unexpected: readonly string[]; printed: readonly string[] }, log: readonly Struck[]): Checked => {
  const struck = log.filter(({ name }) => name === PAUSE_PAST_LEASE)
  const pauses = struck.reduce((sum, { happened }) => sum + happened, 0)
  const violations: Violation[] = struck.length === 0 || refused > 0 ? [] : [{
    invariant: 11, record: 'all logs',
    what: pauses === 0
      ? `${struck.length} times a worker with a record in hand was looked for, to make it sleep past its lease, and in all that time none was found: nothing shows that its write is refused`
      : `${pauses} times a worker slept past its lease, and no write was ever refused`,
  }]
  return {
    invariant: 11, says: 'where a worker slept past its lease, a write was refused', looked: pauses, violations,
    notes: [`${refused} writes refused`, ...countedLines('unexpected error in a job', unexpected), ...countedLines('line that is no log entry', printed)],
  }
}

const countedLines = (what: string, lines: readonly string[]): string[] =>
  [...Map.groupBy(lines, (line) => line)].map(([line, { length }]) => `${length} × ${what}: ${line}`)
