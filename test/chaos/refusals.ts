// How a refused write shows in a log: what a processor answers whose epoch had been overtaken, so that it wrote
// nothing. And which of them are of a process that slept past its lease: a stop by an operator's hand, or a fault
// elsewhere, makes refusals as well.
import { STALE_CLAIM } from '../../src/processors/outcome.ts'
import { LEASE_MS } from './rig.ts'
import type { Pause } from './struck.ts'
import { writerName } from './writer-name.ts'
import type { Takeover } from './writes.ts'

const staleClaim = JSON.stringify({ reason: STALE_CLAIM.reason }).slice(1, -1)

export const isRefusal = (line: string): boolean => line.includes(staleClaim)

export interface Refusal {
  /** As the database knows it: by seat and process. */
  readonly who: string
  readonly recordId: string
  /** Real time, in milliseconds. */
  readonly at: number
}

/** Undefined where the line tells of none. `seat`: whose log it is. */
export const refusalIn = (seat: string, line: string): Refusal | undefined => {
  if (!isRefusal(line)) return undefined
  try {
    const {
      pid,
      time,
      job_id: jobId,
    } = JSON.parse(line) as { readonly pid: number; readonly time: string; readonly job_id: string }
    // The number of its dispatch follows the record's id.
    return { who: writerName(seat, pid), recordId: jobId.replace(/-\d+$/, ''), at: Date.parse(time) }
  } catch {
    // A process that was killed leaves the half of a line.
    return undefined
  }
}

/** What was under way when it woke up has ended by then. */
const WRITES_WITHIN_MS = 10_000

/** Those whose record another worker took over while they slept. */
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
