// Invariant 3: who approved is renewed, or was asked again for a reason that nobody could help, and without delay.
import { sha256Hex } from '../../src/crypto/hashing.ts'
import type { Books, Check, Violation } from '../invariants.ts'
import { explain, type Explained, type Known, type Window, windows } from '../explain.ts'
import { freeTime, type Span, spansOf } from '../obstacles.ts'
import type { AuthorisationRecord, RenewalRecord } from '../records.ts'
import { LEASE_MS, QUEUED_FOR_MS, SWEEP_MS } from '../rig.ts'
import type { Return } from '../users.ts'
import { counted } from './counted.ts'

/** Whose approval it was, and what we made of it. */
interface Approval {
  readonly back: Return
  readonly row: AuthorisationRecord
  readonly renewal: RenewalRecord
}

export const knownOf = ({ rig, records, log, workers }: Books): Known => ({ records, log, clock: rig.clock, workers })

const approvalsOf = ({ returns, records }: Books): { approvals: Approval[]; missing: Return[] } => {
  const approvals: Approval[] = []
  const missing: Return[] = []
  for (const back of returns) {
    if (back.as !== 'approve' || back.doneId === undefined) continue
    const row = records.byState.get(sha256Hex(back.state))
    const renewal = row && records.renewals.get(row.renewal_id)
    if (row === undefined || renewal === undefined) missing.push(back)
    else approvals.push({ back, row, renewal })
  }
  return { approvals, missing }
}

const recordOf = ({ back, row }: Approval): string => `authorisation ${row.id} (user ${back.user.no}, ${back.how})`

/** Answered, but not taken: right only where the cycle had ended before the answer. */
const untakenBecause = ({ back, row, renewal }: Approval): string | undefined => {
  if (row.status === 'issued') return undefined
  const answeredAt = back.answeredAt ?? back.at
  if (renewal.closed_at !== null && renewal.closed_at <= answeredAt && renewal.status !== 'lapsed') return `cycle ${renewal.status} before the code came`
  return undefined
}

/** Renewed by this code, or by another before this one was given up. Who was asked again in between counts as asked, whatever came later. */
const hasSucceeded = ({ row, renewal }: Approval): boolean => {
  if (renewal.status !== 'renewed' && renewal.status !== 'repaired') return false
  return row.status !== 'refused' || row.code_received_at === null || (renewal.closed_at !== null && row.closed_at !== null && renewal.closed_at <= row.closed_at)
}

/** How long after its end a fault still delays a job: the lease of whoever died, or the mark of a dispatch that was lost with the queue. */
const TAIL_MS = LEASE_MS + QUEUED_FOR_MS
/** A call that a fault of the provider held up, and the job's next try. */
const CALL_MS = 3_000
/** A link that could not be made rests for an hour and a tenth, by the moving clock. */
const LINK_RESTS_MS = 66 * 60_000
const AT_THE_BANK_MS = 30 * 60_000
const DOUBT_HOLDS_MS = 24 * 3_600_000

/** While the user has another link in hand, or another code is in doubt, nothing may be sent. */
const mustNotAsk = ({ records, rig: { clock } }: Books, { row }: Approval): Span[] =>
  (records.authorisationsOf.get(row.renewal_id) ?? []).filter((other) => other.id !== row.id && other.handed_out_at !== null).flatMap((other) => {
    const left = other.handed_out_at?.getTime() ?? 0
    const back = other.code_received_at?.getTime() ?? Math.min(left + AT_THE_BANK_MS, other.closed_at?.getTime() ?? Number.POSITIVE_INFINITY)
    const settled = other.code_received_at === null ? back : Math.min(other.closed_at?.getTime() ?? Number.POSITIVE_INFINITY, back + DOUBT_HOLDS_MS)
    return [{ from: clock.realAt(new Date(left)), to: settled === Number.POSITIVE_INFINITY ? settled : clock.realAt(new Date(settled)) }]
  })

const couldNotAsk = (books: Books, approval: Approval): Span[] => {
  const { log, records, rig: { clock } } = books
  const broken = spansOf(log, ['provider-refuses', 'provider-breaks'], CALL_MS)
  // Only a record that says so has rested: most who are asked again have a link that is recent enough.
  const hasRested = records.linkFailures.has(approval.row.consent_id)
  const rests = hasRested ? broken.map(({ from, to }) => ({ from, to: clock.realAt(new Date(clock.shownAt(to) + LINK_RESTS_MS)) })) : []
  return [...spansOf(log, ['database', 'workers', 'all-workers', 'schedulers', 'queue'], TAIL_MS), ...broken, ...rests, ...books.backlogs, ...mustNotAsk(books, approval)]
}

