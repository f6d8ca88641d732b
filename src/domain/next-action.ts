// What is next for a consent, and why: named rules are evaluated in order over gathered facts, and the first rule that
// decides ends the evaluation. Pure: `now` is a parameter. The reasons are shown by `explain`, on the board and in the
// records.
import { DateTime, Duration } from 'luxon'
import { isNeverMessaged, NEVER_MESSAGED, reachableBy } from './channels.ts'
import { backFromBankBy, inDoubtUntil, findInFlight, hasUnsettled, isInDoubt } from './in-progress.ts'
import { firstRungOf, type LadderInput, latestDueRung, nextRungAfter, type Rung, rungsOf } from './ladder.ts'
import { usableZone } from './locale.ts'
import type { ConsentView, Situation } from './model.ts'
import { phaseOf, type Phase } from './phase.ts'
import type { Policy } from './policy.ts'
import { channelProblem } from './reach.ts'
import { openRoutes } from './open-routes.ts'
import { type Route, traitsOf } from './routes.ts'
import type { ResolvedRule } from './rules.ts'
import { isWaitingForToken, WAITING_FOR_A_TOKEN } from './token-rejection.ts'

/**
 * An exchange in progress schedules its consent itself when it settles; this delay is for the case that it does not.
 */
const EXCHANGE_HOLDS = Duration.fromObject({ minutes: 10 })
/** A link proves that the consent can still be renewed; the proof is repeated this often with a new link. */
const LINK_PROOF_LASTS = Duration.fromObject({ days: 7 })
/** After a message past grace the consent stays open for this long, and then lapses. */
const ANSWER_PAST_GRACE = Duration.fromObject({ days: 30 })
/** After the last message to a user whose code was still out when grace ended, the consent stays open for this long. */
const ANSWER_AFTER_LATE_CODE = Duration.fromObject({ days: 7 })
/** The rung of policy `afterGrace: 'ask-once'`. */
const AFTER_GRACE = 'after-grace'

export interface OwedMessage {
  readonly rung: string
  readonly situation: Situation
}

export type NextAction =
  /** Nothing is ever due, unless the consent is changed from outside. */
  | { readonly action: 'none'; readonly reason: string }
  | { readonly action: 'wait'; readonly at: DateTime; readonly reason: string }
  /** Make a link (the proof that a renewal is possible) and, when a message is owed, that message by every channel. */
  | {
      readonly action: 'renew'
      readonly reason: string
      readonly routes: readonly Route[]
      readonly makeLink: boolean
      readonly message: OwedMessage | undefined
    }
  | { readonly action: 'lapse'; readonly reason: string }
  | { readonly action: 'close-unsupported'; readonly reason: string }

/** Facts that are gathered once and shared by all rules. */
export interface Facts {
  readonly view: ConsentView
  readonly now: DateTime
  readonly policy: Policy
  readonly rule: ResolvedRule
  /** See open-routes.ts. */
  readonly routes: readonly Route[]
  readonly rungs: readonly Rung[]
  readonly graceEndsAt: DateTime
  readonly windowOpensAt: DateTime
  readonly phase: Phase
  /** This run was requested by hand: a back-off does not delay it. */
  readonly manual: boolean
}

type Verdict = { readonly decides: NextAction } | { readonly passes: string }
const decides = (action: NextAction): Verdict => ({ decides: action })
const passes = (why: string): Verdict => ({ passes: why })
const waitUntil = (at: DateTime, reason: string): Verdict => decides({ action: 'wait', at, reason })

export const gatherFacts = (view: ConsentView, now: DateTime, policy: Policy, manual = false): Facts => {
  const { consent } = view
  const { routes, rule, graceEndsAt } = openRoutes(consent, view.renewal, now, policy)
  const ladder: LadderInput = {
    consentId: consent.id,
    expiresAt: consent.expiresAt,
    graceEndsAt,
    timeZone: usableZone(consent.timeZone),
    ladder: policy.ladder,
    quietHours: policy.quietHours,
    spread: policy.spread,
  }
  // The window opens at the expiry at the latest: the cycle needs its link then, whatever the ladder says.
  const windowOpensAt = DateTime.min(firstRungOf(ladder)?.at ?? consent.expiresAt, consent.expiresAt)
  const phase = phaseOf({ expiresAt: consent.expiresAt, graceEndsAt, windowOpensAt }, now)
  let rungs: readonly Rung[] | undefined
  return {
    view,
    now,
    policy,
    rule,
    routes,
    // Most consents are healthy, and then no rule asks for the rungs.
    get rungs() {
      return (rungs ??= rungsOf(ladder))
    },
    graceEndsAt,
    windowOpensAt,
    phase,
    manual,
  }
}

