// What must hold whatever happened: the simulator's and the users' books against the database's. The database's own
// invariants are those of `reconsent verify`; those of the processes are in health.ts and writes.ts.
import type { Books, Check } from './books.ts'
import type { Checked } from './checked.ts'
import { approvedAreRenewedOrAsked } from './invariants/approvals.ts'
import { codesOnce, effectsHaveIntents, linksOnce, madeUpCodes, mailsAtMostOnce } from './invariants/effects.ts'
import {
  datesAreTheProviders,
  foreignCodesRenewNothing,
  theWillingAreRenewed,
  tokensAreTheirs,
} from './invariants/renewals.ts'
import { stopsAreHeeded } from './invariants/stops.ts'
import { readRecords } from './records.ts'

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
