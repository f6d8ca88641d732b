// The notify job: hands one message to its channel, at most once. The intent to send is committed first. A message that
// may or may not have been handed over stays `uncertain` and is never sent again.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { nextMailTryAt, nextTryWhileUnavailable } from '../domain/backoff.ts'
import type { ConsentView, Notification } from '../domain/model.ts'
import { sendDecision } from '../domain/send-decision.ts'
import { gatherFacts } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import type { Log } from '../log.ts'
import type { Channel, Delivery, Message } from '../notify/port.ts'
import type { Claim, Dispatching, Notifications } from '../store/port.ts'
import { done, type JobContext, type Outcome, skipped, snooze } from './outcome.ts'
import { withClaim } from './with-claim.ts'

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

/** An outage affects every message that is due: it is logged at this interval, not for each message. */
export const UNAVAILABLE_LOGGED_EVERY = Duration.fromObject({ minutes: 1 })

type Unavailable = Extract<Delivery, { kind: 'unavailable' }>

interface Sender extends SendNotificationDeps {
  readonly warnUnavailable: (away: Unavailable) => void
}

const warnings: Record<Unavailable['cause'], string> = {
  outage: 'the mail server cannot be used: messages wait and are tried again',
  limit: 'we have reached a limit of the mail server: messages wait and are tried again',
  setup: 'the mail server does not let us send: messages wait and are tried again; it is ours to mend',
}

const atMostOncePerMinute = ({ clock, log }: SendNotificationDeps): Sender['warnUnavailable'] => {
  let last: DateTime | undefined
  return ({ code, cause, detail }) => {
    const now = clock.now()
    if (last !== undefined && Math.abs(now.diff(last).toMillis()) < UNAVAILABLE_LOGGED_EVERY.toMillis()) return
    last = now
    log.warn({ alert: 'mail-unavailable', error_code: code, about: cause, detail }, warnings[cause])
  }
}

export const sendNotification = (options: SendNotificationDeps) => {
  const deps: Sender = { ...options, warnUnavailable: atMostOncePerMinute(options) }
  return async (notificationId: string, run: JobContext): Promise<Outcome> =>
    withClaim(deps, { kind: 'notification', id: notificationId, run }, async (claim) => {
      const { store, clock, policy } = deps
      const loaded = await store.getNotification(notificationId)
      if (loaded === undefined) return skipped('there is no such notification')
      const { notification, view } = loaded
      const now = clock.now()
      if (notification.status === 'sending') {
        // The worker that was sending crashed, hangs or failed, and its lease is over or released. The message may have
        // been handed over.
        await store.settleSending(claim, 'uncertain', now, 'mail-uncertain')
        return done('uncertain: the process stopped while it was being sent; never sent again')
      }
      const revived = notification.status === 'failed' && run.manual
      if (revived) await store.reviveFailed(claim, now)
      else if (notification.status !== 'pending') {
        await store.release(claim)
        return skipped(`the message is ${notification.status}`)
      }
      const current = revived ? { ...notification, status: 'pending' as const, attempts: 0 } : notification
      const facts = gatherFacts(view, now, policy, run.manual)
      const decision = sendDecision(facts, current, { revived })
      if (decision.kind === 'cancel') {
        await store.cancel(claim, now, decision.reason)
        return skipped(`no longer wanted: ${decision.reason}`)
      }
      if (decision.kind === 'wait') {
        return reschedule(store, claim, decision.until, { now, tried: false }, decision.reason)
      }
      const message = deps.compose(view, current, facts.graceEndsAt)
      if (message === undefined) {
        await store.cancel(claim, now, 'no-channel')
        return skipped('no-channel: there is no usable address any more')
      }
      return reserveAndSend(deps, claim, current, message)
    })
}

const reserveAndSend = async (
  deps: Sender,
  claim: Claim,
  notification: Notification,
  message: Message,
): Promise<Outcome> => {
  const { store, channel, clock, policy, log } = deps
  const now = clock.now()
  const start = await store.beginSending(claim, now, policy.limits.messagesPerHour)
  switch (start.kind) {
    case 'cap-reached': {
      const until = now.toUTC().startOf('hour').plus({ hours: 1 })
      log.warn(
        { alert: 'messages-per-hour', cap: policy.limits.messagesPerHour, until: until.toISO() },
        'the cap on messages per hour holds messages back',
      )
      return reschedule(
        store,
        claim,
        until,
        { now, tried: false },
        `the cap of ${policy.limits.messagesPerHour} messages per hour is reached`,
      )
    }
    case 'in-flight': {
      const until = now.plus({ minutes: 1 })
      return reschedule(
        store,
        claim,
        until,
        { now, tried: false },
        'a code of this cycle came in: its outcome comes first',
      )
    }
    case 'not-wanted':
      await store.cancel(claim, now, start.reason)
      return skipped(`no longer wanted: ${start.reason}`)
    case 'reserved': {
      return deliver(deps, claim, notification, await channel.send(message))
    }
  }
}

const deliver = async (
  { store, clock, log, warnUnavailable }: Sender,
  claim: Claim,
  notification: Notification,
  delivery: Delivery,
): Promise<Outcome> => {
  const now = clock.now()
  switch (delivery.kind) {
    case 'sent':
      await store.settleSending(claim, 'sent', now)
      return done(`sent ${notification.rung}`)
    case 'uncertain':
      await store.settleSending(claim, 'uncertain', now, delivery.code)
      return done(`uncertain: ${delivery.detail}; never sent again`)
    case 'refused':
      if (delivery.code === 'mail-too-large')
        log.warn(
          { error_code: delivery.code, detail: delivery.detail },
          'the mail server takes no message of this size',
        )
      await store.settleSending(claim, 'failed', now, delivery.code)
      return done(`failed: ${delivery.detail}`)
    case 'no-channel':
      await store.settleSending(claim, 'failed', now, delivery.code)
      return done(`no-channel: ${delivery.detail}`)
    case 'unavailable': {
      const until = nextTryWhileUnavailable({
        createdAt: notification.createdAt,
        again: notification.errorCode === delivery.code,
        now,
      })
      warnUnavailable(delivery)
      return reschedule(
        store,
        claim,
        until,
        { now, tried: false, code: delivery.code },
        `${delivery.code} (${delivery.cause}): ${delivery.detail}`,
      )
    }
    case 'deferred': {
      const until = nextMailTryAt(notification.attempts + 1, now)
      if (until === undefined) {
        const lost = `failed after ${notification.attempts + 1} tries: ${delivery.detail}`
        await store.settleSending(claim, 'failed', now, delivery.code)
        return done(lost)
      }
      return reschedule(
        store,
        claim,
        until,
        { now, tried: true, code: delivery.code },
        `${delivery.code}: ${delivery.detail}`,
      )
    }
  }
}

const reschedule = async (
  store: Sender['store'],
  claim: Claim,
  until: DateTime,
  options: Parameters<Notifications['reschedule']>[2],
  why: string,
): Promise<Outcome> => {
  await store.reschedule(claim, until, options)
  return snooze(until, why)
}