const statusRule = ({ view: { consent } }: Facts): Verdict =>
  consent.status === 'active'
    ? passes('the consent is active')
    : decides({ action: 'none', reason: `the consent is ${consent.status}` })

const exchangeRule = ({ view, now }: Facts): Verdict => {
  const inFlight = findInFlight(view.authorisations)
  if (inFlight !== undefined)
    return waitUntil(now.plus(EXCHANGE_HOLDS), `an authorisation is ${inFlight.status}: its outcome comes first`)
  const holdsUntil = inDoubtUntil(view.authorisations)
  if (holdsUntil !== undefined && holdsUntil > now) return waitUntil(holdsUntil, whyUnsettled(view))
  return passes('no exchange is in progress')
}

/** What messages and lapsing wait for, while the outcome of a code is not known. */
export const whyUnsettled = ({ authorisations }: Pick<ConsentView, 'authorisations'>): string =>
  authorisations.some(isInDoubt)
    ? 'the outcome of an exchange is in doubt: it is settled before anything is sent'
    : 'the new date of a renewal may come up to a day late: it is awaited before anything is sent'

const atTheBankRule = ({ view, now }: Facts): Verdict => {
  const backBy = backFromBankBy(view.authorisations)
  return backBy !== undefined && backBy > now
    ? waitUntil(backBy, 'the user went to the bank less than 30 minutes ago')
    : passes('no user is at the bank')
}

const graceRule = (facts: Facts): Verdict => {
  const { view, now, policy, routes, graceEndsAt, phase } = facts
  if (phase !== 'lapsed') return passes(`the grace window is open until ${graceEndsAt.toISO()}`)
  const lapse: NextAction = { action: 'lapse', reason: `the grace window ended at ${graceEndsAt.toISO()}` }
  // Past grace, only some routes can still be open.
  const canAsk = routes.length > 0 && reachableBy(view.consent, policy.channels).length > 0
  const requested = manualMessage(view)
  if (requested !== undefined && canAsk) {
    return decides({
      action: 'renew',
      reason: `asked for by hand, past grace: by ${titlesOf(routes)}`,
      routes,
      makeLink: true,
      message: requested,
    })
  }
  // A message made before the end of grace does not count as the one message after it.
  const asked = view.notifications.findLast(
    ({ rung, createdAt }) =>
      rung === AFTER_GRACE || ((rung.startsWith('manual-') || rung.startsWith('again-')) && createdAt >= graceEndsAt),
  )
  // The outcome of a code may be known only after the end of grace, a day after the user did their part in time.
  const again = cameInVain(facts) ? againMessage(view) : undefined
  if (asked === undefined && again !== undefined && canAsk) {
    const reason = 'the user came back in vain before grace ended, and was not told: asked once more'
    return decides({ action: 'renew', reason, routes, makeLink: true, message: again })
  }
  if (asked === undefined && policy.afterGrace === 'ask-once' && canAsk) {
    const message: OwedMessage = { rung: AFTER_GRACE, situation: 'reminder' }
    return decides({ action: 'renew', reason: 'past grace, and the policy asks once', routes, makeLink: true, message })
  }
  const isLateCode = asked?.rung.startsWith('again-') === true && policy.afterGrace !== 'ask-once'
  const answerBy = asked?.createdAt.plus(isLateCode ? ANSWER_AFTER_LATE_CODE : ANSWER_PAST_GRACE)
  if (answerBy !== undefined && answerBy > now) return waitUntil(answerBy, 'asked past grace: an answer is awaited')
  return decides(lapse)
}

/** The user came back while grace lasted, with a code that renewed nothing. */
const cameInVain = ({ view, graceEndsAt }: Facts): boolean =>
  view.authorisations.some(
    ({ status, codeReceivedAt: cameAt }) =>
      (status === 'refused' || status === 'mismatched') && cameAt !== undefined && cameAt < graceEndsAt,
  )

const titlesOf = (routes: readonly Route[]): string => routes.map((route) => traitsOf(route).title).join(', then ')

