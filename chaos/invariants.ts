// What must hold whatever happened: compares the records of the simulator and the users with the database. The
// database's own invariants are those of `reconsent verify`; those of the processes are in health.ts and writes.ts.
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
  /** The number of things that the check looked at. */
  readonly looked: number
  readonly violations: readonly Violation[]
  /** Findings that are allowed and worth knowing. */
  readonly notes: readonly string[]
  /** The part of the invariant that this run did not show, although everything that it looked at was right. */
  readonly notShown?: string | undefined
}

export type Check = (books: Books) => Checked

export interface Books extends Evidence {
  readonly records: Records
  readonly crowd: Pick<Crowd, 'bankLinks' | 'attempts' | 'leftOut' | 'mailed' | 'foreign' | 'forged'>
  /** What operators and users stopped by hand. */
  readonly acts: readonly OperatorAct[]
  readonly users: readonly User[]
  /** The number of worker processes in the run. */
  readonly workers: number
  /** When the run ended and the checks began, in real milliseconds. */
  readonly endedAt: number
  /** The times in which more was due than the workers had done: work waits its turn then. */
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

/** Reads all records once and runs every check on them. */
export const checkBooks = async (evidence: Omit<Books, 'records'>): Promise<Checked[]> =>
  askEveryCheck({ ...evidence, records: await readRecords(evidence) })
