// How long it took until somebody whose approval had come to nothing was asked again, and what of that time the system
// could have used.
import type { Books } from '../books.ts'
import { holdsOf } from '../holds.ts'
import { freeTime, type Span, spansOf } from '../obstacles.ts'
import type { AuthorisationRecord, RenewalRecord } from '../records.ts'
import { LEASE_MS, QUEUED_FOR_MS, SWEEP_MS } from '../rig.ts'
import type { Struck } from '../struck.ts'
import type { Return } from '../way-back.ts'

/**
 * What the run itself calls the answers it loses when nothing else fails any more: of those that are lost before, the
 * way on is mostly blocked by other faults, and tells nothing of how soon a user is asked again.
 */
export const LAST_DOUBTS = 'answers lost after the healing'

/** Whose approval it was, and what we made of it. */
export interface Approval {
  readonly back: Return
  readonly row: AuthorisationRecord
  readonly renewal: RenewalRecord
}

/**
 * How long after its end a fault still delays a job: the lease of whoever died, or the mark of a dispatch that was lost
 * with the queue.
 */
const TAIL_MS = LEASE_MS + QUEUED_FOR_MS
/** A call that a fault of the provider held up, and the job's next try. */
const CALL_MS = 3_000
/** A link that could not be made rests for an hour and a tenth, by the moving clock. */
const LINK_RESTS_MS = 66 * 60_000
const AT_THE_BANK_MS = 30 * 60_000
const DOUBT_HOLDS_MS = 24 * 3_600_000

/** While the user has another link in hand, or another code is in doubt, nothing may be sent. */
const mustNotAsk = ({ records, rig: { clock } }: Books, { row }: Approval): Span[] =>
  (records.authorisationsOf.get(row.renewal_id) ?? [])
    .filter((other) => other.id !== row.id && other.handed_out_at !== null)
    .flatMap((other) => {
      const left = other.handed_out_at?.getTime() ?? 0
      const back =
        other.code_received_at?.getTime() ??
        Math.min(left + AT_THE_BANK_MS, other.closed_at?.getTime() ?? Number.POSITIVE_INFINITY)
      const settled =
        other.code_received_at === null
          ? back
          : Math.min(other.closed_at?.getTime() ?? Number.POSITIVE_INFINITY, back + DOUBT_HOLDS_MS)
      return [
        {
          from: clock.realAt(new Date(left)),
          to: settled === Number.POSITIVE_INFINITY ? settled : clock.realAt(new Date(settled)),
        },
      ]
    })

const couldNotAsk = (books: Books, approval: Approval): Span[] => {
  const {
    log,
    records,
    rig: { clock },
  } = books
  const broken = spansOf(log, ['provider-refuses', 'provider-breaks', 'provider-fails'], CALL_MS)
  // Only a record that says so has rested: most who are asked again have a link that is recent enough.
  const hasRested = records.linkFailures.has(approval.row.consent_id)
  const rests = hasRested
    ? broken.map(({ from, to }) => ({ from, to: clock.realAt(new Date(clock.shownAt(to) + LINK_RESTS_MS)) }))
    : []
  // When it runs again, the next sweep finds it.
  const paused = holdsOf(books.acts, approval.row.consent_id).map(({ may }) => ({
    from: may.from,
    to: may.to + SWEEP_MS,
  }))
  return [
    ...spansOf(log, ['database', 'database-late', 'workers', 'all-workers', 'schedulers', 'queue'], TAIL_MS),
    ...broken,
    ...rests,
    ...books.backlogs,
    ...mustNotAsk(books, approval),
    ...paused,
  ]
}

export const SWEEPS = 2

export interface Asked {
  readonly as: 'asked' | 'cycle ended' | 'run ended'
  /** In which the system could act. */
  readonly ms: number
  /** In all. */
  readonly wholeMs: number
  /** Whether it was one of the last doubts. */
  readonly isLast: boolean
}

/** Its code met the fault that the run inflicts when nothing else fails any more; the ledger tells. */
const wasLostAtLast = ({ log, records, rig: { clock } }: Books, { back }: Approval): boolean => {
  const last = log.find(({ name }) => name === LAST_DOUBTS)
  const sends = records.sends.get(back.codeNo ?? 0) ?? []
  return (
    last !== undefined &&
    sends.some(
      ({ at, fault }) =>
        fault !== undefined && clock.realAt(new Date(at)) >= last.from && clock.realAt(new Date(at)) <= last.to,
    )
  )
}

