// How long it took until a user whose approval had failed was asked again, and how much of that time the system could
// have used.
import { IN_DOUBT_DELAY } from '../../../src/domain/in-progress.ts'
import type { Books } from '../books.ts'
import { holdsOf } from '../holds.ts'
import { freeTime, type Span, spansOf } from '../obstacles.ts'
import type { AuthorisationRecord, RenewalRecord } from '../records.ts'
import { LEASE_MS, QUEUED_FOR_MS, SWEEP_MS } from '../rig.ts'
import { STALLED } from '../stalls.ts'
import type { Struck } from '../struck.ts'
import type { Return } from '../way-back.ts'

/**
 * The name under which the run logs the answers that it loses when nothing else fails any more. After an answer that is
 * lost earlier, other faults mostly block the next steps, so that it says nothing of how soon a user is asked again.
 */
export const LAST_DOUBTS = 'answers lost after the healing'

/** The user's return from the bank, and the records that Reconsent made of it. */
export interface Approval {
  readonly back: Return
  readonly row: AuthorisationRecord
  readonly renewal: RenewalRecord
}

/**
 * How long after its end a fault still delays a job: the lease of a worker that was killed, or the mark of a dispatch
 * that was lost with the queue.
 */
const TAIL_MS = LEASE_MS + QUEUED_FOR_MS
/** One call that a fault of the provider held up, and the job's next try. */
const CALL_MS = 3_000
/** How long a consent is delayed after its link could not be made: an hour and a tenth, by the moving clock. */
const LINK_RESTS_MS = 66 * 60_000
const AT_THE_BANK_MS = 30 * 60_000
const DOUBT_HOLDS_MS = IN_DOUBT_DELAY.toMillis()

/** The times in which no message may be sent: the user has another link in hand, or another code is in doubt. */
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

/**
 * While a process stands still, it finds and does nothing: whoever waits for it waits as long, and for the lease of
 * what it had in hand. A web process asks nobody.
 */
const stalls = ({ log, records }: Books, { row }: Approval): Span[] =>
  log
    .filter(({ name, who }) => name === STALLED && who?.startsWith('web-') !== true)
    .map(({ who, from, to }) => {
      const holder = records.claims.get(row.consent_id)?.findLast(({ at }) => at.getTime() <= to)
      return { from, to: holder?.who === who ? to + TAIL_MS : to }
    })

const couldNotAsk = (books: Books, approval: Approval): Span[] => {
  const {
    log,
    records,
    rig: { clock },
  } = books
  const broken = spansOf(log, ['provider-refuses', 'provider-breaks', 'provider-fails'], CALL_MS)
  // Only a consent with a failed link was delayed: most users who are asked again have a link that is recent enough.
  const hasRested = records.linkFailures.has(approval.row.consent_id)
  const rests = hasRested
    ? broken.map(({ from, to }) => ({ from, to: clock.realAt(new Date(clock.shownAt(to) + LINK_RESTS_MS)) }))
    : []
  // The next sweep finds a consent that was resumed.
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
    ...stalls(books, approval),
    ...paused,
    ...withoutToken(books, approval),
  ]
}

/** The provider rejects every token of the connection to the end: no link can be made, and the company was told. */
const withoutToken = ({ records, rig: { clock } }: Books, { row }: Approval): Span[] => {
  const consent = records.consents.find(({ id }) => id === row.consent_id)
  if (consent?.last_error_code !== 'token-rejected' || row.closed_at === null) return []
  return [{ from: clock.realAt(row.closed_at), to: Number.POSITIVE_INFINITY }]
}

export const SWEEPS = 2

export interface Asked {
  readonly as: 'asked' | 'cycle ended' | 'run ended'
  /** The time in which the system could act. */
  readonly ms: number
  /** The whole time. */
  readonly wholeMs: number
  /** Whether the answer was lost after the healing. */
  readonly isLast: boolean
}

/** Whether the code met the fault that the run inflicts when nothing else fails any more; the ledger says so. */
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

/** The time from the end of the doubt to the message, or to the end of the cycle or the run. */
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

/** The least share of prompt messages among the users who lost their answers when nothing else failed. */
const PROMPT_SHARE = 0.5

/**
 * Users who lost their answers after the healing show how soon users are asked again: half of them must have been asked
 * in time with nothing deducted. For other users, the deducted faults, backlogs and further links may cover the whole
 * time.
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
  // Where no exchange was in doubt, there is nothing to show.
  return waits.length === 0 && !log.some(({ name, happened }) => name === LAST_DOUBTS && happened > 0)
    ? undefined
    : 'how soon they are asked: nobody who lost an answer after the healing was asked again'
}

/** How much of the time could be judged at all, and what became of the users who waited. */
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
