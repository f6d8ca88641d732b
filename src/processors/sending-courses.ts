// The two courses of a message: it is sent for the first time, or once more because its worker died over it. What
// becomes of it is written in another way in each; send-notification.ts decides what that is.
import type { DateTime } from 'luxon'
import type { Clock } from '../clock.ts'
import type { Policy } from '../domain/policy.ts'
import type { ErrorCode } from '../errors.ts'
import type { Claim, Notifications, SendingStart } from '../store/port.ts'
import { done, type JobContext, type Outcome, skipped, snooze } from './outcome.ts'
import { persist } from './persist.ts'

interface Deps {
  readonly store: Notifications
  readonly clock: Clock
  readonly policy: Pick<Policy, 'limits'>
}

/** What differs between the first sending of a message and its repetition: how it begins, and each way to end it. */
export interface Course {
  readonly isRepeat: boolean
  begin(): Promise<SendingStart>
  /** Nobody wants the message any more, or nobody can be written to. */
  drop(reason: string): Promise<Outcome>
  putOff(until: DateTime, why: string, options: { tried: boolean; code?: ErrorCode }): Promise<Outcome>
  sent(rung: string): Promise<Outcome>
  /** The server did not take it, and it is not tried again; `begun`: whether the intent had been committed. */
  giveUp(code: ErrorCode, what: string, begun: boolean): Promise<Outcome | 'cap-reached'>
  /** The server may have taken it. */
  leave(detail: string): Promise<Outcome>
}

const UNCERTAIN = 'message-uncertain'
const NO_CHANNEL = 'no-channel: there is no usable address any more, or its channel is not in use'

export const firstTime = (deps: Deps, claim: Claim, run: JobContext): Course => {
  const { store, clock, policy } = deps
  const settle = settling(deps, claim, run)
  return {
    isRepeat: false,
    begin: async () => store.beginSending(claim, clock.now(), policy.limits.messagesPerHour),
    drop: async (reason) => {
      await store.cancel(claim, clock.now(), reason)
      return skipped(reason === 'no-channel' ? NO_CHANNEL : `no longer wanted: ${reason}`)
    },
    putOff: async (until, why, options) => {
      // Without this write, the message would look like one that a dead worker left.
      const now = clock.now()
      await persist(async () => store.reschedule(claim, until, { now, ...options }), run.signal)
      return snooze(until, why)
    },
    sent: async (rung) => settle('sent', `sent ${rung}`),
    giveUp: async (code, what, begun) => {
      if (begun) return settle('failed', what, { code })
      const now = clock.now()
      const fail = async () => store.failUnbegun(claim, now, code, policy.limits.messagesPerHour)
      return (await persist(fail, run.signal)) === 'failed' ? done(what) : 'cap-reached'
    },
    leave: async (detail) => settle('uncertain', `uncertain: ${detail}; not sent again`, { code: UNCERTAIN }),
  }
}

/**
 * The first copy may have arrived, so the message never counts as failed or cancelled: it could be sent a third time.
 * What is put off stays `sending`, for the next claim to decide about.
 */
export const onceMore = (deps: Deps, claim: Claim, run: JobContext): Course => {
  const { store, clock, policy } = deps
  const settle = settling(deps, claim, run)
  const uncertain = async (why: string): Promise<Outcome> => {
    const reason = `its worker died over it, and ${why}`
    return settle('uncertain', `uncertain: ${reason}; not sent again`, { code: UNCERTAIN, reason })
  }
  return {
    isRepeat: true,
    begin: async () => store.beginRepeat(claim, clock.now(), policy.limits.messagesPerHour),
    drop: async (reason) => uncertain(reason === 'no-channel' ? 'no address is left for it' : reason),
    putOff: async (until, why, options) => {
      await store.postponeRepeat(claim, until, options)
      return snooze(until, why)
    },
    sent: async (rung) => settle('sent', `sent ${rung} for the second time: its worker died over it`),
    giveUp: async (_code, what) => uncertain(`its second copy was not taken (${what})`),
    leave: async (detail) => uncertain(`so did the answer to its second copy (${detail})`),
  }
}

/** What became of a message is known here alone: if it is not stored, the message is sent once more. */
const settling =
  ({ store, clock }: Deps, claim: Claim, { signal }: JobContext) =>
  async (
    result: Parameters<Notifications['settleSending']>[1],
    what: string,
    why?: Parameters<Notifications['settleSending']>[3],
  ): Promise<Outcome> => {
    const now = clock.now()
    await persist(async () => store.settleSending(claim, result, now, why), signal)
    return done(what)
  }
