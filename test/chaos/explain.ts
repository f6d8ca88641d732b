// Explains why an approval did not end in a renewal: the window it fell into, from recorded facts alone. Five windows
// cannot be settled without asking the user again; a failure outside of them is the system's own fault.
import type { Entry } from '../../simulator/src/ledger.ts'
import { keepsConnection } from '../../src/domain/routes.ts'
import type { Cause } from './attribution.ts'
import { maxFree, metWithin, type Span, spansOf } from './obstacles.ts'
import type { AuthorisationRecord, Records } from './records.ts'
import { EXCHANGES_AT_ONCE, LEASE_MS, REQUEST_TIMEOUT_MS, type Rig } from './rig.ts'
import { OWN } from './stalls.ts'
import type { Hindrance, Struck } from './struck.ts'

export const windows = {
  unsent:
    'a process or the database went away, or a process stood still, between the intent and the send: never sent, and ' +
    'never again',
  lost: 'the request or its answer was lost and nothing had been processed: not to be told from processed',
  outlived: 'the provider, the database or all workers were away for as long as the code lived',
  full: 'route `full`: the answer with the new connection was lost, and nobody can be asked for it',
  taken: 'the provider rotated the token in an answer that was lost: nobody holds the connection any more',
} as const
export type Window = keyof typeof windows

export interface Explained extends Cause {
  readonly window: Window
}
/** All causes that are possible, the likeliest first; at least one. */
export type Explanation = { readonly causes: readonly Explained[] } | { readonly unexplained: string }

export interface Known {
  readonly records: Records
  readonly log: readonly Struck[]
  readonly clock: Pick<Rig['clock'], 'realAt'>
  readonly workers: number
}

/**
 * The longest time from the commit of an intent to the end of its call: the claim of a slower worker has been taken
 * over.
 */
const REACH_MS = LEASE_MS + 1_000

/**
 * The most exchanges that a fault can have met. A cut connection meets one call; a worker that is killed or stalls,
 * what it has in flight; an unavailable server, or a stall of the run itself, what all workers have in flight, once.
 */
const maxMet = ({ workers }: Known, { each, hinders, happened, who }: Struck): number => {
  if (each === 'call') return happened
  if (each === 'outage' || who === OWN) return workers * EXCHANGES_AT_ONCE
  const isOfOneWorker = each === 'worker' || (hinders.length === 1 && hinders[0] === 'workers')
  return happened * (isOfOneWorker ? 1 : workers) * EXCHANGES_AT_ONCE
}

const causeOf = (known: Known, struck: Struck): Cause => ({
  by: `${struck.name}${struck.who === undefined ? '' : ` (${struck.who})`} at ${struck.from}`,
  most: maxMet(known, struck),
})

const causesIn = (known: Known, kinds: readonly Hindrance[], span: Span): Cause[] =>
  metWithin(known.log, kinds, span).map((struck) => causeOf(known, struck))

/** A call that was made for one of these records, at an instant of real time. */
interface Call {
  /** The records by whose claim the call can have been made. */
  readonly records: readonly string[]
  readonly at: number
}

/** The processes that may have made this call: each record's last claimant before it. */
const callersOf = ({ records: { claims } }: Known, call: Call): ReadonlySet<string> =>
  new Set(call.records.flatMap((id) => claims.get(id)?.findLast(({ at }) => at.getTime() <= call.at)?.who ?? []))

/**
 * The stalls that can have met this call: those of the process that made it while it waited for the answer, and those
 * of the run itself, which holds the provider and the proxies, also where the call came before it as it woke up.
 */
const stallsDuring = (known: Known, call: Call): { readonly own: Cause[]; readonly others: Cause[] } => {
  const callers = callersOf(known, call)
  const met = metWithin(known.log, ['one-process'], { from: call.at - REQUEST_TIMEOUT_MS, to: call.at + REACH_MS })
  const causes = (stalls: readonly Struck[]): Cause[] => stalls.map((struck) => causeOf(known, struck))
  return {
    own: causes(met.filter(({ who, to }) => who !== undefined && callers.has(who) && to >= call.at)),
    others: causes(met.filter(({ who }) => who === OWN)),
  }
}

