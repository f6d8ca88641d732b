// The append-only record of what happened to a consent, without gaps. Callers hold the consent's lock (locks.ts).
import type { DateTime } from 'luxon'
import type { Consent as ConsentRow, Prisma } from '../generated/prisma/client.ts'
import type { Actor } from '../domain/model.ts'
import type { Database } from './database.ts'
import { eventHash, NO_HASH, plainData, wellFormed } from './event-hash.ts'
import type { ConsentEvent } from './port.ts'
import { toEvent } from './rows.ts'
import type { Statements } from './statements.ts'

export const eventTypes = [
  'consent.imported',
  'consent.updated',
  'consent.repaired',
  'consent.renewed',
  'consent.lapsed',
  'consent.unsupported',
  'consent.quarantined',
  'consent.paused',
  'consent.resumed',
  'consent.released',
  'consent.closed',
  'consent.superseded',
  'consent.reopened',
  'renewal.opened',
  'renewal.requested',
  'link.made',
  'link.failed',
  'link.handed-out',
  'message.queued',
  'message.sending',
  'message.repeated',
  'message.sent',
  'message.uncertain',
  'message.failed',
  'message.cancelled',
  'authorisation.code-received',
  'authorisation.refused-at-bank',
  'authorisation.exchanging',
  'authorisation.answered',
  'authorisation.in-doubt',
  'authorisation.awaiting-date',
  'authorisation.refused',
  'authorisation.mismatched',
  'authorisation.superseded',
  'token.shown',
  'access-token.shown',
  'token.replaced',
  'token.imported',
  'token.rejected',
] as const

export type EventType = (typeof eventTypes)[number]

export interface NewEvent {
  readonly type: EventType
  readonly at: DateTime
  readonly actor: Actor
  readonly reason?: string | undefined
  readonly data?: Prisma.InputJsonObject
}

/**
 * An event as it is stored: with its number in the consent's chain and its hash. `at` is exact to the millisecond, like
 * the column.
 */
export interface ChainedEvent {
  readonly consentId: string
  readonly seq: number
  readonly type: EventType
  readonly at: Date
  readonly actor: Actor
  readonly reason: string | null
  readonly data: Prisma.JsonObject
  readonly hash: string
}

/** Makes the event that follows the consent's last one. */
export const chainEvent = (
  consent: { id: string; eventSeq: number; eventHash: string | null },
  event: NewEvent,
): ChainedEvent => {
  const stored = {
    consentId: consent.id,
    seq: consent.eventSeq + 1,
    type: event.type,
    at: event.at.toJSDate(),
    actor: event.actor,
    reason: event.reason === undefined ? null : wellFormed(event.reason),
    data: plainData(event.data),
  }
  return { ...stored, hash: eventHash(consent.eventHash ?? NO_HASH, stored) }
}

/**
 * Continues the chain from the given row, in which the consent's last event is noted, and notes the new one there: the
 * caller has read the row under the consent's lock, so that no other transaction continues at the same event.
 */
export const appendEvent = async (tx: Statements, consent: ConsentRow, event: NewEvent): Promise<void> => {
  const chained = chainEvent(consent, event)
  const { seq, type, at, actor, reason, data, hash } = chained
  consent.eventSeq = seq
  consent.eventHash = hash
  if (tx.pending !== undefined) {
    tx.pending.change('consent', consent.id, { eventSeq: seq, eventHash: hash })
    tx.pending.event(chained)
    return
  }
  await tx.$executeRaw`
    WITH moved AS (UPDATE consents SET event_seq = ${seq}::int, event_hash = ${hash} WHERE id = ${consent.id}::uuid
      RETURNING id)
    INSERT INTO events (consent_id, seq, type, at, actor, reason, data, hash)
    SELECT id, ${seq}::int, ${type}, ${at}::timestamptz, ${actor}, ${reason}::text, ${JSON.stringify(data)}::jsonb,
      ${hash} FROM moved`
}

/** A page of one consent's events, oldest first. */
export const listEvents = async (
  db: Database,
  consentId: string,
  afterSeq = 0,
  limit = 1000,
): Promise<ConsentEvent[]> => {
  const rows = await db.prisma.event.findMany({
    where: { consentId, seq: { gt: afterSeq } },
    orderBy: { seq: 'asc' },
    take: limit,
  })
  return rows.map(toEvent)
}
