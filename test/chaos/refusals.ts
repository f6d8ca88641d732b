// Recognises a refused write in a log: a processor whose fencing token had been overtaken says that it wrote nothing.
// Also finds the refusals that belong to a process that slept past its lease: an operator's stop, or a fault elsewhere,
// causes refusals as well.
import { STALE_CLAIM } from '../../src/processors/outcome.ts'
import { LEASE_MS } from './rig.ts'
import type { Pause } from './struck.ts'
import { writerName } from './writer-name.ts'
import type { Takeover } from './writes.ts'

const staleClaim = JSON.stringify({ reason: STALE_CLAIM.reason }).slice(1, -1)

export const isRefusal = (line: string): boolean => line.includes(staleClaim)

export interface Refusal {
  /** The process's name in the database: its seat and process id. */
  readonly who: string
  readonly recordId: string
  /** Real time, in milliseconds. */
  readonly at: number
}

/** Undefined where the line reports no refusal. `seat`: the seat that wrote the log. */
export const refusalIn = (seat: string, line: string): Refusal | undefined => {
  if (!isRefusal(line)) return undefined
  try {
    const {
      pid,
      time,
      job_id: jobId,
    } = JSON.parse(line) as { readonly pid: number; readonly time: string; readonly job_id: string }
    // In a job id, the number of the dispatch follows the record's id.
    return { who: writerName(seat, pid), recordId: jobId.replace(/-\d+$/, ''), at: Date.parse(time) }
  } catch {
    // A process that was killed may leave half a line.
    return undefined
  }
}

/** By then, the work that was under way when the process woke up has ended. */
const WRITES_WITHIN_MS = 10_000

/** The refusals of processes whose record another worker took over while they slept. */
export const ofSleepers = (
  refusals: readonly Refusal[],
  takeovers: readonly Takeover[],
  pauses: readonly Pause[],
): Refusal[] =>
  refusals.filter(({ who, recordId, at }) =>
    pauses.some(
      ({ seat, pid, from, to }) =>
        writerName(seat, pid) === who &&
        to - from > LEASE_MS &&
        at >= from &&
        at <= to + WRITES_WITHIN_MS &&
        takeovers.some(
          (taken) =>
            taken.row_id === recordId && taken.holder === who && taken.at.getTime() >= from && taken.at.getTime() <= to,
        ),
    ),
  )
