// Each consent's events have no gap, their hashes form a chain, and replaying them gives the stored status and cycle.
// The order of the events also shows whether the sending of a message began while the consent was not active, or in
// another cycle than the message's own.
import { type Replayed, replayOne, unborn } from '../domain/replay.ts'
import { type Offsets, offsetsToTry, proveInstant } from '../repair/prove-events.ts'
import type { Transaction } from '../store/database.ts'
import { eventHash, NO_HASH } from '../store/event-hash.ts'
import { pagesById } from './pages.ts'
import { invariants, MAX_LISTED, listViolations, type Violation } from './violation.ts'

const CONSENTS = 500
const EVENTS = 2_000
/** Below every sequence number, a forged one included. */
const LOWEST_SEQ = -2_147_483_648

interface ConsentRow {
  readonly id: string
  readonly status: string
  readonly cycle: number
  readonly event_seq: number
  readonly event_hash: string | null
}

interface EventRow {
  readonly consent_id: string
  readonly seq: number
  readonly type: string
  readonly at: Date
  readonly actor: string
  readonly reason: string | null
  readonly data: Record<string, unknown>
  readonly hash: string
}

export const checkEvents = async (tx: Transaction): Promise<Violation[]> => {
  const offsets = offsetsToTry(undefined)
  // Two lists, so that many violations of one invariant do not hide those of the other.
  const [ofMessages, ofEvents]: [Violation[], Violation[]] = [[], []]
  for await (const consents of pagesById(async (after) => readConsents(tx, after))) {
    const checks = new Map(consents.map((consent) => [consent.id, checkConsent(consent, offsets)]))
    for await (const event of eventsOf(tx, consents)) checks.get(event.consent_id)?.take(event)
    for (const violation of [...checks.values()].flatMap((check) => check.end())) {
      const list = violation.invariant === invariants.messages ? ofMessages : ofEvents
      if (list.length <= MAX_LISTED) list.push(violation)
    }
    if (Math.min(ofMessages.length, ofEvents.length) > MAX_LISTED) break
  }
  return [...listViolations(invariants.messages, ofMessages), ...listViolations(invariants.events, ofEvents)]
}

const readConsents = async (tx: Transaction, after: string): Promise<ConsentRow[]> => tx.$queryRaw`
  SELECT id, status, cycle, event_seq, event_hash FROM consents
  WHERE id > ${after}::uuid ORDER BY id LIMIT ${CONSENTS}`

/** The events of a page of consents, in the order of consent and sequence number. */
async function* eventsOf(tx: Transaction, consents: readonly ConsentRow[]): AsyncGenerator<EventRow> {
  const [first, last] = [consents[0], consents.at(-1)]
  if (first === undefined || last === undefined) return
  let before: Pick<EventRow, 'consent_id' | 'seq'> = { consent_id: first.id, seq: LOWEST_SEQ }
  for (;;) {
    const page: EventRow[] = await tx.$queryRaw`
      SELECT consent_id, seq, type, at, actor, reason, data, hash FROM events
      WHERE (consent_id, seq) > (${before.consent_id}::uuid, ${before.seq}) AND consent_id <= ${last.id}::uuid
      ORDER BY consent_id, seq LIMIT ${EVENTS}`
    yield* page
    const end = page.at(-1)
    if (end === undefined || page.length < EVENTS) return
    before = end
  }
}

/** Checks one consent: `take` is given its events in their order, `end` returns everything wrong with them. */
const checkConsent = (consent: ConsentRow, offsets: Offsets) => {
  const chain = checkChain(consent, offsets)
  const messages = checkSendings()
  let state = unborn
  return {
    take: (event: EventRow): void => {
      chain.take(event)
      state = replayOne(state, event)
      messages.take(event, state)
    },
    end: (): Violation[] => [...messages.found, ...chain.end(state)],
  }
}

