// Chooses the message that fits the moment. Pure. The dates decide, not the rung's name: because of quiet hours, a
// catch-up after downtime or a slow queue, the `0d` rung may be sent the day before or the day after, and the message
// must be true on the day it is sent.
import type { DateTime } from 'luxon'
import { usableZone } from '../domain/locale.ts'
import type { TemplateName } from '../texts/template-names.ts'

/** From this many days before the end of the grace window, the message is about the end of the grace window. */
const LAST_CHANCE_DAYS = 10

export interface Occasion {
  /** `-14d`, `0d`, `+7d`, `manual-1`, `again-1`. */
  readonly rung: string
  readonly expiresAt: DateTime
  readonly graceEndsAt: DateTime
  readonly now: DateTime
  readonly situation: 'reminder' | 'asked-again' | 'other-account' | 'uncertain'
  /** Decides which day "today" is; UTC when unknown. */
  readonly timeZone?: string | null | undefined
}

export const chooseTemplate = ({ rung, expiresAt, graceEndsAt, now, situation, timeZone }: Occasion): TemplateName => {
  if (situation !== 'reminder') return situation
  if (rung.startsWith('again-')) return 'asked-again'
  if (now < expiresAt) {
    const zone = usableZone(timeZone)
    return now.setZone(zone).hasSame(expiresAt.setZone(zone), 'day') ? 'last-day' : 'before-expiry'
  }
  if (now >= graceEndsAt) return 'after-grace'
  return now >= graceEndsAt.minus({ days: LAST_CHANCE_DAYS }) ? 'last-chance' : 'expired'
}
