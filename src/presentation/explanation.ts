// Explains the state of a consent: every rule evaluated, what is next, each rung of the ladder, and which messages are
// held back and why. Evaluates the same rules as the jobs, so the explanation always agrees with what the jobs do.
import type { DateTime } from 'luxon'
import { type ChannelName, isNeverMessaged, NEVER_MESSAGED } from '../domain/channels.ts'
import { nextExchangeStep } from '../domain/exchange.ts'
import type { ExchangeStep } from '../domain/exchange-step.ts'
import { awaitedUntil, isInFlight, isUnsettled } from '../domain/in-progress.ts'
import type { Authorisation, ConsentView, Notification } from '../domain/model.ts'
import { explainNextAction, gatherFacts, type Facts, type NextAction } from '../domain/next-action.ts'
import type { Phase } from '../domain/phase.ts'
import type { Policy } from '../domain/policy.ts'
import type { Route } from '../domain/routes.ts'
import { consentJson, isoOf } from './consent-json.ts'

export interface RungState {
  readonly rung: string
  /** Of a message in the ledger; a rung has one for each channel that the user could be reached by. */
  readonly channel: ChannelName | undefined
  /** When the rung is due; undefined for messages that are not part of the ladder (by hand, asked again). */
  readonly at: DateTime | undefined
  /**
   * A status of the ledger, or: owed now, held (owed, but held back for a reason), passed over, coming, stopped (it
   * will never be sent).
   */
  readonly state: Notification['status'] | 'owed' | 'held' | 'passed-over' | 'coming' | 'stopped'
  readonly detail: string | undefined
}

/** An attempt whose code has come and whose outcome is not known yet. */
export interface AttemptState {
  readonly id: string
  readonly status: Authorisation['status']
  /** When a job looks at it next; it may be now. */
  readonly at: DateTime | undefined
  /** What came of the last try or question, as an error code. */
  readonly code: string | undefined
  /** Until when its outcome, or its new date, is awaited at most; undefined while its code is being used. */
  readonly awaitedUntil: DateTime | undefined
  readonly step: ExchangeStep
}

export interface Explanation {
  readonly phase: Phase
  readonly windowOpensAt: DateTime
  readonly expiresAt: DateTime
  readonly graceEndsAt: DateTime
  /** Which keys of the policy apply to the bank. */
  readonly rule: string
  /** The routes by which a link would be made now, by the job and by the start page's button alike. */
  readonly routes: readonly Route[]
  readonly trail: readonly { readonly rule: string; readonly decided: boolean; readonly detail: string }[]
  readonly next: NextAction
  readonly rungs: readonly RungState[]
  readonly attempts: readonly AttemptState[]
  /** In words: which messages were due and are not sent, and why. */
  readonly suppressed: readonly string[]
}

export const explain = (view: ConsentView, now: DateTime, policy: Policy): Explanation => {
  const facts = gatherFacts(view, now, policy)
  const { next, trail } = explainNextAction(facts)
  const rungs = [...ladderStates(facts, next), ...otherMessages(facts)]
  return {
    phase: facts.phase,
    windowOpensAt: facts.windowOpensAt,
    expiresAt: view.consent.expiresAt,
    graceEndsAt: facts.graceEndsAt,
    rule: facts.rule.source,
    routes: facts.routes,
    trail,
    next,
    rungs,
    attempts: attemptStates(view, now, policy),
    suppressed: rungs.filter(isSuppressed).map(suppressedWords),
  }
}

const attemptStates = (
  { consent, renewal, authorisations }: ConsentView,
  now: DateTime,
  policy: Policy,
): AttemptState[] => {
  if (renewal === undefined) return []
  const open = authorisations.filter((attempt) => isInFlight(attempt) || isUnsettled(attempt))
  return open.map((attempt) => {
    const { id, status, nextActionAt: at, errorCode: code } = attempt
    const others = open.filter((other) => other.id !== id && other.status !== 'code_received')
    const then = at !== undefined && at > now ? at : now
    const step = nextExchangeStep({ attempt, consent, renewal, others }, { now: then, policy, manual: false })
    const shown = status === 'exchanging' ? ifNoWorkerIsAtIt(step) : step
    return { id, status, at, code, awaitedUntil: awaitedUntil(attempt), step: shown }
  })
}

/** The job decides under its claim, so that nobody is sending any more. Here a worker may be sending right now. */
const ifNoWorkerIsAtIt = (step: ExchangeStep): ExchangeStep => ({
  ...step,
  reason: `if no worker is at it: ${step.reason}`,
})

const isSuppressed = ({ state }: RungState): boolean =>
  ['held', 'passed-over', 'cancelled', 'failed', 'uncertain'].includes(state)

const suppressedWords = ({ rung, channel, state, detail }: RungState): string =>
  `${rung} ${channel === undefined ? '' : `by ${channel} `}${words[state]}${detail === undefined ? '' : `: ${detail}`}`

const words: Record<RungState['state'], string> = {
  pending: 'is pending',
  sending: 'is being sent',
  sent: 'was sent',
  uncertain: 'is uncertain',
  failed: 'failed',
  cancelled: 'was cancelled',
  owed: 'is owed',
  held: 'is held back',
  'passed-over': 'was passed over',
  coming: 'is coming',
  stopped: 'will not be sent',
}