const SWEEPS = 2

/** From the end of the doubt to the message, or to the end of the cycle: the time in which the system could act, in milliseconds. */
const askedAfter = (books: Books, approval: Approval): { readonly asked: boolean; readonly ms: number } => {
  const { records, rig: { clock } } = books
  const { row, renewal } = approval
  const closedAt = row.closed_at ?? row.code_received_at ?? row.expires_at
  const since = (records.notificationsOfRenewal.get(row.renewal_id) ?? []).filter((one) => one.created_at >= closedAt && one.status !== 'cancelled')
  const first = since.map((one) => one.created_at.getTime()).toSorted((a, b) => a - b)[0]
  const until = first ?? renewal.closed_at?.getTime()
  const whole = { from: clock.realAt(closedAt), to: until === undefined ? books.endedAt : clock.realAt(new Date(until)) }
  return { asked: first !== undefined, ms: freeTime(whole, couldNotAsk(books, approval)) }
}

/** A fault of the simulator meets one request; a death, what was in flight; an outage, every code that it outlives. */
const beyondBounds = (explained: readonly Explained[]): Violation[] =>
  [...Map.groupBy(explained.filter(({ window }) => window !== 'outlived'), ({ by }) => by)].flatMap(([by, ones]) => {
    const most = ones[0]?.most ?? 0
    return ones.length <= most ? [] : [{ invariant: 3, record: `fault ${by}`, what: `${ones.length} users were asked again for it; it can have met ${most} exchanges at most` }]
  })

export const approvedAreRenewedOrAsked: Check = (books) => {
  const { approvals, missing } = approvalsOf(books)
  const known = knownOf(books)
  const violations: Violation[] = missing.map((back) => ({
    invariant: 3, record: `user ${back.user.no}`, what: 'a callback was answered, but its authorisation is not there',
  }))
  const explained: Explained[] = []
  const untaken: string[] = []
  const delays: number[] = []
  let lapsedFirst = 0
  for (const approval of approvals) {
    const { back, row, renewal } = approval
    const violated = (what: string): void => void violations.push({ invariant: 3, record: recordOf(approval), what })
    if (hasSucceeded(approval)) continue
    if (row.code_received_at === null) {
      const why = untakenBecause(approval)
      if (why === undefined) violated(row.status === 'issued' ? 'a callback was answered before its code was committed' : `a callback was answered, its code not taken, and the cycle is ${renewal.status}`)
      else untaken.push(why)
      continue
    }
    if (['code_received', 'exchanging', 'verifying', 'unknown'].includes(row.status)) {
      violated(`still ${row.status} (${row.error_code}) when everything had been given time to end`)
      continue
    }
    const why = explain(known, row, back.codeNo ?? 0, back.user.credentialsId)
    if ('unexplained' in why) violated(`outside of every window: ${why.unexplained}`)
    else explained.push(why)
    const { asked, ms } = askedAfter(books, approval)
    if (ms > SWEEPS * SWEEP_MS) violated(`${asked ? 'asked again only' : 'not asked again'} after ${(ms / 1000).toFixed(1)} s in which nothing stood in the way (${row.status}, ${row.error_code}); two sweeps are ${(SWEEPS * SWEEP_MS) / 1000} s`)
    else if (asked) delays.push(ms)
    else lapsedFirst += 1
  }
  violations.push(...beyondBounds(explained))
  return {
    invariant: 3, says: 'who approved is renewed, or asked again for a reason within two sweeps', looked: approvals.length + missing.length, violations,
    notes: [
      ...[...Map.groupBy(explained, ({ window }) => window)].map(([window, ones]) => windowNote(window, ones)),
      ...(delays.length === 0 ? [] : [`asked again within ${(Math.max(...delays) / 1000).toFixed(1)} s of time in which nothing stood in the way, at most ${SWEEPS} sweeps of ${SWEEP_MS / 1000} s`]),
      ...(lapsedFirst === 0 ? [] : [`${lapsedFirst} cycles ended before two such sweeps had passed: nobody is asked then`]),
      ...counted(untaken),
    ],
  }
}

const windowNote = (window: Window, ones: readonly Explained[]): string =>
  `${ones.length} asked again, by ${new Set(ones.map(({ by }) => by)).size} faults: ${windows[window]}`
