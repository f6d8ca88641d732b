// Invariant 3: who approved is renewed, or was asked again for a reason that nobody could help, and without delay.
import { sha256Hex } from '../../src/crypto/hashing.ts'
import { holdsOf, optOutOf } from '../holds.ts'
import type { Books, Check, Violation } from '../invariants.ts'
import { explain, type Explained, type Known, type Window, windows } from '../explain.ts'
import { freeTime, type Span, spansOf } from '../obstacles.ts'
import type { AuthorisationRecord, RenewalRecord } from '../records.ts'
import { LEASE_MS, QUEUED_FOR_MS, SWEEP_MS } from '../rig.ts'
import type { Return } from '../way-back.ts'
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

/** Who leaves while their code is under way is not asked again, whatever becomes of it. */
const optedOutFirst = ({ acts, rig: { clock } }: Books, { row }: Approval): boolean => {
  const left = optOutOf(acts, row.consent_id)
  return left !== undefined && (row.closed_at === null || left.from <= clock.realAt(row.closed_at))
}

const recordOf = ({ back, row }: Approval): string => `authorisation ${row.id} (user ${back.user.no}, ${back.how})`

/** Answered, but not taken: right only where the cycle had ended before the answer. */
const untakenBecause = ({ back, row, renewal }: Approval): string | undefined => {
  // Stopped for good, a cycle leaves its attempts as they are: they expire.
  if (row.status === 'issued' && renewal.status !== 'cancelled') return undefined
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
  // When it runs again, the next sweep finds it.
  const paused = holdsOf(books.acts, approval.row.consent_id).map(({ may }) => ({ from: may.from, to: may.to + SWEEP_MS }))
  return [...spansOf(log, ['database', 'workers', 'all-workers', 'schedulers', 'queue'], TAIL_MS), ...broken, ...rests, ...books.backlogs, ...mustNotAsk(books, approval), ...paused]
}

const SWEEPS = 2

interface Asked {
  readonly as: 'asked' | 'cycle ended' | 'run ended'
  /** In which the system could act. */
  readonly ms: number
  /** In all. */
  readonly wholeMs: number
}

/** From the end of the doubt to the message, or to the end of the cycle or the run. */
const askedAfter = (books: Books, approval: Approval): Asked => {
  const { records, rig: { clock } } = books
  const { row, renewal } = approval
  const closedAt = row.closed_at ?? row.code_received_at ?? row.expires_at
  const since = (records.notificationsOfRenewal.get(row.renewal_id) ?? []).filter((one) => one.created_at >= closedAt && one.status !== 'cancelled')
  const first = since.map((one) => one.created_at.getTime()).toSorted((a, b) => a - b)[0]
  const until = first ?? renewal.closed_at?.getTime()
  const whole = { from: clock.realAt(closedAt), to: until === undefined ? books.endedAt : clock.realAt(new Date(until)) }
  const as = first !== undefined ? 'asked' : until === undefined ? 'run ended' : 'cycle ended'
  return { as, ms: freeTime(whole, couldNotAsk(books, approval)), wholeMs: Math.max(0, whole.to - whole.from) }
}

/** Why somebody was asked again, and what its fault met: their approval, or the connection whose token it took, with all codes that came for it. */
interface Met extends Explained {
  readonly met: Approval | string
}

/** A fault of the simulator meets one request; a death, what was in flight; an outage, every code that it outlives. */
const beyondBounds = (explained: readonly Met[]): Violation[] =>
  [...Map.groupBy(explained.filter(({ window }) => window !== 'outlived'), ({ by }) => by)].flatMap(([by, ones]) => {
    const most = ones[0]?.most ?? 0
    const met = new Set(ones.map((one) => one.met)).size
    return met <= most ? [] : [{ invariant: 3, record: `fault ${by}`, what: `${met} users were asked again for it; it can have met ${most} exchanges at most` }]
  })