const windowRule = ({ view, now, windowOpensAt, phase }: Facts): Verdict => {
  if (view.renewal?.status === 'open') return passes('the cycle is open')
  if (phase !== 'healthy') return passes(`the renewal window opened at ${windowOpensAt.toISO()}`)
  return windowOpensAt > now
    ? waitUntil(windowOpensAt, 'healthy: the renewal window is not open yet')
    : passes('the renewal window opens now')
}

const routeRule = ({ routes, rule }: Facts): Verdict =>
  routes.length > 0
    ? passes(
        `routes: ${routes.join(', then ')} (${rule.source}` +
          (routes.length < rule.routes.length ? `; this cycle keeps to the ${titlesOf(routes)})` : ')'),
      )
    : decides({
        action: 'close-unsupported',
        reason: `no route of the policy can renew consents of this bank (${rule.source})`,
      })

const channelRule = (facts: Facts): Verdict => {
  const { view, now, policy, rungs, graceEndsAt } = facts
  if (isNeverMessaged(view.consent)) return passes(NEVER_MESSAGED)
  const problem = channelProblem(view, policy.channels)
  const reachable = reachableBy(view.consent, policy.channels)
  if (problem === undefined) return passes(`the user can be reached by ${reachable.join(' and ')}`)
  const reason = `no-channel: ${problem}`
  if (reachable.length === 0) return waitUntil(graceEndsAt, reason)
  return owedMessage(facts) === undefined
    ? waitUntil(nextRungAfter(rungs, now)?.at ?? graceEndsAt, `${reason}; the next message tries it again`)
    : passes(`${reason}; tried again with the message that is owed`)
}

const backOffRule = ({ view: { consent }, now, manual, graceEndsAt }: Facts): Verdict => {
  if (consent.retryAfter === undefined || consent.retryAfter <= now) return passes('the record does not back off')
  if (manual) return passes(`a person overrides the back-off until ${consent.retryAfter.toISO()}`)
  const until = DateTime.min(consent.retryAfter, graceEndsAt)
  if (isWaitingForToken(consent)) return waitUntil(until, WAITING_FOR_A_TOKEN)
  return waitUntil(
    until,
    `backing off after ${consent.lastErrorCode ?? 'a failure'} ` +
      `(${consent.outages > 0 ? `outage ${consent.outages} in a row` : `attempt ${consent.failedAttempts}`})`,
  )
}

const owedRule = (facts: Facts): Verdict => {
  const { routes, phase } = facts
  const message = owedMessage(facts)
  const makeLink = linkDue(facts)
  if (message === undefined && !makeLink) return passes('no message is owed and the last link is recent')
  const reason = [message && `message ${message.rung} is owed`, makeLink && linkReason(facts)]
    .filter(Boolean)
    .join('; ')
  return decides({ action: 'renew', reason: `${phase}: ${reason}`, routes, makeLink, message })
}

const nextDateRule = ({ view, now, rungs, graceEndsAt }: Facts): Verdict => {
  const isSilent = isNeverMessaged(view.consent)
  const rung = isSilent ? undefined : nextRungAfter(rungs, now)
  const lastLink = lastLinkAt(view)
  const { expiresAt } = view.consent
  const proofEnds = lastLink?.plus(LINK_PROOF_LASTS)
  const linkAt = proofEnds !== undefined && expiresAt > now && expiresAt < proofEnds ? expiresAt : proofEnds
  if (rung !== undefined && (linkAt === undefined || rung.at <= linkAt))
    return waitUntil(rung.at, `next message: ${rung.name}`)
  if (linkAt !== undefined && linkAt < graceEndsAt)
    return waitUntil(linkAt, 'next proof that the consent can be renewed')
  return waitUntil(
    graceEndsAt,
    `${isSilent ? NEVER_MESSAGED : 'the last message was sent'}: lapses at the end of grace`,
  )
}

/** In the order in which they are evaluated. */
const rules: readonly { readonly name: string; readonly evaluate: (facts: Facts) => Verdict }[] = [
  { name: 'status', evaluate: statusRule },
  { name: 'exchange in progress', evaluate: exchangeRule },
  { name: 'user at the bank', evaluate: atTheBankRule },
  { name: 'grace window', evaluate: graceRule },
  { name: 'renewal window', evaluate: windowRule },
  { name: 'routes of the bank', evaluate: routeRule },
  { name: 'channel', evaluate: channelRule },
  { name: 'back-off', evaluate: backOffRule },
  { name: 'owed', evaluate: owedRule },
  { name: 'next date', evaluate: nextDateRule },
]

