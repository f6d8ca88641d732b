// The append-only record of what happened to a consent, without gaps. Callers hold the consent's lock (locks.ts).
import type { DateTime } from 'luxon'
import type { Prisma } from '../generated/prisma/client.ts'
import type { Actor } from '../domain/model.ts'
import type { Database, Transaction } from './database.ts'
import { eventHash, NO_HASH, plainData, wellFormed } from './event-hash.ts'
import type { ConsentEvent } from './port.ts'
import { toEvent } from './rows.ts'

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
  'message.sent',
  'message.uncertain',
  'message.failed',
  'message.cancelled',
  'authorisation.code-received',
  'authorisation.refused-at-bank',
  'authorisation.exchanging',
  'authorisation.answered',
  'authorisation.in-doubt',
  'authorisation.refused',
  'authorisation.mismatched',
  'authorisation.superseded',
  'token.shown',
  'token.replaced',
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

// Reads the number and hash of the consent's last event and stores those of the new one. The consent's lock, which
// every caller holds, prevents two transactions from continuing the chain at the same event.
export const appendEvent = async (tx: Transaction, consentId: string, event: NewEvent): Promise<void> => {
  const rows = await tx.$queryRaw<{ event_seq: number; event_hash: string | null }[]>`
    SELECT event_seq, event_hash FROM consents WHERE id = ${consentId}::uuid FOR NO KEY UPDATE`
  const last = rows[0]
  if (last === undefined) throw new Error('an event of a consent that does not exist')
  const { seq, type, at, actor, reason, data, hash } = chainEvent(
    { id: consentId, eventSeq: last.event_seq, eventHash: last.event_hash },
    event,
  )
  await tx.$executeRaw`
    WITH moved AS (UPDATE consents SET event_seq = ${seq}::int, event_hash = ${hash} WHERE id = ${consentId}::uuid
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
