// The notify job: hands one message to its channel, at most once. The intent is committed before; what may or may not have been
// handed over stays `uncertain` and is never sent again.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { nextMailTryAt } from '../domain/backoff.ts'
import type { ConsentView, Notification } from '../domain/model.ts'
import { AT_THE_BANK, gatherFacts } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import { afterQuiet, isQuiet } from '../domain/quiet-hours.ts'
import type { Log } from '../log.ts'
import type { Channel, Message } from '../notify/port.ts'
import type { Claim, Dispatching, Notifications } from '../store/port.ts'
import { done, type Outcome, type Run, skipped, snooze } from './outcome.ts'

/** A message queued just before the quiet hours still goes out; one that was held back waits for their end. */
const QUIET_SLACK = Duration.fromObject({ minutes: 30 })

export interface SendNotificationDeps {
  readonly store: Pick<Dispatching, 'claim' | 'release'> & Notifications
  readonly channel: Channel
  /** Writes the message in the user's language, with the start link of its renewal. */
  readonly compose: (view: ConsentView, notification: Notification, graceEndsAt: DateTime) => Message | undefined
  readonly clock: Clock
  readonly policy: Policy
  readonly lease: Duration
  readonly log: Log
}

const OVERTAKEN = skipped('another worker took over: nothing was written')

export const sendNotification =
  (deps: SendNotificationDeps) =>
  async (notificationId: string, run: Run): Promise<Outcome> => {
    const { store, clock, policy } = deps
    const answer = await store.claim('notification', notificationId, deps.lease)
    if (answer.kind === 'missing') return skipped('there is no such notification')
    if (answer.kind === 'held') return snooze(answer.until, 'another worker is at it')
    const { claim } = answer
    const loaded = await store.getNotification(notificationId)
    if (loaded === undefined) return skipped('there is no such notification')
    const { notification, view } = loaded
    const now = clock.now()
    if (notification.status === 'sending') {
      // The lease of whoever was sending is over: it may have been handed over.
      return (await store.settleSending(claim, 'uncertain', now, 'mail-uncertain')) ? done('uncertain: the process stopped while it was being sent; never sent again') : OVERTAKEN
    }
    const revived = notification.status === 'failed' && run.manual && (await store.reviveFailed(claim, now))
    if (notification.status !== 'pending' && !revived) {
      await store.release(claim)
      return skipped(`the message is ${notification.status}`)
    }
    const hold = run.manual ? undefined : holdOf(view, notification, now, policy)
    if (hold !== undefined) {
      await store.postpone(claim, hold.until, { now, tried: false })
      return snooze(hold.until, hold.reason)
    }
    const message = deps.compose(view, notification, gatherFacts(view, now, policy).graceEndsAt)
    if (message === undefined) {
      return (await store.cancel(claim, now, 'no-channel')) ? skipped('no-channel: there is no usable address any more') : OVERTAKEN
    }
    return reserveAndSend(deps, claim, notification, message)
  }

/** Why this message waits, if it does: its own date, a user at the bank, quiet hours. */
const holdOf = (view: ConsentView, notification: Notification, now: DateTime, policy: Policy): { until: DateTime; reason: string } | undefined => {
  if (notification.nextActionAt !== undefined && notification.nextActionAt > now) return { until: notification.nextActionAt, reason: 'not due yet' }
  const backBy = view.authorisations
    .filter((one) => one.status === 'issued' && one.handedOutAt !== undefined)
    .map((one) => (one.handedOutAt ?? now).plus(AT_THE_BANK))
    .find((at) => at > now)
  if (backBy !== undefined) return { until: backBy, reason: 'the user went to the bank less than 30 minutes ago' }
  const zone = view.consent.timeZone ?? 'utc'
  const quiet = policy.quietHours
  if (isQuiet(now, zone, quiet) && isQuiet(now.minus(QUIET_SLACK), zone, quiet)) return { until: afterQuiet(now, zone, quiet), reason: 'quiet hours of the user' }
  return undefined
}

const reserveAndSend = async (deps: SendNotificationDeps, claim: Claim, notification: Notification, message: Message): Promise<Outcome> => {
  const { store, channel, clock, policy, log } = deps
  const now = clock.now()
  const start = await store.beginSending(claim, now, policy.limits.messagesPerHour)
  switch (start.kind) {
    case 'cap-reached': {
      const until = now.toUTC().startOf('hour').plus({ hours: 1 })
      log.warn({ alert: 'messages-per-hour', cap: policy.limits.messagesPerHour, until: until.toISO() }, 'the cap on messages per hour holds messages back')
      await store.postpone(claim, until, { now, tried: false })
      return snooze(until, `the cap of ${policy.limits.messagesPerHour} messages per hour is reached`)
    }
    case 'in-flight': {
      const until = now.plus({ minutes: 1 })
      await store.postpone(claim, until, { now, tried: false })
      return snooze(until, 'a code of this cycle came in: its outcome comes first')
    }
    case 'not-wanted':
      await store.cancel(claim, now, start.reason)
      return skipped(`no longer wanted: ${start.reason}`)
    case 'reserved':
      return deliver(deps, claim, notification, await channel.send(message))
  }
}

const deliver = async ({ store, clock }: SendNotificationDeps, claim: Claim, notification: Notification, delivery: Awaited<ReturnType<Channel['send']>>): Promise<Outcome> => {
  const now = clock.now()
  switch (delivery.kind) {
    case 'sent':
      return (await store.settleSending(claim, 'sent', now)) ? done(`sent ${notification.rung}`) : OVERTAKEN
    case 'uncertain':
      await store.settleSending(claim, 'uncertain', now, delivery.code)
      return done(`uncertain: ${delivery.detail}; never sent again`)
    case 'refused':
      await store.settleSending(claim, 'failed', now, delivery.code)
      return done(`failed: ${delivery.detail}`)
    case 'deferred': {
      const until = nextMailTryAt(notification.attempts + 1, now)
      if (until === undefined) {
        await store.settleSending(claim, 'failed', now, delivery.code)
        return done(`failed after ${notification.attempts + 1} tries: ${delivery.detail}`)
      }
      await store.postpone(claim, until, { now, tried: true, code: delivery.code })
      return snooze(until, `${delivery.code}: ${delivery.detail}`)
    }
  }
}
