// Explains why an approval did not end in a renewal: the window it fell into, from recorded facts alone. Five windows
// cannot be settled without asking the user again; a failure outside of them is the system's own fault.
import type { Entry } from '../../simulator/src/ledger.ts'
import { keepsConnection } from '../../src/domain/routes.ts'
import type { Cause } from './attribution.ts'
import { maxFree, metWithin, type Span, spansOf } from './obstacles.ts'
import type { AuthorisationRecord, Records } from './records.ts'
import { EXCHANGES_AT_ONCE, LEASE_MS, REQUEST_TIMEOUT_MS, type Rig } from './rig.ts'
import type { Hindrance, Struck } from './struck.ts'

export const windows = {
  unsent: 'a process or the database went away between the intent and the send: never sent, and never again',
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
 * The most exchanges that a fault can have met. A cut connection meets one call; a killed worker, what it has in
 * flight; an unavailable server, what all workers have in flight, once.
 */
const maxMet = ({ workers }: Known, { each, hinders, happened }: Struck): number => {
  if (each === 'call') return happened
  if (each === 'outage') return workers * EXCHANGES_AT_ONCE
  const isOfOneWorker = each === 'worker' || (hinders.length === 1 && hinders[0] === 'workers')
  return happened * (isOfOneWorker ? 1 : workers) * EXCHANGES_AT_ONCE
}

const causesIn = (known: Known, kinds: readonly Hindrance[], span: Span): Cause[] =>
  metWithin(known.log, kinds, span).map((struck) => ({
    by: `${struck.name} at ${struck.from}`,
    most: maxMet(known, struck),
  }))

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
 * in the entry of each request that met one. Where the entry has none, only the connection, a killed worker or the
 * database can have lost the answer.
 */
const answerLostBy = (known: Known, entry: Entry): Cause[] =>
  losesAnswer(entry)
    ? [{ by: `${entry.fault} at request ${entry.seq}`, most: 1 }]
    : causesIn(known, ['workers', 'database', 'provider-breaks'], around(known, new Date(entry.at)))

/**
 * A rotation whose answer was lost makes the connection unusable: nobody has the new token, and Reconsent cannot repair
 * that.
 */
const rotationLost = (known: Known, credentialsId: string): Cause[] => {
  const rotated = known.records.rotations.get(credentialsId)
  // The request that caused the rotation is noted right after it: `seq` counts from one.
  const carrier = rotated && known.records.ledger[rotated.seq]
  return carrier === undefined ? [] : answerLostBy(known, carrier)
}

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
      explained('full', !keepsConnection(row.route) ? answerLostBy(known, processed) : []) ?? {
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
      explained('lost', answerLostBy(known, sent)) ?? {
        unexplained: `in doubt although the answer (${sent.outcome}) met no fault`,
      }
    )
  const all = (
    [
      ['unsent', ['workers', 'database']],
      ['lost', ['provider-breaks']],
    ] as const
  ).flatMap(([window, kinds]) => causesIn(known, kinds, around(known, intent)).map((cause) => ({ ...cause, window })))
  return all.length === 0
    ? { unexplained: 'never sent, and nothing died between the intent and the send' }
    : { causes: all }
}
