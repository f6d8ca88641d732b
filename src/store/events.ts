// The append-only record of what happened to a consent, without gaps. Callers hold the consent's lock (lock order).
import type { DateTime } from 'luxon'
import type { Prisma } from '../generated/prisma/client.ts'
import type { Actor } from '../domain/model.ts'
import type { Database, Transaction } from './database.ts'
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
  'renewal.opened',
  'renewal.requested',
  'link.made',
  'link.failed',
  'link.handed-out',
  'message.queued',
  'message.sent',
  'message.uncertain',
  'message.failed',
  'message.cancelled',
  'authorisation.code-received',
  'authorisation.refused-at-bank',
  'authorisation.exchanging',
  'authorisation.answered',
  'authorisation.unknown',
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

export const appendEvent = async (tx: Transaction, consentId: string, event: NewEvent): Promise<void> => {
  const { eventSeq } = await tx.consent.update({
    where: { id: consentId },
    data: { eventSeq: { increment: 1 } },
    select: { eventSeq: true },
  })
  await tx.event.create({
    data: {
      consentId,
      seq: eventSeq,
      type: event.type,
      at: event.at.toJSDate(),
      actor: event.actor,
      reason: event.reason ?? null,
      data: event.data ?? {},
    },
  })
}

/** A page of one consent's events, oldest first. */
export const listEvents = async (db: Database, consentId: string, afterSeq = 0, limit = 1000): Promise<ConsentEvent[]> => {
  const rows = await db.prisma.event.findMany({ where: { consentId, seq: { gt: afterSeq } }, orderBy: { seq: 'asc' }, take: limit })
  return rows.map(toEvent)
}
