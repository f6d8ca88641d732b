// Whether a message is sent a second time because the worker that was sending it died. The message may have arrived: a
// second mail is the smaller harm than a renewal that nobody was asked for, but only once, and only where no other
// message is about to ask.
import type { DateTime } from 'luxon'
import { Duration } from 'luxon'
import { nextRungAfter } from './ladder.ts'
import type { Notification } from './model.ts'
import { type Facts, owedMessage } from './next-action.ts'
import { sendDecision } from './send-decision.ts'

/** A rung that is due within this time asks soon enough. */
const NEXT_RUNG_SUFFICES = Duration.fromObject({ days: 1 })

/** How soon it is looked at again whether a stopped consent goes on. */
const LOOKS_AGAIN_AFTER = Duration.fromObject({ hours: 1 })

/** One message in so many, and at least a few. */
const REPEATED_ONE_IN = 100
const REPEATED_AT_LEAST = 5

/**
 * How many of the messages that were begun in one clock hour may be repeats. Workers that die one after the other must
 * not send everything twice.
 */
export const mostRepeats = (begun: number): number => Math.max(REPEATED_AT_LEAST, Math.floor(begun / REPEATED_ONE_IN))

export type RepeatDecision =
  | { readonly kind: 'repeat' }
  /** Not now: the message stays as its worker left it. */
  | { readonly kind: 'wait'; readonly until: DateTime; readonly reason: string }
  /** Never: the message becomes `uncertain`. */
  | { readonly kind: 'leave'; readonly reason: string }

/** Takes a message that a claim has found in `sending`: no worker is at it any more, or one that has lost its claim. */
export const repeatDecision = (facts: Facts, message: Notification): RepeatDecision => {
  const reason = whyNever(message)
  if (reason !== undefined) return { kind: 'leave', reason }
  const { consent } = facts.view
  // A message that was still `pending` comes back with its consent, and so does this one.
  if (consent.status === 'paused' || consent.status === 'quarantined')
    return { kind: 'wait', until: facts.now.plus(LOOKS_AGAIN_AFTER), reason: `the consent is ${consent.status}` }
  const decision = sendDecision(facts, message, { revived: false })
  if (decision.kind === 'cancel') return { kind: 'leave', reason: decision.reason }
  const other = askedOtherwise(facts)
  if (other !== undefined) return { kind: 'leave', reason: other }
  return decision.kind === 'wait' ? decision : { kind: 'repeat' }
}

const whyNever = ({ handedOverAt, repeatedAt }: Notification): string | undefined => {
  if (repeatedAt !== undefined) return 'it was repeated once'
  return handedOverAt === undefined ? undefined : 'its last byte had left, and only the answer was missing'
}

const askedOtherwise = (facts: Facts): string | undefined => {
  const owed = owedMessage(facts)
  if (owed !== undefined) return `message ${owed.rung} is owed and goes in its place`
  const next = nextRungAfter(facts.rungs, facts.now)
  return next !== undefined && next.at <= facts.now.plus(NEXT_RUNG_SUFFICES)
    ? `message ${next.name} is due within a day`
    : undefined
}