/** Undefined where there are no causes. */
const explained = (window: Window, causes: readonly Cause[]): Explanation | undefined =>
  causes.length === 0 ? undefined : { causes: causes.map((cause) => ({ ...cause, window })) }

const around = ({ clock }: Known, at: Date): Span => ({ from: clock.realAt(at), to: clock.realAt(at) + REACH_MS })

/**
 * Whether a fault of the simulator kept the answer from Reconsent. A 429 is an answer; so is an answer that comes late,
 * but before Reconsent's time-out.
 */
export const losesAnswer = ({ fault, late_ms: lateMs = 0 }: Entry): boolean =>
  fault === 'slow' || fault === 'drip' ? lateMs >= REQUEST_TIMEOUT_MS : fault !== undefined && fault !== 'rate-limited'

/**
 * What kept Reconsent from getting the answer to this request, or from storing it. The simulator notes its own faults
 * in the entry of each request that met one. Where the entry has none, only the connection, a killed worker, the
 * database or a stall can have lost the answer. `records`: those by whose claim the request can have been made.
 */
const answerLostBy = (known: Known, entry: Entry, records: readonly string[]): Cause[] => {
  if (losesAnswer(entry)) return [{ by: `${entry.fault} at request ${entry.seq}`, most: 1 }]
  const span = around(known, new Date(entry.at))
  const { own, others } = stallsDuring(known, { records, at: span.from })
  return [...causesIn(known, ['workers', 'database', 'provider-breaks'], span), ...own, ...others]
}

/**
 * A rotation whose answer was lost makes the connection unusable: nobody has the new token, and Reconsent cannot repair
 * that.
 */
const rotationLost = (known: Known, credentialsId: string): Cause[] => {
  const rotated = known.records.rotations.get(credentialsId)
  // The request that caused the rotation is noted right after it: `seq` counts from one.
  const carrier = rotated && known.records.ledger[rotated.seq]
  return carrier === undefined ? [] : answerLostBy(known, carrier, recordsOf(known, credentialsId))
}

/** The consent of a connection and all its authorisations. */
const recordsOf = ({ records }: Known, credentialsId: string): string[] =>
  records.consents
    .filter((consent) => consent.credentials_id === credentialsId)
    .flatMap(({ id }) => [
      id,
      ...(records.renewalsOf.get(id) ?? []).flatMap((renewal) =>
        (records.authorisationsOf.get(renewal.id) ?? []).map((row) => row.id),
      ),
    ])

export const rotationLostBy = (known: Known, credentialsId: string): Cause | undefined =>
  rotationLost(known, credentialsId)[0]

/** How long the browser's next try takes, and how long Reconsent's: the code's timer, a lease to wait for, one call. */
const DELIVERED_WITHIN_MS = 5_000
const TAKEN_WITHIN_MS = LEASE_MS + 4_000
const CODE_LIVES_MS = 290_000
/**
 * The delay between two tries of a code that was certainly not processed: 2 s, doubled each time, at most 30 s; one
 * minute while the circuit is open.
 */
const restAfter = (tries: number, held: boolean): number =>
  held ? 60_000 : tries === 0 ? 0 : Math.min(30_000, 2_000 * 2 ** (tries - 1))

/** The times in which another code of the consent was being exchanged, so that this code had to wait. */
const busySpans = ({ records, clock }: Known, row: AuthorisationRecord): Span[] =>
  (records.authorisationsOf.get(row.renewal_id) ?? [])
    .filter((other) => other.id !== row.id && other.consent_id === row.consent_id && other.exchange_started_at !== null)
    .map((other) => ({
      from: clock.realAt(other.exchange_started_at ?? row.expires_at),
      to: other.closed_at === null ? Number.POSITIVE_INFINITY : clock.realAt(other.closed_at) + 2_500,
    }))

/**
 * Empty when there was time to use the code before it expired. An outage meets every code that expires in it, so only
 * the number of codes bounds it.
 */
