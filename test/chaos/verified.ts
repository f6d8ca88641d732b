// The database's own invariants at the end of a run: the findings of `reconsent verify`, counted by invariant.
import { Duration } from 'luxon'
import { verify } from '../../src/verify/verify.ts'
import type { Checked } from './checked.ts'
import { type Rig, SWEEP_MS } from './rig.ts'

const names: Readonly<Record<number, string>> = {
  1: 'every open row has a date, none overdue by more than two sweeps',
  4: 'every stored secret opens',
  5: 'one renewal a cycle, one success in it, none without proof',
  6: 'one message a rung, none after the renewal or a stop',
  7: 'no effect is recorded without its intent',
  10: 'events have no gap, verify, and tell the stored state',
}

/** Connects with the role that the processes use. */
export const verifyDatabase = async ({ dbAsApplication: db, clock, config, sql }: Rig): Promise<Checked[]> => {
  const violations = await verify(db, {
    now: clock.now(),
    sweepInterval: Duration.fromMillis(SWEEP_MS),
    deep: true,
    keys: config.keys,
    hasOwnRole: true,
  })
  const [row] = await sql<{
    rows: string
  }>(`SELECT (SELECT count(*) FROM consents) + (SELECT count(*) FROM renewals) + (SELECT count(*) FROM authorisations)
    + (SELECT count(*) FROM notifications) + (SELECT count(*) FROM events) AS rows`)
  const numbers = new Set([...Object.keys(names).map(Number), ...violations.map((one) => one.invariant)])
  return [...numbers].map((invariant) => ({
    invariant,
    says: `verify: ${names[invariant] ?? 'the database'}`,
    looked: Number(row?.rows ?? 0),
    notes: [],
    violations: violations.filter((one) => one.invariant === invariant),
  }))
}
