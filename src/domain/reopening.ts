// Which consents an import closed wrongly, and what they were before. Before the field `supersedes` existed, an import
// closed the older of two consents of one user at one bank, although a user may have two logins there. Pure.
import type { DateTime } from 'luxon'
import { type Replayed, type ReplayedEvent, replay } from './replay.ts'

/**
 * The reason in the old rule's event; a consent closed by an exchange or at the company's request has another reason.
 */
const OLD_RULE = 'a newer consent of the same user at the same bank was imported'

export interface RecordedEvent extends ReplayedEvent {
  readonly at: DateTime
  readonly actor: string
  readonly reason: string | undefined
}

export interface WronglyClosed {
  readonly at: DateTime
  /** The status and cycle in which the consent was closed. */
  readonly before: Replayed
}

/** Takes a superseded consent's events, oldest first; undefined when something else closed the consent. */
export const closedByOldRule = (events: readonly RecordedEvent[]): WronglyClosed | undefined => {
  const last = events.findLastIndex(({ type }) => type === 'consent.superseded')
  const closing = events[last]
  if (closing?.actor !== 'company' || closing.reason !== OLD_RULE) return undefined
  return { at: closing.at, before: replay(events.slice(0, last)) }
}
