// Whether processes grow: memory, handles and connections after warm-up against the end; and what the logs say of writes that were refused.
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Sample } from './child.ts'
import type { Member } from './fleet.ts'
import type { Checked, Violation } from './invariants.ts'
import type { Struck } from './nemesis.ts'
import type { Rig } from './rig.ts'

export interface Level {
  readonly members: ReadonlyMap<Member, Sample>
  readonly postgres: number
  readonly redis: number
}

const ROLES = ['web', 'worker', 'scheduler'] as const

/** Undefined while a role has nobody who answers. */
export const takeLevel = async ({ fleet, sql, direct }: Rig): Promise<Level | undefined> => {
  const members = await fleet.sample()
  if (ROLES.some((role) => [...members.keys()].every((member) => member.role !== role))) return undefined
  const [row] = await sql<{ count: string }>(`SELECT count(*) FROM pg_stat_activity WHERE datname = 'reconsent' AND application_name <> 'chaos'`)
  const info = await direct.info('clients')
  return { members, postgres: Number(row?.count ?? 0), redis: Number(/connected_clients:(\d+)/.exec(info)?.[1] ?? 0) }
}

const GROWTH = 1.2
/** Of a small process a fifth is less than one page of jobs: below this nothing is called growth. */
const SLACK = { heapBytes: 12 * 1024 * 1024, handles: 8, connections: 6 }
const megabytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MB`

/** Levels of a role: processes come and go, what a role needs does not. */
const highest = (level: Level, role: string, of: keyof Sample): number =>
  Math.max(0, ...[...level.members].filter(([member]) => member.role === role).map(([, sample]) => sample[of]))

export const compareLevels = (warm: Level, end: Level): Checked => {
  const violations: Violation[] = []
  const notes: string[] = []
  const compare = (record: string, what: string, before: number, after: number, slack: number, shown: (value: number) => string): void => {
    if (before > 0 && after > Math.max(before * GROWTH, before + slack)) violations.push({ invariant: 12, record, what: `${what} grew from ${shown(before)} to ${shown(after)}` })
  }
  for (const role of ROLES) {
    compare(role, 'memory', highest(warm, role, 'heapBytes'), highest(end, role, 'heapBytes'), SLACK.heapBytes, megabytes)
    compare(role, 'handles', highest(warm, role, 'handles'), highest(end, role, 'handles'), SLACK.handles, String)
    notes.push(`${role}: heap ${megabytes(highest(warm, role, 'heapBytes'))} → ${megabytes(highest(end, role, 'heapBytes'))}, handles ${highest(warm, role, 'handles')} → ${highest(end, role, 'handles')}`)
  }
  compare('PostgreSQL', 'connections', warm.postgres, end.postgres, SLACK.connections, String)
  compare('Redis', 'clients', warm.redis, end.redis, SLACK.connections, String)
  notes.push(`connections: PostgreSQL ${warm.postgres} → ${end.postgres}, Redis ${warm.redis} → ${end.redis}`)
  return { invariant: 12, says: 'memory, connections and handles stay level', looked: end.members.size, violations, notes }
}

/** What a processor answers whose epoch had been overtaken: it wrote nothing. */
const REFUSED = /another worker(?:, a stop or an import)? took over/

export const refusedWrites = async (rig: Rig, log: readonly Struck[]): Promise<Checked> => {
  let refused = 0
  let unexpected = 0
  const kinds = new Map<string, number>()
  for (const name of await readdir(rig.logFolder)) {
    if (!name.endsWith('.log')) continue
    for await (const line of createInterface({ input: createReadStream(join(rig.logFolder, name)) })) {
      if (REFUSED.test(line)) refused += 1
      if (line.includes('"msg":"unexpected error in a job"')) {
        unexpected += 1
        const error = /"error":(\{[^}]*\})/.exec(line)?.[1] ?? 'unknown'
        kinds.set(error, (kinds.get(error) ?? 0) + 1)
      }
    }
  }
  const pauses = log.filter((one) => one.name === 'pause a worker past its lease' && one.happened > 0).length
  const violations: Violation[] = pauses >= 2 && refused === 0 ? [{ invariant: 11, record: 'all logs', what: `${pauses} workers slept past their leases, and no write was ever refused` }] : []
  const notes = [`${refused} writes refused, ${pauses} workers paused past their lease`]
  if (unexpected > 0) notes.push(`${unexpected} unexpected errors in jobs: ${[...kinds].map(([kind, count]) => `${count} × ${kind}`).join(', ')}`)
  return { invariant: 11, says: 'no write of an overtaken epoch succeeds', looked: refused, violations, notes }
}
