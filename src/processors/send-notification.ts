// The notify job: hands one message to its channel, at most once. The intent to send is committed first. A message that
// may or may not have been handed over stays `uncertain` and is never sent again.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { nextTryAt, nextTryWhileUnavailable } from '../domain/backoff.ts'
import { addressFor, type ChannelName, traitsOf } from '../domain/channels.ts'
import type { ConsentView, Notification } from '../domain/model.ts'
import { sendDecision } from '../domain/send-decision.ts'
import { gatherFacts } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import type { Log } from '../log.ts'
import type { Channel, Delivery, MessageFacts } from '../notify/port.ts'
import type { Claim, Dispatching, Notifications } from '../store/port.ts'
import { done, type JobContext, type Outcome, skipped, snooze } from './outcome.ts'
import { withClaim } from './with-claim.ts'

export interface SendNotificationDeps {
  readonly store: Pick<Dispatching, 'claim' | 'release'> & Notifications
  /** Those in use. */
  readonly channels: Readonly<Partial<Record<ChannelName, Channel>>>
  /** What the message is about, with the start link of its renewal. */
  readonly factsOf: (
    view: ConsentView,
    notification: Notification,
    given: { to: string; graceEndsAt: DateTime },
  ) => MessageFacts
  readonly clock: Clock
  readonly policy: Policy
  readonly lease: Duration
  readonly log: Log
}

/** An outage affects every message of its channel that is due: it is logged at this interval, not for each message. */
export const UNAVAILABLE_LOGGED_EVERY = Duration.fromObject({ minutes: 1 })

type Unavailable = Extract<Delivery, { kind: 'unavailable' }>

interface Sender extends SendNotificationDeps {
  readonly warnUnavailable: (channel: ChannelName, away: Unavailable) => void
}

const warnings: Record<Unavailable['cause'], string> = {
  outage: 'the channel cannot be used: its messages wait and are tried again',
  limit: 'we have reached a limit of the channel: its messages wait and are tried again',
  setup: 'the channel does not let us send: its messages wait and are tried again; it is ours to mend',
}

const atMostOncePerMinute = ({ clock, log }: SendNotificationDeps): Sender['warnUnavailable'] => {
  const lastOf = new Map<ChannelName, DateTime>()
  return (channel, { code, cause, detail }) => {
    const now = clock.now()
    const last = lastOf.get(channel)
    if (last !== undefined && Math.abs(now.diff(last).toMillis()) < UNAVAILABLE_LOGGED_EVERY.toMillis()) return
    lastOf.set(channel, now)
    log.warn({ alert: 'message-unavailable', channel, error_code: code, about: cause, detail }, warnings[cause])
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
        await store.settleSending(claim, 'uncertain', now, 'message-uncertain')
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
      const channel = deps.channels[current.channel]
      const to = channel === undefined ? undefined : addressFor(view.consent, current.channel)
      if (channel === undefined || to === undefined) {
        await store.cancel(claim, now, 'no-channel')
        return skipped('no-channel: there is no usable address any more, or its channel is not in use')
      }
      const message = channel.compose(deps.factsOf(view, current, { to, graceEndsAt: facts.graceEndsAt }))
      return reserveAndSend(deps, claim, current, async () => channel.send(message))
    })
}

const reserveAndSend = async (
  deps: Sender,
  claim: Claim,
  notification: Notification,
  send: () => Promise<Delivery>,
): Promise<Outcome> => {
  const { store, clock, policy, log } = deps
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
      return deliver(deps, claim, notification, await send())
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
      if (delivery.code === 'message-too-large')
        log.warn(
          { channel: notification.channel, error_code: delivery.code, detail: delivery.detail },
          'the channel takes no message of this size',
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
      warnUnavailable(notification.channel, delivery)
      return reschedule(
        store,
        claim,
        until,
        { now, tried: false, code: delivery.code },
        `${delivery.code} (${delivery.cause}): ${delivery.detail}`,
      )
    }
    case 'deferred': {
      const until = nextTryAt(traitsOf(notification.channel).tries, notification.attempts + 1, now)
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