/** From the end of the doubt to the message, or to the end of the cycle or the run. */
export const askedAfter = (books: Books, approval: Approval): Asked => {
  const {
    records,
    rig: { clock },
  } = books
  const { row, renewal } = approval
  const closedAt = row.closed_at ?? row.code_received_at ?? row.expires_at
  const since = (records.notificationsOfRenewal.get(row.renewal_id) ?? []).filter(
    (one) => one.created_at >= closedAt && one.status !== 'cancelled',
  )
  const first = since.map((one) => one.created_at.getTime()).toSorted((a, b) => a - b)[0]
  const until = first ?? renewal.closed_at?.getTime()
  const whole = {
    from: clock.realAt(closedAt),
    to: until === undefined ? books.endedAt : clock.realAt(new Date(until)),
  }
  const as = first !== undefined ? 'asked' : until === undefined ? 'run ended' : 'cycle ended'
  return {
    as,
    ms: freeTime(whole, couldNotAsk(books, approval)),
    wholeMs: Math.max(0, whole.to - whole.from),
    isLast: wasLostAtLast(books, approval),
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const wasPrompt = ({ as, wholeMs }: Asked): boolean => as === 'asked' && wholeMs <= SWEEPS * SWEEP_MS

/** Of those who lost their answers when nothing else failed, at least as many. */
const PROMPT_SHARE = 0.5

/**
 * How soon they are asked is shown by those who lost their answers after the healing: of them, half were asked in time
 * with nothing deducted. Of the others, the faults, backlogs and further links of the user's that are deducted may
 * cover everything.
 */
export const notJudged = (waits: readonly Asked[], log: readonly Struck[]): string | undefined => {
  const last = waits.filter(({ as, isLast }) => as === 'asked' && isLast)
  const prompt = last.filter(wasPrompt).length
  if (last.length > 0) {
    return prompt >= last.length * PROMPT_SHARE
      ? undefined
      : `how soon they are asked: ${prompt} of ${last.length} who lost their answers after the healing were ` +
          `asked within ${SWEEPS} sweeps with nothing deducted`
  }
  // Where nobody was in doubt, there is nothing to show.
  return waits.length === 0 && !log.some(({ name, happened }) => name === LAST_DOUBTS && happened > 0)
    ? undefined
    : 'how soon they are asked: nobody who lost an answer after the healing was asked again'
}

/** How much of the time could be judged at all, and what became of those who waited. */
export const waitNotes = (waits: readonly Asked[]): string[] => {
  const [asked, cycleEnded, runEnded] = (['asked', 'cycle ended', 'run ended'] as const).map((as) =>
    waits.filter((one) => one.as === as),
  ) as [Asked[], Asked[], Asked[]]
  const sum = (pick: (one: Asked) => number): string => seconds(waits.reduce((total, one) => total + pick(one), 0))
  const last = asked.filter(({ isLast }) => isLast)
  const longest = Math.max(0, ...asked.map(({ ms }) => ms))
  return [
    ...(waits.length === 0
      ? []
      : [
          `judged: ${sum(({ ms }) => ms)} in which nothing stood in the way, of ` +
            `${sum(({ wholeMs }) => wholeMs)} that passed between ${waits.length} doubts' ends and what followed`,
        ]),
    ...(asked.length === 0
      ? []
      : [
          `${asked.length} asked again, each within ${seconds(longest)} of such time, at most ${SWEEPS} sweeps ` +
            `of ${seconds(SWEEP_MS)}; ${asked.filter(wasPrompt).length} of them within that with nothing deducted`,
        ]),
    ...(last.length === 0
      ? []
      : [
          `${last.length} of these had lost their answers after the healing; ${last.filter(wasPrompt).length} ` +
            'of them were asked within that with nothing deducted',
        ]),
    ...(cycleEnded.length === 0
      ? []
      : [`${cycleEnded.length} cycles ended before two such sweeps had passed: nobody is asked then`]),
    ...(runEnded.length === 0
      ? []
      : [`${runEnded.length} cycles were still open at the run's end, less than two such sweeps after their doubt's`]),
  ]
}
