// Invariant 3: a user who approved is renewed, or was asked again without delay, for a reason that nobody could
// prevent.
import { sha256Hex } from '../../../src/crypto/hashing.ts'
import { attribute, type Attribution } from '../attribution.ts'
import type { Books, Check } from '../books.ts'
import type { Violation } from '../checked.ts'
import { explain, type Explained, type Known, type Window, windows } from '../explain.ts'
import { optOutOf } from '../holds.ts'
import { SWEEP_MS } from '../rig.ts'
import type { Return } from '../way-back.ts'
import { type Approval, type Asked, askedAfter, notJudged, SWEEPS, waitNotes } from './asked.ts'
import { counted } from './counted.ts'

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

/** A user who opts out while their code is being exchanged is not asked again, whatever the outcome. */
const optedOutFirst = ({ acts, rig: { clock } }: Books, { row }: Approval): boolean => {
  const left = optOutOf(acts, row.consent_id)
  return left !== undefined && (row.closed_at === null || left.from <= clock.realAt(row.closed_at))
}

const recordOf = ({ back, row }: Approval): string => `authorisation ${row.id} (user ${back.user.no}, ${back.how})`

/**
 * Why a callback was answered although its code was not taken: that is right only where the cycle had ended before the
 * answer.
 */
const untakenBecause = ({ back, row, renewal }: Approval): string | undefined => {
  // A cycle that was stopped for good leaves its attempts as they are: they expire.
  if (row.status === 'issued' && renewal.status !== 'cancelled') return undefined
  const answeredAt = back.answeredAt ?? back.at
  if (renewal.closed_at !== null && renewal.closed_at <= answeredAt && renewal.status !== 'lapsed')
    return `cycle ${renewal.status} before the code came`
  return undefined
}

/**
 * Renewed by this code, or by another code before this one was given up. A user who was asked again in between counts
 * as asked, whatever came later.
 */
const hasSucceeded = ({ row, renewal }: Approval): boolean => {
  if (renewal.status !== 'renewed' && renewal.status !== 'repaired') return false
  return (
    row.status !== 'refused' ||
    row.code_received_at === null ||
    (renewal.closed_at !== null && row.closed_at !== null && renewal.closed_at <= row.closed_at)
  )
}

const isTaken = (causes: readonly Explained[]): boolean => causes.some(({ window }) => window === 'taken')

/** What a fault met: an approval, or the connection whose token was lost, with all codes that came for it. */
type Loss = Approval | string

/**
 * A fault of the simulator meets one request; a killed process, what was in flight. Where several faults were on, each
 * can have met its own number.
 */
const beyondBounds = (
  causesOf: ReadonlyMap<Loss, readonly Explained[]>,
  { by, left }: Attribution<Loss, Explained>,
): Violation[] =>
  [...Map.groupBy(left, (loss) => causesOf.get(loss)?.[0])].flatMap(([cause, those]) => {
    if (cause === undefined) return []
    const met = those.length + [...by.values()].filter((one) => one.by === cause.by).length
    return [
      {
        invariant: 3,
        record: `fault ${cause.by}`,
        what:
          `${met} users were asked again for it; it can have met ${cause.most} exchanges at most, and what else ` +
          'was on then has met its own',
      },
    ]
  })

export const approvedAreRenewedOrAsked: Check = (books) => {
  const { approvals, missing } = approvalsOf(books)
  const known = knownOf(books)
  const violations: Violation[] = missing.map((back) => ({
    invariant: 3,
    record: `user ${back.user.no}`,
    what: 'a callback was answered, but its authorisation is not there',
  }))
  const causesOf = new Map<Loss, readonly Explained[]>()
  const untaken: string[] = []
  const waits: Asked[] = []
  for (const approval of approvals) {
    const { back, row, renewal } = approval
    const violated = (what: string): void => void violations.push({ invariant: 3, record: recordOf(approval), what })
    if (hasSucceeded(approval)) continue
    if (row.code_received_at === null) {
      const why = untakenBecause(approval)
      if (why === undefined)
        violated(
          row.status === 'issued'
            ? 'a callback was answered before its code was committed'
            : `a callback was answered, its code not taken, and the cycle is ${renewal.status}`,
        )
      else untaken.push(why)
      continue
    }
    if (['code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date'].includes(row.status)) {
      violated(`still ${row.status} (${row.error_code}) when everything had been given time to end`)
      continue
    }
    if (optedOutFirst(books, approval)) {
      untaken.push('its user opted out before the exchange had ended: nobody is asked again')
      continue
    }
    const why = explain(known, row, back.codeNo ?? 0, back.user.credentialsId)
    if ('unexplained' in why) violated(`outside of every window: ${why.unexplained}`)
    else causesOf.set(isTaken(why.causes) ? back.user.credentialsId : approval, why.causes)
    // No link can be made with a token that the provider has replaced: the user is asked again as soon as the company
    // connects them anew.
    if (!('unexplained' in why) && isTaken(why.causes)) continue
    const asked = askedAfter(books, approval)
    const { as, ms } = asked
    waits.push(asked)
    if (ms > SWEEPS * SWEEP_MS)
      violated(
        `${as === 'asked' ? 'asked again only' : 'not asked again'} after ${(ms / 1000).toFixed(1)} s in which ` +
          `nothing stood in the way (${row.status}, ${row.error_code}); two sweeps are ` +
          `${(SWEEPS * SWEEP_MS) / 1000} s`,
      )
  }
  const attributed = attribute(causesOf)
  violations.push(...beyondBounds(causesOf, attributed))
  return {
    invariant: 3,
    says: 'who approved is renewed, or asked again for a reason within two sweeps',
    looked: approvals.length + missing.length,
    violations,
    notShown: notJudged(waits, books.log),
    notes: [
      ...[...Map.groupBy(attributed.by.values(), ({ window }) => window)].map(([window, ones]) =>
        windowNote(window, ones),
      ),
      ...waitNotes(waits),
      ...counted(untaken),
    ],
  }
}

const windowNote = (window: Window, ones: readonly Explained[]): string =>
  `${ones.length} asked again, by ${new Set(ones.map(({ by }) => by)).size} faults, ${boundOf(window, ones)}: ` +
  windows[window]

/** An outage meets every code that expires in it, so only the number of codes bounds it. */
const boundOf = (window: Window, ones: readonly Explained[]): string => {
  const bounds = new Map(ones.map(({ by, most }) => [by, most]))
  return window === 'outlived'
    ? 'without a bound'
    : `which can have met ${[...bounds.values()].reduce((sum, one) => sum + one, 0)} exchanges at most`
}
