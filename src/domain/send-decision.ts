// Whether a message that was made earlier may be sent now. Since it was made, the message may have waited in the queue,
// for a server that put it off, for the end of quiet hours, or through days of downtime. The message may no longer
// be wanted, or another message may fit better.
import type { DateTime } from 'luxon'
import { Duration } from 'luxon'
import { mayBeUsed } from './channels.ts'
import { backFromBankBy, inDoubtUntil } from './in-progress.ts'
import { latestDueRung } from './ladder.ts'
import { usableZone } from './locale.ts'
import type { Notification } from './model.ts'
import { againMessage, type Facts, whyUnsettled } from './next-action.ts'
import { afterQuiet, isQuiet } from './quiet-hours.ts'

/** A message made just before the quiet hours is still sent; a message that was held back waits for their end. */
const QUIET_SLACK = Duration.fromObject({ minutes: 30 })

export type SendDecision =
  | { readonly kind: 'send' }
  | { readonly kind: 'wait'; readonly until: DateTime; readonly reason: string }
  | { readonly kind: 'cancel'; readonly reason: string }

/** `revived`: an operator retries this very message, which had failed; then no later message replaces it. */
export const sendDecision = (
  facts: Facts,
  notification: Notification,
  { revived }: { revived: boolean },
): SendDecision => {
  const reason = noLongerWanted(facts, notification) ?? (revived ? undefined : replacedBy(facts, notification))
  if (reason !== undefined) return { kind: 'cancel', reason }
  return waitOf(facts, notification) ?? { kind: 'send' }
}

const noLongerWanted = (
  { view: { consent, renewal }, now, graceEndsAt }: Facts,
  notification: Notification,
): string | undefined => {
  if (consent.status !== 'active' || renewal?.status !== 'open' || consent.cycle !== notification.cycle) {
    return `the consent is ${consent.status}, its renewal ${renewal?.status ?? 'gone'}`
  }
  if (!mayBeUsed(consent, notification.channel)) return `the user is not to be written to by ${notification.channel}`
  // Past grace, only a message that was made after the end of grace is sent.
  return now >= graceEndsAt && notification.createdAt < graceEndsAt ? 'the grace window has ended since' : undefined
}

/**
 * After a downtime each channel sends one message, never two: the later message, which is already made or due by now.
 */
const replacedBy = (
  { view, now, rungs }: Facts,
  { id, channel, createdAt, rung: name }: Notification,
): string | undefined => {
  const again = againMessage(view)
  if (again !== undefined && rungs.some((rung) => rung.name === name))
    return `the user came back in vain since: message ${again.rung} goes in its place`
  const later = view.notifications.find(
    (message) =>
      message.id !== id &&
      message.channel === channel &&
      message.createdAt > createdAt &&
      message.status !== 'cancelled' &&
      message.status !== 'failed',
  )
  if (later !== undefined) return `message ${later.rung} was made since`
  const rung = latestDueRung(rungs, now)
  const isOwed =
    rung !== undefined && rung.at > createdAt && !view.notifications.some((message) => message.rung === rung.name)
  return isOwed ? `message ${rung.name} is due by now and goes in its place` : undefined
}

/**
 * A retry by an operator does not wait for the message's own date; for the user's sake it waits for everything else.
 */
const waitOf = (
  { view, now, policy, manual }: Facts,
  notification: Notification,
): Extract<SendDecision, { kind: 'wait' }> | undefined => {
  const waitUntil = (until: DateTime, reason: string) => ({ kind: 'wait', until, reason }) as const
  const doubt = inDoubtUntil(view.authorisations)
  if (doubt !== undefined && doubt > now) return waitUntil(doubt, whyUnsettled(view))
  const backBy = backFromBankBy(view.authorisations)
  if (backBy !== undefined && backBy > now)
    return waitUntil(backBy, 'the user went to the bank less than 30 minutes ago')
  const { createdAt, nextActionAt } = notification
  const zone = usableZone(view.consent.timeZone)
  const quiet = policy.quietHours
  const justInTime = createdAt > now.minus(QUIET_SLACK) && !isQuiet(createdAt, zone, quiet)
  if (isQuiet(now, zone, quiet) && !justInTime)
    return waitUntil(afterQuiet(now, zone, quiet), 'quiet hours of the user')
  return nextActionAt !== undefined && nextActionAt > now && !manual
    ? waitUntil(nextActionAt, 'not due yet')
    : undefined
}
