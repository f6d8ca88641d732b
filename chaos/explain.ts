// Why an approval did not end in a renewal: the window it fell into, told from recorded facts alone. There are four that cannot be
// settled without asking the user again; whatever falls outside of them is the system's own fault.
import type { Entry } from '../src/simulator/ledger.ts'
import type { Struck } from './nemesis.ts'
import { longestFree, metWithin, type Span, spansOf } from './obstacles.ts'
import type { AuthorisationRecord, Records } from './records.ts'
import { EXCHANGES_AT_ONCE, LEASE_MS, type Rig } from './rig.ts'

export const windows = {
  unsent: 'a process or the database went away between the intent and the send: never sent, and never again',
  lost: 'the request or its answer was lost and nothing had been processed: not to be told from processed',
  outlived: 'the provider, the database or all workers were away for as long as the code lived',
  full: 'route `full`: the answer with the new connection was lost, and nobody can be asked for it',
  taken: 'the provider rotated the token in an answer that was lost: nobody holds the connection any more',
} as const
export type Window = keyof typeof windows

/** The one fault that did it, and how many exchanges it can have met. */
interface Cause {
  readonly by: string
  readonly most: number
}
export interface Explained extends Cause {
  readonly window: Window
}
export type Explanation = Explained | { readonly unexplained: string }

export interface Known {
  readonly records: Records
  readonly log: readonly Struck[]
  readonly clock: Pick<Rig['clock'], 'realAt'>
  readonly workers: number
}

/** From the intent's commit to the end of the call it announces: whoever takes longer has been overtaken. */
const REACH_MS = LEASE_MS + 1_000

/** A cut connection meets one call; a death, what one worker has in flight; a server that goes away, what all have. */
const causeOf = ({ workers }: Known, struck: Struck | undefined): Cause | undefined => {
  if (struck === undefined) return undefined
  const isOfOneWorker = struck.each === 'worker' || (struck.hinders.length === 1 && struck.hinders[0] === 'workers')
  const each = struck.each === 'call' ? 1 : (isOfOneWorker ? 1 : workers) * EXCHANGES_AT_ONCE
  return { by: `${struck.name} at ${struck.from}`, most: struck.happened * each }
}

const around = ({ clock }: Known, at: Date): Span => ({ from: clock.realAt(at), to: clock.realAt(at) + REACH_MS })

/** Faults of the simulator that keep an answer from us. A 429 is an answer. */
export const losesAnswer = ({ fault }: Entry): boolean => fault !== undefined && fault !== 'rate-limited'

/** What kept the answer to this request from us, or us from writing it down. */
const answerLostBy = (known: Known, entry: Entry): Cause | undefined => {
  if (losesAnswer(entry)) return { by: `${entry.fault} at request ${entry.seq}`, most: 1 }
  return causeOf(known, metWithin(known.log, ['workers', 'database', 'provider-breaks'], around(known, new Date(entry.at)))[0])
}

/** A rotation whose answer never reached us takes the connection away from everybody: nothing of ours can mend it. */
export const rotationLostBy = (known: Known, credentialsId: string): Cause | undefined => {
  const rotated = known.records.rotations.get(credentialsId)
  // The request that made it rotate is noted right after it: seq counts from one.
  const carrier = rotated && known.records.ledger[rotated.seq]
  return carrier && answerLostBy(known, carrier)
}

/** The user's next try, and ours: the code's timer, a lease to wait for, one call. */
const DELIVERED_WITHIN_MS = 5_000
const TAKEN_WITHIN_MS = LEASE_MS + 4_000
const CODE_LIVES_MS = 290_000
/** Between two tries of a code that was certainly not processed: 2 s, doubled, 30 s at most; while calls are on hold, one a minute. */
const restAfter = (tries: number, held: boolean): number => (held ? 60_000 : tries === 0 ? 0 : Math.min(30_000, 2_000 * 2 ** (tries - 1)))

/** Another code of the consent was being exchanged: this one had to wait. */
const busySpans = ({ records, clock }: Known, row: AuthorisationRecord): Span[] =>
  (records.authorisationsOf.get(row.renewal_id) ?? [])
    .filter((other) => other.id !== row.id && other.consent_id === row.consent_id && other.exchange_started_at !== null)
    .map((other) => ({ from: clock.realAt(other.exchange_started_at ?? row.expires_at), to: other.closed_at === null ? Number.POSITIVE_INFINITY : clock.realAt(other.closed_at) + 2_500 }))

