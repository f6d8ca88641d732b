// The notify job: hands one message to its channel. The intent to send is committed before anything leaves. A message
// that may or may not have been taken stays `uncertain`, except that one whose worker died is sent once more.
import { type DateTime, Duration } from 'luxon'
import type { Clock } from '../clock.ts'
import { nextTryAt, nextTryWhileUnavailable } from '../domain/backoff.ts'
import { addressFor, type ChannelName, traitsOf } from '../domain/channels.ts'
import type { ConsentView, Notification } from '../domain/model.ts'
import { gatherFacts } from '../domain/next-action.ts'
import type { Policy } from '../domain/policy.ts'
import { repeatDecision } from '../domain/repeat-decision.ts'
import { sendDecision } from '../domain/send-decision.ts'
import type { Log } from '../log.ts'
import type { ErrorCode } from '../errors.ts'
import type { Channel, Delivery, MessageFacts } from '../notify/port.ts'
import type { Dispatching, Notifications, SendingStart } from '../store/port.ts'
import { handOver, type HandedOver } from './hand-over.ts'
import { type JobContext, type Outcome, skipped } from './outcome.ts'
import { type Course, firstTime, onceMore } from './sending-courses.ts'
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
    withClaim(deps, { kind: 'notification', id: notificationId, run }, async (claim, { notification, view }) => {
      const { store, clock, policy } = deps
      const now = clock.now()
      const revived = notification.status === 'failed' && run.manual
      if (revived) await store.reviveFailed(claim, now)
      else if (notification.status !== 'pending' && notification.status !== 'sending') {
        await store.release(claim)
        return skipped(`the message is ${notification.status}`)
      }
      const current = revived ? { ...notification, status: 'pending' as const, attempts: 0 } : notification
      // Who was sending crashed, hangs or failed, and the lease is over or released. The message may have been taken.
      const course = current.status === 'sending' ? onceMore(deps, claim, run) : firstTime(deps, claim, run)
      const facts = gatherFacts(view, now, policy, run.manual)
      const decision =
        current.status === 'sending' ? repeatDecision(facts, current) : sendDecision(facts, current, { revived })
      if (decision.kind === 'wait') return course.putOff(decision.until, decision.reason, { tried: false })
      if (decision.kind === 'cancel' || decision.kind === 'leave') return course.drop(decision.reason)
      const channel = deps.channels[current.channel]
      const to = channel === undefined ? undefined : addressFor(view.consent, current.channel)
      if (channel === undefined || to === undefined) return course.drop('no-channel')
      const place = await store.placeInHour(clock.now(), policy.limits.messagesPerHour, course.isRepeat)
      if (place !== 'free') return notBegun(deps, course, { kind: place })
      const message = channel.compose(deps.factsOf(view, current, { to, graceEndsAt: facts.graceEndsAt }))
      const handedOver = await handOver(deps, claim, {
        begin: course.begin,
        send: async (handover) => channel.send(message, handover),
      })
      const { start } = handedOver
      if (start !== undefined && start.kind !== 'reserved') return notBegun(deps, course, start)
      return deliver(deps, course, current, handedOver)
    })
}

const notBegun = async (
  { policy, log, clock }: Sender,
  course: Course,
  start: Exclude<SendingStart, { kind: 'reserved' }>,
): Promise<Outcome> => {
  const now = clock.now()
  const nextHour = now.toUTC().startOf('hour').plus({ hours: 1 })
  switch (start.kind) {
    case 'cap-reached': {
      const cap = policy.limits.messagesPerHour
      log.warn(
        { alert: 'messages-per-hour', cap, until: nextHour.toISO() },
        'the cap on messages per hour holds messages back',
      )
      return course.putOff(nextHour, `the cap of ${cap} messages per hour is reached`, { tried: false })
    }
    case 'repeats-reached':
      log.warn(
        { alert: 'messages-repeated', until: nextHour.toISO() },
        'as many messages were repeated in this hour as may be: workers die while they send',
      )
      return course.putOff(nextHour, 'as many messages were repeated in this hour as may be', { tried: false })
    case 'in-flight':
      return course.putOff(now.plus({ minutes: 1 }), start.reason, { tried: false })
    case 'not-wanted':
      return course.drop(start.reason)
  }
}

const deliver = async (
  deps: Sender,
  course: Course,
  { rung, channel, createdAt, errorCode, attempts }: Notification,
  { delivery, start }: HandedOver,
): Promise<Outcome> => {
  const { clock, log, warnUnavailable } = deps
  const now = clock.now()
  const begun = start !== undefined
  // A repetition that was begun is the only one, whatever came of it.
  const isLast = course.isRepeat && begun
  const giveUp = async (code: ErrorCode, what: string): Promise<Outcome> => {
    const outcome = await course.giveUp(code, what, begun)
    return outcome === 'cap-reached' ? notBegun(deps, course, { kind: outcome }) : outcome
  }
  switch (delivery.kind) {
    case 'not-begun':
      throw new Error('a channel says that a message was not begun, and nobody kept it from beginning')
    case 'sent':
      return course.sent(rung)
    case 'uncertain':
      return course.leave(delivery.detail)
    case 'refused':
      if (delivery.code === 'message-too-large')
        log.warn(
          { channel, error_code: delivery.code, detail: delivery.detail },
          'the channel takes no message of this size',
        )
      return giveUp(delivery.code, `failed: ${delivery.detail}`)
    case 'no-channel':
      return giveUp(delivery.code, `no-channel: ${delivery.detail}`)
    case 'unavailable': {
      const { code, cause, detail } = delivery
      warnUnavailable(channel, delivery)
      const why = `${code} (${cause}): ${detail}`
      if (isLast) return giveUp(code, why)
      const until = nextTryWhileUnavailable({ createdAt, again: errorCode === code, now })
      return course.putOff(until, why, { tried: false, code })
    }
    case 'deferred': {
      const { code, detail } = delivery
      const until = nextTryAt(traitsOf(channel).tries, attempts + 1, now)
      if (isLast || until === undefined) return giveUp(code, `failed after ${attempts + 1} tries: ${detail}`)
      return course.putOff(until, `${code}: ${detail}`, { tried: true, code })
    }
  }
}
