// Judges whether processes grow. Memory and handles of each process are compared with its own level after its warm-up,
// handles also with the level of its role, and connections with the quiet level at the start. Pure.
import type { Role } from '../../src/main.ts'
import type { Checked, Violation } from './checked.ts'
import type { Sample } from './child.ts'

export interface Taken {
  readonly at: number
  readonly sample: Sample
  /** Nothing was going on, and the pools had closed the connections that they did not need. */
  readonly rested: boolean
}

/** One process, from its start to its end or to the end of the run. */
export interface Course {
  readonly name: string
  readonly role: Role
  readonly startedAt: number
  readonly taken: readonly Taken[]
}

export interface Connections {
  readonly postgres: number
  readonly redis: number
  /** The processes that ran when the connections were counted. */
  readonly processes: number
}

/**
 * A process of each of these roles must have been sampled for `forMs`. Where that is not demanded, because the run is
 * not full, a missing role is only reported as not shown.
 */
export interface Wanted {
  readonly roles: readonly Role[]
  readonly forMs: number
  readonly isDemanded: boolean
}

const GROWTH = 1.2
const WARM_AFTER_MS = 20_000
/** Between two samples that are compared. */
const APART_MS = 15_000
/**
 * One sample taken at rest gives the level. A sample taken under load includes the work in hand, so the level is the
 * lowest of this many samples.
 */
const LOOKS_AT_WORK = 3
/**
 * Growth that is always allowed: Node allocates buffers in slabs, and a pool may have a second connection with its
 * timer open when the sample is taken.
 */
const FLOOR = { heapBytes: 0, bufferBytes: 1024 * 1024, handles: 3, clients: 0 }
const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`
const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`

export const lowest = (one: Sample, other: Sample): Sample => ({
  heapBytes: Math.min(one.heapBytes, other.heapBytes),
  bufferBytes: Math.min(one.bufferBytes, other.bufferBytes),
  rssBytes: Math.min(one.rssBytes, other.rssBytes),
  handles: Math.min(one.handles, other.handles),
})

interface Levels {
  readonly before: Sample
  readonly after: Sample
  readonly overMs: number
  readonly looks: number
}

/** The level at the beginning of a series of samples. */
const firstLevel = (taken: readonly Taken[]): Sample | undefined => {
  const first = taken.slice(0, taken[0]?.rested === true ? 1 : LOOKS_AT_WORK)
  return first.some(({ rested }) => rested) || first.length === LOOKS_AT_WORK
    ? first.map(({ sample }) => sample).reduce(lowest)
    : undefined
}

/** The levels at the beginning and at the end of these samples; undefined where the samples show nothing. */
const levelsOf = (taken: readonly Taken[]): Levels | undefined => {
  const [before, after] = [firstLevel(taken), firstLevel(taken.toReversed())]
  const overMs = (taken.at(-1)?.at ?? 0) - (taken[0]?.at ?? 0)
  return before && after && overMs >= APART_MS ? { before, after, overMs, looks: taken.length } : undefined
}

/** The handles that each role's processes had open when the run was warm and nothing had failed yet. */
const handlesOf = (courses: readonly Course[]): ReadonlyMap<Role, number> => {
  const looks = courses.flatMap(({ role, taken }) =>
    taken.filter(({ rested }) => rested).map(({ at, sample: { handles } }) => ({ role, at, handles })),
  )
  const began = Math.min(...looks.map(({ at }) => at))
  const first = Map.groupBy(
    looks.filter(({ at }) => at < began + APART_MS),
    ({ role }) => role,
  )
  return new Map([...first].map(([role, of]) => [role, Math.max(...of.map(({ handles }) => handles))]))
}

export const compareLevels = (
  courses: readonly Course[],
  quiet: readonly Connections[],
  { roles, forMs, isDemanded }: Wanted,
): Checked => {
  const violations: Violation[] = []
  const compare = (
    record: string,
    what: string,
    before: number,
    after: number,
    floor: number,
    shown: (value: number) => string,
  ): void => {
    if (after > Math.max(before * GROWTH, before + floor))
      violations.push({ invariant: 12, record, what: `${what} grew from ${shown(before)} to ${shown(after)}` })
  }
  const handles = handlesOf(courses)
  const lives: { readonly name: string; readonly role: Role; readonly overMs: number; readonly note: string }[] = []
  for (const { name, role, startedAt, taken } of courses) {
    const warm = taken.filter(({ at }) => at - startedAt >= WARM_AFTER_MS)
    const rested = warm.filter((one) => one.rested)
    const levels = levelsOf(warm) ?? levelsOf(rested)
    if (levels === undefined) continue
    const { before, after, overMs, looks } = levels
    const record = `${name} of ${new Date(startedAt).toISOString()}`
    compare(record, 'heap', before.heapBytes, after.heapBytes, FLOOR.heapBytes, megabytes)
    compare(record, 'memory outside of the heap', before.bufferBytes, after.bufferBytes, FLOOR.bufferBytes, megabytes)
    // Handles are compared at rest only: under load, pools and sockets open and close.
    const open = rested.map(({ sample }) => sample.handles)
    const last = open.at(-1)
    if (last !== undefined)
      compare(record, 'handles', Math.min(open[0] ?? last, handles.get(role) ?? last), last, FLOOR.handles, String)
    lives.push({
      name,
      role,
      overMs,
      note:
        `over ${seconds(overMs)}, ${looks} looks: heap ${megabytes(before.heapBytes)} → ` +
        `${megabytes(after.heapBytes)}, buffers ${megabytes(before.bufferBytes)} → ` +
        `${megabytes(after.bufferBytes)}, handles at rest ${open.join(' ')}; resident, as the system counts: ` +
        `${megabytes(before.rssBytes)} → ${megabytes(after.rssBytes)}`,
    })
  }
  const [first, last] = [quiet[0], quiet.at(-1)]
  const notes = maxOfEach(lives).map(({ name, note }) => `${name}, ${note}`)
  if (first !== undefined && last !== undefined && quiet.length > 1) {
    // Two timers of a process that run at the same moment need a second connection, and the pool keeps that connection
    // for a while. One more connection for each process is therefore no growth.
    compare('PostgreSQL', 'connections', first.postgres, last.postgres, last.processes, String)
    compare('Redis', 'clients', first.redis, last.redis, FLOOR.clients, String)
    notes.push(
      `connections when quiet: PostgreSQL ${first.postgres} → ${last.postgres}, Redis ${first.redis} → ${last.redis}`,
    )
  }
  const short = roles.flatMap((role) => {
    const longest = Math.max(0, ...lives.filter((life) => life.role === role).map(({ overMs }) => overMs))
    return longest >= forMs
      ? []
      : [`no ${role} was looked at for more than ${seconds(longest)}; a quarter of this run is ${seconds(forMs)}`]
  })
  if (isDemanded) violations.push(...short.map((what) => ({ invariant: 12, record: 'the run', what })))
  return {
    invariant: 12,
    says: 'memory, connections and handles stay level',
    looked: lives.length,
    violations,
    notes,
    notShown: isDemanded || short.length === 0 ? undefined : short.join('; '),
  }
}

/** The longest observation of each seat, the longest of all first. */
const maxOfEach = <Life extends { readonly name: string; readonly overMs: number }>(lives: readonly Life[]): Life[] => {
  const byLength = lives.toSorted((a, b) => b.overMs - a.overMs)
  return byLength.filter((life, index) => byLength.findIndex(({ name }) => name === life.name) === index)
}
