// What must hold whatever happened: the simulator's and the users' books against the database's. The database's own
// invariants are those of `reconsent verify`; those of the processes are in health.ts and writes.ts.
import { approvedAreRenewedOrAsked } from './invariants/approvals.ts'
import { codesOnce, effectsHaveIntents, linksOnce, madeUpCodes, mailsAtMostOnce } from './invariants/effects.ts'
import {
  datesAreTheProviders,
  foreignCodesRenewNothing,
  theWillingAreRenewed,
  tokensAreTheirs,
} from './invariants/renewals.ts'
import { stopsAreHeeded } from './invariants/stops.ts'
import type { Span } from './obstacles.ts'
import type { OperatorAct } from './operators.ts'
import type { User } from './population.ts'
import { type Evidence, readRecords, type Records } from './records.ts'
import type { Crowd } from './users.ts'

export interface Violation {
  readonly invariant: number
  readonly record: string
  readonly what: string
}

export interface Checked {
  readonly invariant: number
  readonly says: string
  /** How many things were looked at. */
  readonly looked: number
  readonly violations: readonly Violation[]
  /** What is allowed and worth knowing. */
  readonly notes: readonly string[]
  /** What of the invariant this run did not show, although what it looked at was sound. */
  readonly notShown?: string | undefined
}

export type Check = (books: Books) => Checked

export interface Books extends Evidence {
  readonly records: Records
  readonly crowd: Pick<Crowd, 'bankLinks' | 'attempts' | 'leftOut' | 'mailed' | 'foreign' | 'forged'>
  /** What operators and users stopped by hand. */
  readonly acts: readonly OperatorAct[]
  readonly users: readonly User[]
  /** Worker processes of the run. */
  readonly workers: number
  /** When the run stopped to look, in real milliseconds. */
  readonly endedAt: number
  /** When more was due than the workers had done: work waits its turn then. */
  readonly backlogs: readonly Span[]
}

const checks: readonly Check[] = [
  codesOnce,
  approvedAreRenewedOrAsked,
  tokensAreTheirs,
  datesAreTheProviders,
  foreignCodesRenewNothing,
  mailsAtMostOnce,
  effectsHaveIntents,
  stopsAreHeeded,
  madeUpCodes,
  linksOnce,
  theWillingAreRenewed,
]

export const askEveryCheck = (books: Books): Checked[] => checks.map((check) => check(books))

/** Reads everything once and asks every check. */
export const checkBooks = async (evidence: Omit<Books, 'records'>): Promise<Checked[]> =>
  askEveryCheck({ ...evidence, records: await readRecords(evidence) })
