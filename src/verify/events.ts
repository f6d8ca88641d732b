// Invariant 10: each consent's events have no gap, their hashes form a chain, and replaying them gives the stored
// status and cycle. The same walk checks invariant 6: sending of a message never began while the consent was not
// active, or in another cycle than the message's own.
import { type Replayed, replayOne, unborn } from '../domain/replay.ts'
import { type Offsets, offsetsToTry, proveInstant } from '../repair/prove-events.ts'
import type { Transaction } from '../store/database.ts'
import { eventHash, NO_HASH } from '../store/event-hash.ts'
import { MAX_LISTED, listViolations, type Violation } from './violation.ts'

const CONSENTS = 500
const EVENTS = 2_000
const FIRST = '00000000-0000-0000-0000-000000000000'

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
  // Two lists, so that many violations of one invariant do not hide those of the other.
  const offsets = offsetsToTry(undefined)
  const [ofMessages, ofEvents]: [Violation[], Violation[]] = [[], []]
  for (
    let after: string | undefined = FIRST;
    after !== undefined && Math.min(ofMessages.length, ofEvents.length) <= MAX_LISTED;
  ) {
    const consents: ConsentRow[] = await tx.$queryRaw`
      SELECT id, status, cycle, event_seq, event_hash FROM consents WHERE id > ${after}::uuid ORDER BY id LIMIT
        ${CONSENTS}`
    const walks = new Map(consents.map((consent) => [consent.id, walk(consent, offsets)]))
    for await (const event of eventsBetween(tx, after, consents.at(-1)?.id)) walks.get(event.consent_id)?.take(event)
    for (const found of [...walks.values()].flatMap((walk) => walk.end())) {
      const list = found.invariant === 6 ? ofMessages : ofEvents
      if (list.length <= MAX_LISTED) list.push(found)
    }
    after = consents.at(-1)?.id
  }
  return [...listViolations(6, ofMessages), ...listViolations(10, ofEvents)]
}

/** Events in the order of consent and sequence number, a page at a time. */
async function* eventsBetween(tx: Transaction, after: string, last: string | undefined): AsyncGenerator<EventRow> {
  if (last === undefined) return
  let at: Pick<EventRow, 'consent_id' | 'seq'> = { consent_id: after, seq: 2_147_483_647 }
  for (;;) {
    const page: EventRow[] = await tx.$queryRaw`
      SELECT consent_id, seq, type, at, actor, reason, data, hash FROM events
      WHERE (consent_id, seq) > (${at.consent_id}::uuid, ${at.seq}) AND consent_id <= ${last}::uuid
      ORDER BY consent_id, seq LIMIT ${EVENTS}`
    yield* page
    const end = page.at(-1)
    if (end === undefined || page.length < EVENTS) return
    at = end
  }
}

/** Follows one consent's events. Reports only the first break of the chain, because all later ones follow from it. */
const walk = (consent: ConsentRow, offsets: Offsets) => {
  const found: Violation[] = []
  let seq = 0
  let hash = NO_HASH
  let state: Replayed = unborn
  let isBroken = false
  let isShifted = false
  const tellBreak = (what: string): void => {
    if (!isBroken) found.push({ invariant: 10, record: `consents ${consent.id}`, what })
    isBroken = true
  }
  // Reports only the first shifted event; other breaks of the chain are still reported as well.
  const tellShift = ({ seq: no, type, at }: EventRow, meant: number): void => {
    const what =
      `event ${no} (${type}) is stored as ${at.toISOString()}, its hash proves ${new Date(meant).toISOString()}: ` +
      'written under another time zone than UTC, see reconsent repair-times'
    if (!isShifted) found.push({ invariant: 10, record: `consents ${consent.id}`, what })
    isShifted = true
  }
  const queuedIn = new Map<unknown, number>()

  return {
    take: (event: EventRow): void => {
      if (event.seq !== seq + 1) tellBreak(`event ${seq + 1} is missing`)
      const expected = hashOf(hash, event)
      if (event.hash !== expected) {
        const meant = isBroken ? undefined : proveInstant(hash, { ...event, at: event.at.toISOString() }, offsets)
        if (meant === undefined)
          tellBreak(`event ${event.seq} (${event.type}) is not what was recorded: its hash does not follow`)
        else tellShift(event, meant)
      }
      if (event.seq === 1 && event.type !== 'consent.imported')
        tellBreak(`its first event is ${event.type} instead of consent.imported`)
      seq = event.seq
      hash = event.hash
      state = replayOne(state, event)
      if (event.type === 'message.queued') queuedIn.set(event.data['notification_id'], state.cycle)
      if (event.type === 'message.sending') {
        const id = event.data['notification_id']
        const record = `notifications ${String(id)}`
        const cycle = queuedIn.get(id)
        if (state.status !== 'active')
          found.push({
            invariant: 6,
            record,
            what: `begun to be sent (event ${event.seq}) while the consent was ${state.status}`,
          })
        else if (cycle !== undefined && cycle !== state.cycle) {
          found.push({
            invariant: 6,
            record,
            what: `of cycle ${cycle}, begun to be sent (event ${event.seq}) in cycle ${state.cycle}`,
          })
        }
      }
    },

    end: (): Violation[] => {
      if (seq === 0) tellBreak('it has no events')
      if (seq !== consent.event_seq) tellBreak(`its last event is ${seq}, and it counted ${consent.event_seq}`)
      if (hash !== (consent.event_hash ?? NO_HASH)) tellBreak('its last event is not the one that it recorded')
      if (!isBroken && (state.status !== consent.status || state.cycle !== consent.cycle)) {
        tellBreak(
          `it is ${consent.status} in cycle ${consent.cycle}, but its events make it ${state.status} in cycle ` +
            `${state.cycle}`,
        )
      }
      return found
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