/** Undefined when the code could have been used while it lived. */
const outlivedBy = (known: Known, row: AuthorisationRecord, codeNo: number, receivedAt: Date): Cause | undefined => {
  const { records, log, clock } = known
  const given = records.codesGiven.get(codeNo)
  const [from, received] = [given === undefined ? clock.realAt(receivedAt) : clock.realAt(new Date(given.at)), clock.realAt(receivedAt)]
  const dies = clock.realAt(new Date(Math.min(receivedAt.getTime() + CODE_LIVES_MS, given === undefined ? Number.POSITIVE_INFINITY : new Date(given.at).getTime() + 300_000)))
  const coming = { from, to: Math.min(received, dies) }
  if (longestFree(coming, spansOf(log, ['web', 'database', 'users'])) > DELIVERED_WITHIN_MS) return undefined
  const tries = (records.intents.get(row.id) ?? []).length
  const held = metWithin(log, ['provider-refuses'], { from: received - 60_000, to: dies }).some(({ name }) => name.includes('invalid_client'))
  const obstacles = [...spansOf(log, ['all-workers', 'database', 'provider-refuses']), ...busySpans(known, row)]
  const inHand = { from: Math.min(received, dies), to: dies }
  if (longestFree(inHand, obstacles) > TAKEN_WITHIN_MS + restAfter(tries, held)) return undefined
  return causeOf(known, metWithin(log, ['all-workers', 'database', 'provider-refuses', 'web', 'users'], { from: from - TAKEN_WITHIN_MS, to: dies })[0])
}

/** `codeNo`: the simulator's number of the code that came back. For an authorisation that ended without a renewal. */
export const explain = (known: Known, row: AuthorisationRecord, codeNo: number, credentialsId: string): Explanation => {
  const { records } = known
  const sends = records.sends.get(codeNo) ?? []
  const processed = sends.find(({ outcome }) => outcome === 'ok')
  if (processed !== undefined) {
    const taken = rotationLostBy(known, credentialsId)
    if (taken !== undefined) return { window: 'taken', ...taken }
    const lost = row.route === 'full' ? answerLostBy(known, processed) : undefined
    return lost === undefined ? { unexplained: `the provider had renewed it, yet it ended ${row.status} (${row.error_code})` } : { window: 'full', ...lost }
  }
  const doubt = records.doubts.get(row.id)
  if (doubt !== undefined) return explainDoubt(known, row, sends, doubt)
  const last = sends.at(-1)
  if (row.error_code !== 'code-too-old' && last?.detail !== 'too_old') {
    return { unexplained: `refused (${row.error_code}) after ${last?.outcome ?? 'nothing was sent'}${last?.detail === undefined ? '' : `: ${last.detail}`}` }
  }
  const by = row.code_received_at === null ? undefined : outlivedBy(known, row, codeNo, row.code_received_at)
  return by === undefined ? { unexplained: `its code died (${row.error_code}), although there was time to use it` } : { window: 'outlived', ...by }
}

const explainDoubt = (known: Known, row: AuthorisationRecord, sends: readonly Entry[], doubt: Date): Explanation => {
  const intent = (known.records.intents.get(row.id) ?? []).findLast((at) => at <= doubt)
  if (intent === undefined) return { unexplained: 'in doubt without an intent to send' }
  // A worker that slept may send when all are past waiting for it: by then it was long in doubt.
  const sent = sends.find(({ at }) => new Date(at) >= intent && new Date(at) <= doubt)
  if (sent !== undefined) {
    const by = answerLostBy(known, sent)
    return by === undefined ? { unexplained: `in doubt although the answer (${sent.outcome}) met no fault` } : { window: 'lost', ...by }
  }
  const died = causeOf(known, metWithin(known.log, ['workers', 'database'], around(known, intent))[0])
  if (died !== undefined) return { window: 'unsent', ...died }
  const cut = causeOf(known, metWithin(known.log, ['provider-breaks'], around(known, intent))[0])
  return cut === undefined ? { unexplained: 'never sent, and nothing died between the intent and the send' } : { window: 'lost', ...cut }
}