const ladderStates = (facts: Facts, next: NextAction): RungState[] =>
  facts.rungs.flatMap(({ name, at }) => {
    const rows = facts.view.notifications.filter((message) => message.rung === name)
    return rows.length > 0
      ? rows.map((row) => ({ rung: name, at, ...ledgerState(row, facts.now) }))
      : { rung: name, at, channel: undefined, ...stateOf(facts, next, name, at) }
  })

const stateOf = (facts: Facts, next: NextAction, name: string, at: DateTime): Pick<RungState, 'state' | 'detail'> => {
  const { view, now, rungs } = facts
  if (isNeverMessaged(view.consent) && !isOver(facts)) return { state: 'stopped', detail: NEVER_MESSAGED }
  if (at > now)
    return isOver(facts)
      ? { state: 'stopped', detail: `the consent is ${view.consent.status}` }
      : { state: 'coming', detail: undefined }
  if (next.action === 'renew' && next.message?.rung === name) return { state: 'owed', detail: undefined }
  const stands = view.notifications.find((message) => message.status !== 'cancelled' && message.createdAt >= at)
  if (stands !== undefined) return { state: 'passed-over', detail: `message ${stands.rung} took its place` }
  const later = rungs.findLast((rung) => rung.at <= now)
  if (later !== undefined && later.name !== name)
    return { state: 'passed-over', detail: `rung ${later.name} was due by then: only one message is sent` }
  if (next.action === 'renew' && next.message !== undefined)
    return { state: 'passed-over', detail: `message ${next.message.rung} goes in its place` }
  return next.action === 'none' || next.action === 'lapse' || next.action === 'close-unsupported'
    ? { state: 'stopped', detail: next.reason }
    : { state: 'held', detail: next.reason }
}

const ledgerState = (row: Notification, now: DateTime): Omit<RungState, 'rung' | 'at'> => {
  const again =
    row.repeatedAt === undefined ? '' : `, and once more at ${isoOf(row.repeatedAt)}: its worker had died over it`
  const details: Record<Notification['status'], string | undefined> = {
    pending:
      row.errorCode === undefined
        ? `to be sent at ${isoOf(row.nextActionAt) ?? 'once'}`
        : `put off (${row.errorCode}), tried again at ${isoOf(row.nextActionAt) ?? 'once'}`,
    sending:
      row.nextActionAt !== undefined && row.nextActionAt > now
        ? `its worker died over it: looked at again at ${isoOf(row.nextActionAt)}, to be sent once more`
        : `handed to the channel right now, or its worker died over it${again}`,
    sent: `at ${isoOf(row.sentAt) ?? '?'}${again}`,
    uncertain: `it may or may not have been delivered${again}; not sent again`,
    failed: row.errorCode ?? 'the channel did not take it',
    cancelled: 'nothing was left to ask, or a newer message took its place',
  }
  return { channel: row.channel, state: row.status, detail: details[row.status] }
}

const isOver = ({ view }: Facts): boolean => view.consent.status !== 'active'

const otherMessages = ({ view, now, rungs }: Facts): RungState[] =>
  view.notifications
    .filter((row) => !rungs.some(({ name }) => name === row.rung))
    .map((row) => ({ rung: row.rung, at: undefined, ...ledgerState(row, now) }))

export const explanationJson = (explanation: Explanation) => {
  const { next } = explanation
  return {
    phase: explanation.phase,
    window_opens_at: isoOf(explanation.windowOpensAt),
    expires_at: isoOf(explanation.expiresAt),
    grace_ends_at: isoOf(explanation.graceEndsAt),
    rule: explanation.rule,
    routes: explanation.routes,
    trail: explanation.trail,
    next: nextActionJson(next),
    rungs: explanation.rungs.map(({ rung, channel, at, state, detail }) => ({
      rung,
      channel: channel ?? null,
      at: isoOf(at),
      state,
      detail: detail ?? null,
    })),
    attempts: explanation.attempts.map(({ id, status, at, code, awaitedUntil: until, step }) => ({
      id,
      status,
      at: isoOf(at) ?? null,
      code: code ?? null,
      awaited_until: isoOf(until),
      step: step.do,
      reason: step.reason,
    })),
    suppressed: explanation.suppressed,
  }
}

/** What `explain --json` and `GET /v1/consents/<id>/explain` return. */
export const explainedJson = (view: ConsentView, now: DateTime, policy: Policy) => ({
  consent: consentJson(view.consent, now, policy),
  ...explanationJson(explain(view, now, policy)),
})

export const nextActionJson = (next: NextAction) => ({
  action: next.action,
  reason: next.reason,
  at: next.action === 'wait' ? isoOf(next.at) : null,
  routes: next.action === 'renew' ? next.routes : [],
  makes_link: next.action === 'renew' && next.makeLink,
  message: next.action === 'renew' ? (next.message?.rung ?? null) : null,
})

/** What a job would do now, in a few words. */
export const nextActionWords = (next: NextAction): string => {
  switch (next.action) {
    case 'none':
      return 'nothing'
    case 'wait':
      return `wait until ${isoOf(next.at) ?? ''}`
    case 'renew':
      return [
        next.makeLink && `make a link (${next.routes.join(', then ')})`,
        next.message && `send message ${next.message.rung}`,
      ]
        .filter(Boolean)
        .join(', ')
    case 'lapse':
      return 'close as lapsed'
    case 'close-unsupported':
      return 'close as unsupported'
  }
}
