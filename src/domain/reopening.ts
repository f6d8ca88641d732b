// Which closed consents an import was wrong about, and what they were before. Until the field `supersedes` an import
// closed the older of two consents of one user at one bank, though a person may have two logins there. Pure.
import type { DateTime } from 'luxon'
import { type Replayed, type ReplayedEvent, replay } from './replay.ts'

/** The words of the old rule in its event: what an exchange closed, or a company's own word, has others. */
const OLD_RULE = 'a newer consent of the same user at the same bank was imported'

export interface RecordedEvent extends ReplayedEvent {
  readonly at: DateTime
  readonly actor: string
  readonly reason: string | undefined
}

export interface WronglyClosed {
  readonly at: DateTime
  /** Status and cycle it was closed in. */
  readonly before: Replayed
}

/** From a superseded consent's events, oldest first; undefined where something else closed it. */
export const closedByOldRule = (events: readonly RecordedEvent[]): WronglyClosed | undefined => {
  const last = events.findLastIndex(({ type }) => type === 'consent.superseded')
  const closing = events[last]
  if (closing?.actor !== 'company' || closing.reason !== OLD_RULE) return undefined
  return { at: closing.at, before: replay(events.slice(0, last)) }
}