export const approvedAreRenewedOrAsked: Check = (books) => {
  const { approvals, missing } = approvalsOf(books)
  const known = knownOf(books)
  const violations: Violation[] = missing.map((back) => ({
    invariant: 3, record: `user ${back.user.no}`, what: 'a callback was answered, but its authorisation is not there',
  }))
  const explained: Met[] = []
  const untaken: string[] = []
  const waits: Asked[] = []
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
    if (optedOutFirst(books, approval)) {
      untaken.push('its user opted out before the exchange had ended: nobody is asked again')
      continue
    }
    const why = explain(known, row, back.codeNo ?? 0, back.user.credentialsId)
    if ('unexplained' in why) violated(`outside of every window: ${why.unexplained}`)
    else explained.push({ ...why, met: why.window === 'taken' ? back.user.credentialsId : approval })
    // No link can be made with a token that the provider took back: they are asked as soon as the company connects them anew.
    if (!('unexplained' in why) && why.window === 'taken') continue
    const asked = askedAfter(books, approval)
    const { as, ms } = asked
    waits.push(asked)
    if (ms > SWEEPS * SWEEP_MS) violated(`${as === 'asked' ? 'asked again only' : 'not asked again'} after ${(ms / 1000).toFixed(1)} s in which nothing stood in the way (${row.status}, ${row.error_code}); two sweeps are ${(SWEEPS * SWEEP_MS) / 1000} s`)
  }
  violations.push(...beyondBounds(explained))
  return {
    invariant: 3, says: 'who approved is renewed, or asked again for a reason within two sweeps', looked: approvals.length + missing.length, violations,
    notShown: notJudged(waits),
    notes: [
      ...[...Map.groupBy(explained, ({ window }) => window)].map(([window, ones]) => windowNote(window, ones)),
      ...waitNotes(waits),
      ...counted(untaken),
    ],
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const wasPrompt = ({ as, wholeMs }: Asked): boolean => as === 'asked' && wholeMs <= SWEEPS * SWEEP_MS

/**
 * How soon they are asked is shown by those who were asked in time with nothing deducted, or by time in which they could have been. Where
 * a fault, a backlog or another link of the user's covers all of it, the run tells nothing of it.
 */
const notJudged = (waits: readonly Asked[]): string | undefined => {
  const judged = waits.reduce((total, { ms }) => total + ms, 0)
  return waits.length === 0 || judged >= SWEEP_MS || waits.some(wasPrompt) ? undefined : `how soon they are asked: in all, ${seconds(judged)} could be judged`
}

/** How much of the time could be judged at all, and what became of those who waited. */
const waitNotes = (waits: readonly Asked[]): string[] => {
  const [asked, cycleEnded, runEnded] = (['asked', 'cycle ended', 'run ended'] as const).map((as) => waits.filter((one) => one.as === as)) as [Asked[], Asked[], Asked[]]
  const sum = (pick: (one: Asked) => number): string => seconds(waits.reduce((total, one) => total + pick(one), 0))
  const longest = Math.max(0, ...asked.map(({ ms }) => ms))
  return [
    ...(waits.length === 0 ? [] : [`judged: ${sum(({ ms }) => ms)} in which nothing stood in the way, of ${sum(({ wholeMs }) => wholeMs)} that passed between ${waits.length} doubts' ends and what followed`]),
    ...(asked.length === 0 ? [] : [
      `${asked.length} asked again, each within ${seconds(longest)} of such time, at most ${SWEEPS} sweeps of ${seconds(SWEEP_MS)}; ${asked.filter(wasPrompt).length} of them within that with nothing deducted`,
    ]),
    ...(cycleEnded.length === 0 ? [] : [`${cycleEnded.length} cycles ended before two such sweeps had passed: nobody is asked then`]),
    ...(runEnded.length === 0 ? [] : [`${runEnded.length} cycles were still open at the run's end, less than two such sweeps after their doubt's`]),
  ]
}

const windowNote = (window: Window, ones: readonly Explained[]): string =>
  `${ones.length} asked again, by ${new Set(ones.map(({ by }) => by)).size} faults, ${boundOf(window, ones)}: ${windows[window]}`

/** An outage meets every code that it outlives: there is no bound but the codes'. */
const boundOf = (window: Window, ones: readonly Explained[]): string => {
  const bounds = new Map(ones.map(({ by, most }) => [by, most]))
  return window === 'outlived' ? 'without a bound' : `which can have met ${[...bounds.values()].reduce((sum, one) => sum + one, 0)} exchanges at most`
}