/** Reports only the first break of the chain, because all later ones follow from it. */
const checkChain = (consent: ConsentRow, offsets: Offsets) => {
  const found: Violation[] = []
  let seq = 0
  let hash = NO_HASH
  let isBroken = false
  let isShifted = false
  const report = (what: string): void => {
    found.push({ invariant: invariants.events, record: `consents ${consent.id}`, what })
  }
  const reportBreak = (what: string): void => {
    if (!isBroken) report(what)
    isBroken = true
  }
  // Reports only the first shifted event; other breaks of the chain are still reported as well.
  const reportShift = ({ seq: no, type, at }: EventRow, meant: number): void => {
    if (!isShifted)
      report(
        `event ${no} (${type}) is stored as ${at.toISOString()}, its hash proves ${new Date(meant).toISOString()}: ` +
          'written under another time zone than UTC, see reconsent repair-times',
      )
    isShifted = true
  }
  const checkHash = (event: EventRow): void => {
    if (event.hash === hashOf(hash, event)) return
    const meant = isBroken ? undefined : proveInstant(hash, { ...event, at: event.at.toISOString() }, offsets)
    if (meant === undefined)
      reportBreak(`event ${event.seq} (${event.type}) is not what was recorded: its hash does not follow`)
    else reportShift(event, meant)
  }

  return {
    take: (event: EventRow): void => {
      if (event.seq !== seq + 1) reportBreak(`event ${seq + 1} is missing`)
      checkHash(event)
      if (event.seq === 1 && event.type !== 'consent.imported')
        reportBreak(`its first event is ${event.type} instead of consent.imported`)
      seq = event.seq
      hash = event.hash
    },

    /** `state` is what the events make of the consent. */
    end: (state: Replayed): Violation[] => {
      if (seq === 0) reportBreak('it has no events')
      if (seq !== consent.event_seq) reportBreak(`its last event is ${seq}, and it counted ${consent.event_seq}`)
      if (hash !== (consent.event_hash ?? NO_HASH)) reportBreak('its last event is not the one that it recorded')
      if (!isBroken && (state.status !== consent.status || state.cycle !== consent.cycle)) {
        reportBreak(
          `it is ${consent.status} in cycle ${consent.cycle}, but its events make it ${state.status} in cycle ` +
            `${state.cycle}`,
        )
      }
      return found
    },
  }
}

/**
 * Sending of a message begins only while the consent is active, and in the message's own cycle; a message is repeated
 * at most once, after it was begun.
 */
const checkSendings = () => {
  const found: Violation[] = []
  const cycleOf = new Map<unknown, number>()
  const begun = new Set<unknown>()
  const repeated = new Set<unknown>()
  return {
    found,
    /** `state` is what the events up to this one make of the consent. */
    take: ({ seq, type, data }: EventRow, state: Replayed): void => {
      const id = data['notification_id']
      const report = (what: string): void => {
        found.push({ invariant: invariants.messages, record: `notifications ${String(id)}`, what })
      }
      if (type === 'message.queued') cycleOf.set(id, state.cycle)
      if (type === 'message.sending') begun.add(id)
      else if (type === 'message.repeated') {
        if (!begun.has(id)) report(`repeated (event ${seq}) before it was begun to be sent`)
        if (repeated.has(id)) report(`repeated a second time (event ${seq})`)
        repeated.add(id)
      } else return
      const cycle = cycleOf.get(id)
      if (state.status !== 'active') report(`begun to be sent (event ${seq}) while the consent was ${state.status}`)
      else if (cycle !== undefined && cycle !== state.cycle)
        report(`of cycle ${cycle}, begun to be sent (event ${seq}) in cycle ${state.cycle}`)
    },
  }
}

/** Undefined for data that no event of ours can have; such an event matches no hash. */
const hashOf = (previous: string, event: EventRow): string | undefined => {
  try {
    return eventHash(previous, {
      ...event,
      consentId: event.consent_id,
      data: event.data as Parameters<typeof eventHash>[1]['data'],
    })
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}
