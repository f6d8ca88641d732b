// Counts what a repair did, or would do, for its report, and lists what an operator must see. Changes nothing.
import type { ShortLivedChange } from './short-lived.ts'
import type { Aftermath, Plan, Unproven } from './plan.ts'

/** The longest list for the operator; the counts continue beyond it. */
const MAX_LISTED = 100_000

export const startTally = (startedAt: number) => {
  const changes = new Map<string, { what: string; by: string; rows: number }>()
  const [unproven, aftermath]: [Unproven[], Aftermath[]] = [[], []]
  let [looked, shifted, stillWritten] = [0, 0, false]
  const count = (what: string, by: string, rows = 1): void => {
    const key = `${what} ${by}`
    changes.set(key, { what, by, rows: (changes.get(key)?.rows ?? 0) + rows })
  }
  return {
    looked: () => looked,
    plans: (plans: readonly Plan[]): void => {
      looked += plans.length
      for (const plan of plans) {
        if (plan.changes.length > 0) shifted += 1
        for (const { table, column, by } of plan.changes) count(`${table}.${column}`, by)
        if (plan.shifts.byHash.some(({ meant }) => meant > startedAt)) stillWritten = true
        unproven.push(...plan.unproven.slice(0, MAX_LISTED - unproven.length))
        aftermath.push(...plan.aftermath.slice(0, MAX_LISTED - aftermath.length))
      }
    },
    shortLived: (found: readonly ShortLivedChange[]): void => {
      for (const { what, by, rows } of found) count(what, by, rows)
    },
    result: () => ({
      looked,
      shifted,
      changes: [...changes.values()].toSorted((a, b) => a.what.localeCompare(b.what)),
      unproven,
      aftermath,
      stillWritten,
    }),
  }
}