export interface Answer {
  readonly next: NextAction
  /** Every rule that was evaluated, in order; the last one decided. */
  readonly trail: readonly { readonly rule: string; readonly decided: boolean; readonly detail: string }[]
}

/** What is next, and every rule that was evaluated on the way. */
export const explainNextAction = (facts: Facts): Answer => {
  const trail: { rule: string; decided: boolean; detail: string }[] = []
  for (const { name, evaluate } of rules) {
    const verdict = evaluate(facts)
    if ('decides' in verdict)
      return { next: verdict.decides, trail: [...trail, { rule: name, decided: true, detail: verdict.decides.reason }] }
    trail.push({ rule: name, decided: false, detail: verdict.passes })
  }
  throw new Error('no rule decided: the last one must')
}

/** What is due for this consent at `now`, or when something will be due. */
export const nextAction = (
  view: ConsentView,
  now: DateTime,
  policy: Policy,
  options: { manual?: boolean } = {},
): NextAction => explainNextAction(gatherFacts(view, now, policy, options.manual)).next

/**
 * The message owed now, if any: first a message requested by hand, then a message to a user who did their part in vain,
 * then the latest rung of the ladder.
 */
export const owedMessage = ({ view, now, rungs }: Facts): OwedMessage | undefined => {
  if (isNeverMessaged(view.consent)) return undefined
  const again = againMessage(view)
  const byHand = manualMessage(view)
  // One message serves both purposes: it counts as requested by hand, and its wording says what happened.
  if (byHand !== undefined) return { ...byHand, situation: again?.situation ?? byHand.situation }
  if (again !== undefined) return again
  const rung = latestDueRung(rungs, now)
  if (rung === undefined || inLedger(view, rung.name)) return undefined
  // A message made after this rung's instant replaces the rung: one catch-up message, never two.
  if (messageSince(view, rung.at)) return undefined
  return { rung: rung.name, situation: hasUnsettled(view.authorisations) ? 'uncertain' : 'reminder' }
}

/** The message to a user who came back with a code in vain, unless a message was made since then. */
export const againMessage = (view: ConsentView): OwedMessage | undefined => {
  const { renewal } = view
  if (renewal === undefined || renewal.againNo === 0 || inLedger(view, `again-${renewal.againNo}`)) return undefined
  const failures = view.authorisations
    .filter(
      (attempt) =>
        (attempt.status === 'refused' || attempt.status === 'mismatched') && attempt.codeReceivedAt !== undefined,
    )
    .flatMap(({ closedAt }) => closedAt ?? [])
  const lastFailure = failures.length === 0 ? undefined : DateTime.max(...failures)
  if (lastFailure !== undefined && messageSince(view, lastFailure)) return undefined
  return { rung: `again-${renewal.againNo}`, situation: renewal.againReason ?? 'asked-again' }
}

const messageSince = (view: ConsentView, instant: DateTime): boolean =>
  view.notifications.some((message) => message.status !== 'cancelled' && message.createdAt >= instant)

const manualMessage = (view: ConsentView): OwedMessage | undefined => {
  const rung = `manual-${view.renewal?.manualNo ?? 0}`
  return (view.renewal?.manualNo ?? 0) > 0 && !inLedger(view, rung) ? { rung, situation: 'reminder' } : undefined
}

const inLedger = (view: ConsentView, rung: string): boolean =>
  view.notifications.some((message) => message.rung === rung)

const lastLinkAt = (view: ConsentView): DateTime | undefined => view.authorisations.at(-1)?.issuedAt

const linkDue = ({ view, now }: Facts): boolean => {
  const last = lastLinkAt(view)
  if (last === undefined) return true
  return (last < view.consent.expiresAt && now >= view.consent.expiresAt) || last.plus(LINK_PROOF_LASTS) <= now
}

const linkReason = ({ view, now }: Facts): string => {
  const last = lastLinkAt(view)
  if (last === undefined) return 'the cycle needs its first link'
  return now >= view.consent.expiresAt && last < view.consent.expiresAt
    ? 'expired since the last link'
    : 'the last link is older than seven days'
}