const outlivedBy = (known: Known, row: AuthorisationRecord, codeNo: number, receivedAt: Date): Cause[] => {
  const { records, log, clock } = known
  const given = records.codesGiven.get(codeNo)
  const [from, received] = [
    given === undefined ? clock.realAt(receivedAt) : clock.realAt(new Date(given.at)),
    clock.realAt(receivedAt),
  ]
  const dies = clock.realAt(
    new Date(
      Math.min(
        receivedAt.getTime() + CODE_LIVES_MS,
        given === undefined ? Number.POSITIVE_INFINITY : new Date(given.at).getTime() + 300_000,
      ),
    ),
  )
  const coming = { from, to: Math.min(received, dies) }
  if (maxFree(coming, spansOf(log, ['web', 'database', 'users'])) > DELIVERED_WITHIN_MS) return []
  const tries = (records.intents.get(row.id) ?? []).length
  const held = metWithin(log, ['provider-refuses'], { from: received - 60_000, to: dies }).some(({ name }) =>
    name.includes('invalid_client'),
  )
  const obstacles = [...spansOf(log, ['all-workers', 'database', 'provider-refuses']), ...busySpans(known, row)]
  const inHand = { from: Math.min(received, dies), to: dies }
  if (maxFree(inHand, obstacles) > TAKEN_WITHIN_MS + restAfter(tries, held)) return []
  const met = causesIn(known, ['all-workers', 'database', 'provider-refuses', 'web', 'users'], {
    from: from - TAKEN_WITHIN_MS,
    to: dies,
  })
  return met.map(({ by }) => ({ by, most: Number.POSITIVE_INFINITY }))
}

/**
 * Explains an authorisation that ended without a renewal. `codeNo`: the simulator's number of the code that came back.
 */
export const explain = (known: Known, row: AuthorisationRecord, codeNo: number, credentialsId: string): Explanation => {
  const { records } = known
  const sends = records.sends.get(codeNo) ?? []
  const processed = sends.find(({ outcome }) => outcome === 'ok')
  if (processed !== undefined) {
    return (
      explained('taken', rotationLost(known, credentialsId)) ??
      explained('full', !keepsConnection(row.route) ? answerLostBy(known, processed, [row.id]) : []) ?? {
        unexplained: `the provider had renewed it, yet it ended ${row.status} (${row.error_code})`,
      }
    )
  }
  const doubt = records.doubts.get(row.id)
  if (doubt !== undefined) return explainDoubt(known, row, sends, doubt)
  const last = sends.at(-1)
  if (row.error_code !== 'code-too-old' && last?.detail !== 'too_old') {
    return {
      unexplained:
        `refused (${row.error_code}) after ` +
        `${last?.outcome ?? 'nothing was sent'}${last?.detail === undefined ? '' : `: ${last.detail}`}`,
    }
  }
  return (
    explained(
      'outlived',
      row.code_received_at === null ? [] : outlivedBy(known, row, codeNo, row.code_received_at),
    ) ?? { unexplained: `its code died (${row.error_code}), although there was time to use it` }
  )
}

/** In real time. The simulator records a request that it takes up late at the time at which it takes it up. */
const arrivedAt = ({ clock }: Known, { at, fault, late_ms: lateMs = 0 }: Entry): number =>
  clock.realAt(new Date(at)) - (fault === 'slow' ? lateMs : 0)

const explainDoubt = (known: Known, row: AuthorisationRecord, sends: readonly Entry[], doubt: Date): Explanation => {
  const intent = (known.records.intents.get(row.id) ?? []).findLast((at) => at <= doubt)
  if (intent === undefined) return { unexplained: 'in doubt without an intent to send' }
  // Only a send before the doubt counts: a worker that was paused may send the code long after the exchange came in
  // doubt.
  const sent = sends.find(
    (entry) => new Date(entry.at) >= intent && arrivedAt(known, entry) <= known.clock.realAt(doubt),
  )
  if (sent !== undefined)
    return (
      explained('lost', answerLostBy(known, sent, [row.id])) ?? {
        unexplained: `in doubt although the answer (${sent.outcome}) met no fault`,
      }
    )
  const span = around(known, intent)
  const { own, others } = stallsDuring(known, { records: [row.id], at: span.from })
  const all = (
    [
      ['unsent', [...causesIn(known, ['workers', 'database'], span), ...own]],
      ['lost', [...causesIn(known, ['provider-breaks'], span), ...others]],
    ] as const
  ).flatMap(([window, causes]) => causes.map((cause) => ({ ...cause, window })))
  return all.length === 0
    ? { unexplained: 'never sent, and nothing died between the intent and the send' }
    : { causes: all }
}
