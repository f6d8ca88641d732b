// The exchange of a code, decided step by step: what is stored about an attempt, what the provider has just answered
// and the time together give one command with its reason. Pure: the job carries the command out and asks for the next
// one, and `explain` shows the same reason.
import { DateTime, Duration } from 'luxon'
import {
  DATE_SHOWN_WITHIN,
  mayCodeStillAct,
  mayConcludeNotRenewed,
  nextDatePollAt,
  nextSettleAt,
  nextVerifyAt,
} from './backoff.ts'
import {
  awaitedUntil,
  blocksExchange,
  codeCameAt,
  isAwaitingDate,
  isUnsettled,
  laterCodesOut,
  laterDatesOut,
  POLL_REPEATED_FOR,
  wasRefused,
} from './in-progress.ts'
import { acceptsCode, isTerminal } from './lifecycle.ts'
import {
  type AttemptFacts,
  close,
  cycleOver,
  doubt,
  type ExchangeCode,
  type ExchangeHeard,
  type ExchangeStep,
  type Heard,
  mismatched,
  notRenewed,
  pollAgain,
  refresh,
  superseded,
  tokenChanged,
  type Tried,
  wait,
} from './exchange-step.ts'
import type { Authorisation, AuthorisationStatus, Consent } from './model.ts'
import { nextPollAfterOutage } from './outage.ts'
import type { Policy } from './policy.ts'
import { EXPIRY_SETTLED } from './proof.ts'
import { judgeReading, type Judgement, type TokenSource } from './reading.ts'
import { keepsConnection } from './routes.ts'
import { tokenOrder } from './token-order.ts'

/** TrueLayer's documentation: a code is valid for five minutes. Ten seconds are left for the call itself. */
export const CODE_TTL = Duration.fromObject({ minutes: 4, seconds: 50 })
/** How soon a code that certainly was not processed is sent again; doubled each time. */
const REQUEUE_DELAY_SECONDS = 2
const MAX_REQUEUE_DELAY_SECONDS = 30
/** How long after the next poll for a later code its outcome is looked at. */
const LATER_CODE_DELAY = Duration.fromObject({ minutes: 1 })

/** What is stored, what was just answered, and the time: all that a step is decided from. */
interface ExchangeFacts extends AttemptFacts {
  readonly heard: Heard | undefined
  readonly now: DateTime
  readonly policy: Policy
}

/** `manual`: a retry by an operator runs before the attempt's date; it never sends a code again. */
export const nextExchangeStep = (
  stored: AttemptFacts,
  options: { heard?: Heard | undefined; now: DateTime; policy: Policy; manual: boolean },
): ExchangeStep => {
  const { status, nextActionAt } = stored.attempt
  const { heard, now, policy, manual } = options
  if (heard === undefined && !manual && nextActionAt !== undefined && nextActionAt > now)
    return { do: 'not-due', until: nextActionAt, reason: `${status}: not due yet` }
  const facts = { ...stored, heard, now, policy }
  // Tokens just received are stored, whatever the attempt has become meanwhile.
  if (heard?.from === 'exchange') return afterSending(facts, heard.answer)
  return afterWriting(facts) ?? decisions[status](facts)
}

const closed = ({ attempt }: ExchangeFacts): ExchangeStep => ({
  do: 'nothing',
  reason: `the authorisation is ${attempt.status}`,
})

const beforeSending = ({ attempt, consent, renewal, others, now }: ExchangeFacts): ExchangeStep => {
  if (now >= codeExpiresAt(attempt))
    return close('refused', 'code-too-old', 'the code could not be sent while it was valid: the user is asked again')
  if (!acceptsCode(consent, renewal)) return superseded('the cycle is closed: the code stays unsent')
  if (others.some((other) => blocksExchange(other, now)))
    return wait(now.plus({ seconds: REQUEUE_DELAY_SECONDS }), 'another code of this consent is being exchanged')
  return { do: 'exchange', reason: 'a code came' }
}

/** The worker that was sending crashed, hangs or failed: the code may have been used, and only polling can tell. */
const interrupted = (): ExchangeStep =>
  doubt('exchange-interrupted', 'the process stopped while the code was being sent')

const afterSending = ({ attempt, consent, now }: ExchangeFacts, answer: ExchangeHeard): ExchangeStep => {
  switch (answer.kind) {
    case 'tokens': {
      const { credentialsId, isStoredToken } = answer
      if (credentialsId === consent.credentialsId || (credentialsId === undefined && isStoredToken))
        return { do: 'store-tokens', owner: 'ours', reason: 'tokens of this connection came' }
      // The user approved with another person's login: these tokens open another person's bank data, and are dropped.
      if (credentialsId !== undefined && keepsConnection(attempt.route)) return mismatched()
      return { do: 'store-tokens', owner: 'pending', reason: 'tokens came, and whose they are is not known yet' }
    }
    case 'not-processed':
    case 'circuit-open': {
      const reason = `${answer.code}: the code was not processed and is sent again`
      return { do: 'requeue', until: requeueAt(now, attempt, answer), code: answer.code, reason }
    }
    case 'refused':
      return close('refused', answer.code, `${answer.code}: the user is asked again`)
    case 'in-doubt':
      return doubt('exchange-in-doubt', 'the code was sent and no answer came')
  }
}

/** The exchange was clean: `/me` must show the same connection, the same bank and a new expiry. */
const proving = (facts: ExchangeFacts): ExchangeStep => {
  const { attempt, consent, renewal, heard, policy } = facts
  if (isTerminal(consent)) return superseded(`the consent is ${consent.status}: the provider is not asked any more`)
  if (heard?.from !== 'me') return { do: 'read-me', by: 'exchange', reason: 'a clean exchange is proven by /me' }
  if (!attempt.hasPendingToken && !acceptsCode(consent, renewal)) return cycleOver()
  const { at, answer } = heard
  switch (answer.kind) {
    case 'me': {
      const isLastPoll = mayConcludeNotRenewed(codeCameAt(attempt), at)
      const reading = { me: answer.me, by: heard.by, refreshedAt: undefined, isLastPoll }
      const judgement = judgeReading(facts, reading, policy)
      if (judgement.kind === 'proven') return renewed(facts, judgement, heard)
      if (judgement.kind === 'mismatched') return mismatched()
      // Tokens without a named owner are not taken for ours: what `/me` shows by the stored token decides.
      if (judgement.kind === 'owner-unknown') return doubt('not-proven', 'nothing names the owner of these tokens')
      return pollAfterExchange(facts, at, 'not-proven')
    }
    case 'token-rejected':
      return doubt('not-proven', 'somebody refreshed since: only a refresh of ours can ask now')
    case 'denied':
      return pollAfterExchange(facts, at, 'not-proven')
    case 'unavailable':
      return pollAfterExchange(facts, at, answer.code)
  }
}

/**
 * Polls at once, after 10 s, 1 min and 10 min. After that, a provider without an answer leaves the attempt in doubt; a
 * date that has not moved may still come. While a token is pending, that too leaves the attempt in doubt: the token may
 * be the only valid one, and settling stores it first.
 */
const pollAfterExchange = (facts: ExchangeFacts, at: DateTime, code: ExchangeCode): ExchangeStep => {
  const { attempt } = facts
  const until = nextVerifyAt(attempt.answeredAt ?? attempt.issuedAt, at)
  if (until !== undefined) return pollAgain(until, code, `${code}: asked again then`)
  if (code !== 'not-proven') return doubt(code, 'the provider could not be asked for ten minutes')
  if (attempt.hasPendingToken && keepsConnection(attempt.route))
    return doubt(code, 'the pending token may be the only valid one: it is not lost with its attempt')
  if (!canBePolled(attempt)) return notRenewed('not-renewed')
  return notRenewedOrAwait(facts, at, 'not-renewed')
}

/** Whether a token is left that reads the connection of this attempt's code: its own, or that of the old connection. */
const canBePolled = ({ route, hasPendingToken, tokenOwner }: Authorisation): boolean =>
  keepsConnection(route) || hasPendingToken || tokenOwner === 'ours'

/**
 * The attempt is in doubt, or its date may still come: it is settled by polling, never by repeating the exchange. One
 * refresh, then `/me`.
 */
const settling = (facts: ExchangeFacts): ExchangeStep => {
  const { attempt, consent, renewal, others, heard, now } = facts
  if (isTerminal(consent)) return superseded(`the consent is ${consent.status}: the provider is not asked any more`)
  const later = laterCodesOut(attempt, others, now)
  if (later.length > 0) return waitForLaterCode(attempt, later, now)
  if (heard?.from === 'refresh' && !isOutdatedRefusal(facts, heard)) return afterRefresh(facts, heard)
  if (!attempt.hasPendingToken && !acceptsCode(consent, renewal)) return cycleOver()
  if (heard?.from === 'me') return afterReading(facts, heard)
  // A token that came with this very exchange may have replaced the stored one. It is used first, even where the cycle
  // is over, because it may be the only valid token.
  if (attempt.hasPendingToken) return refresh('pending', 'the pending token may be the only valid one')
  // A lost answer may have made a connection that only the provider knows: we have no token to poll it with.
  if (!canBePolled(attempt)) return notRenewed('exchange-in-doubt')
  return refresh(untriedToken(consent, []) ?? 'stored', whyRefresh(attempt))
}

const whyRefresh = (attempt: Authorisation): string =>
  isAwaitingDate(attempt)
    ? `a refresh and /me look for the new date, which may come until ${awaitedUntil(attempt)?.toISO()}`
    : 'a refresh and /me tell what became of the code'

/** Of the consent's own tokens, the first one that this poll has not tried in its present version. */
const untriedToken = (consent: Consent, tried: readonly Tried[]): 'stored' | 'candidate' | undefined =>
  tokenOrder(consent)
    .map((place) =>
      place === 'current'
        ? ({ by: 'stored', version: consent.tokenVersion } as const)
        : ({ by: 'candidate', version: consent.candidate?.version } as const),
    )
    .find(({ by, version }) => !tried.some((one) => one.by === by && one.version === version))?.by

const afterRefresh = (
  facts: ExchangeFacts,
  { by, at, answer, tried }: Extract<Heard, { from: 'refresh' }>,
): ExchangeStep => {
  const { attempt, consent, others } = facts
  switch (answer.kind) {
    case 'tokens':
      // A candidate that was accepted is the stored token by now.
      return {
        do: 'read-me',
        by: by === 'pending' ? by : 'stored',
        reason: 'the refresh worked: /me shows the dates',
      }
    case 'refused': {
      const next = untriedToken(consent, tried)
      // The pending token is invalid. The company may have imported a later token, which is then the stored one.
      if (by === 'pending' && keepsConnection(attempt.route))
        return refresh(next ?? 'stored', 'the pending token is invalid: the stored one may be valid')
      if (by !== 'pending' && next !== undefined)
        return refresh(next, 'one of two tokens is refused: the other one may be valid')
      if (by !== 'pending' && mayBeHeldElsewhere(facts)) {
        if (others.some(isUnsettled)) return pollOnceMore(facts, at, 'token-invalid')
        if (mayConcludeNotRenewed(codeCameAt(attempt), at))
          return pollSoon(facts, 'token-invalid', 'a worker may hold the valid token')
      }
      // Until the day is over, a provider that is late may refuse a token that it will accept, and an import may bring
      // the one that it accepts.
      return notRenewedOrAwait(facts, at, 'token-invalid')
    }
    case 'unavailable': {
      // A token that is none at all may be answered with `invalid_client` (measured): the other one is tried, or it
      // would never be.
      const next = answer.code === 'client-rejected' && by !== 'pending' ? untriedToken(consent, tried) : undefined
      if (next !== undefined) return refresh(next, 'the provider names our client: the other token tells whether it is')
      return pollAfterOutage(facts, answer.code)
    }
    case 'in-doubt':
      return pollOnceMore(facts, at, answer.code)
  }
}

/**
 * Whether somebody else may hold the only valid token although the stored one was refused: another attempt has one
 * pending, or a refresh (also one for this attempt, by a worker whose lease ran out) has just brought one that is not
 * stored yet. That is ruled out when the last poll of every attempt in doubt was refused.
 */
const mayBeHeldElsewhere = ({ attempt, others }: ExchangeFacts): boolean =>
  ![attempt, ...others.filter(isUnsettled)].every(wasRefused)

/** The stored token was replaced after this refresh was sent: the refusal says nothing of the one stored now. */
const isOutdatedRefusal = (
  { consent }: ExchangeFacts,
  { by, version, answer }: Extract<Heard, { from: 'refresh' }>,
): boolean => answer.kind === 'refused' && by === 'stored' && version !== consent.tokenVersion

const afterReading = (facts: ExchangeFacts, heard: Extract<Heard, { from: 'me' }>): ExchangeStep => {
  const { attempt, consent, policy } = facts
  const { by, at, answer } = heard
  if (answer.kind === 'unavailable') return pollAfterOutage(facts, answer.code)
  if (answer.kind === 'token-rejected') return pollOnceMore(facts, at, 'not-proven')
  if (answer.kind === 'denied') {
    // The refresh by the pending token worked: a valid token of ours must not be lost with its attempt.
    return isPending(attempt, by) && attempt.newCredentialsId === consent.credentialsId
      ? { do: 'adopt', reason: 'the pending token is valid and ours' }
      : notRenewedOrAwait(facts, at, 'not-renewed')
  }
  const isLastPoll = mayConcludeNotRenewed(codeCameAt(attempt), at)
  const judgement = judgeReading(facts, { me: answer.me, by, refreshedAt: at, isLastPoll }, policy)
  if (judgement.kind === 'proven') return renewed(facts, judgement, heard)
  if (judgement.kind === 'mismatched') return mismatched()
  const keeps = keepsConnection(attempt.route)
  // Tokens without a named owner are not taken for ours: what `/me` shows by the stored token decides.
  if (judgement.kind === 'owner-unknown' && keeps)
    return refresh(
      untriedToken(consent, []) ?? 'stored',
      'nothing names the owner of the pending token: the stored one decides',
    )
  if (judgement.kind === 'unproven' && judgement.reason === 'date-not-moved') {
    // A pending token that is valid and ours must not be lost with its attempt.
    return isPending(attempt, by) && keeps
      ? { do: 'adopt', reason: 'the pending token is valid and ours' }
      : notRenewedOrAwait(facts, at, 'not-renewed')
  }
  // The old expiry proves nothing about a new connection. If `/me` does not name the new connection's owner or bank
  // within a day, it never will.
  if (!keeps) return notRenewedOrAwait(facts, at, 'not-proven')
  // `/me` shows no dates: before the old expiry nothing can be concluded; an hour after it, a working refresh decides.
  const decidesAt = consent.expiresAt.plus(EXPIRY_SETTLED)
  return pollInDoubt(facts, at, 'not-proven', decidesAt > at ? decidesAt : undefined)
}

const renewed = (
  { attempt, others, now }: ExchangeFacts,
  { proof, owner }: Extract<Judgement, { kind: 'proven' }>,
  { by, at }: Extract<Heard, { from: 'me' }>,
): ExchangeStep => {
  // `/me` was polled with the pending tokens themselves: they are now known to be ours.
  if (owner === 'ours' && isPending(attempt, by)) return { do: 'adopt', reason: 'the pending token is ours' }
  // A new connection without a refresh token could never be renewed or kept, so the old connection is all we have.
  if (owner !== 'ours' && !attempt.hasPendingToken)
    return close('refused', 'not-renewed', 'the new connection came without a refresh token: the user is asked again')
  const later = laterDatesOut(attempt, others, now)
  if (later.length > 0) return waitForLaterCode(attempt, later, now)
  return { do: 'commit-renewed', proof, owner, requestedAt: at, reason: `proven: ${proof.basis}` }
}

const isPending = (attempt: Authorisation, by: TokenSource): boolean =>
  attempt.tokenOwner === 'pending' && by !== 'stored'

/**
 * An attempt is found not renewed only 25 hours or more after its code came: until then, the renewal's date may come
 * late. `code` is the conclusion's; an attempt that still waits is only not proven yet.
 */
const notRenewedOrAwait = (facts: ExchangeFacts, at: DateTime, code: ExchangeCode): ExchangeStep => {
  const { attempt } = facts
  const cameAt = codeCameAt(attempt)
  if (mayConcludeNotRenewed(cameAt, at)) return notRenewed(code)
  if (mayCodeStillAct(cameAt, at)) return pollInDoubt(facts, at, code)
  const soFar = code === 'token-invalid' ? code : 'not-proven'
  const until = nextDatePollAt(cameAt, at)
  const reason = `${soFar}: the new date may come until ${cameAt.plus(DATE_SHOWN_WITHIN).toISO()}, polled again then`
  return isAwaitingDate(attempt) ? pollAgain(until, soFar, reason) : { do: 'await-date', until, code: soFar, reason }
}

const plannedAfter = ({ attempt }: ExchangeFacts, at: DateTime): DateTime =>
  isAwaitingDate(attempt)
    ? nextDatePollAt(codeCameAt(attempt), at)
    : nextSettleAt({ codeReceivedAt: codeCameAt(attempt), pollCount: attempt.pollCount + 1, now: at })

const pollInDoubt = (facts: ExchangeFacts, at: DateTime, code: ExchangeCode, notBefore = at): ExchangeStep => {
  const planned = plannedAfter(facts, at)
  const until = planned > notBefore ? planned : notBefore
  return pollAgain(until, code, `${code}: the outcome is still in doubt, polled again then`)
}

/** Nothing was learnt: the poll is repeated once the outage may be over, not at the next planned time in hours. */
const pollAfterOutage = (facts: ExchangeFacts, code: ExchangeCode): ExchangeStep =>
  pollSoon(facts, code, 'the provider is unavailable')

const pollSoon = (facts: ExchangeFacts, code: ExchangeCode, why: string): ExchangeStep => {
  const { attempt, now } = facts
  const planned = plannedAfter(facts, now)
  const until = nextPollAfterOutage({ since: codeCameAt(attempt), now, planned, key: attempt.id })
  return pollAgain(until, code, `${code}: ${why}, asked again then`)
}

/**
 * The poll brought nothing that says "not renewed". Polls for a late date are hours apart, so this one is repeated
 * within the hour, until a whole day has brought nothing.
 */
const pollOnceMore = (facts: ExchangeFacts, at: DateTime, code: ExchangeCode): ExchangeStep =>
  isAwaitingDate(facts.attempt) && at < codeCameAt(facts.attempt).plus(DATE_SHOWN_WITHIN).plus(POLL_REPEATED_FOR)
    ? pollAfterOutage(facts, code)
    : pollInDoubt(facts, at, code)

const decisions: Readonly<Record<AuthorisationStatus, (facts: ExchangeFacts) => ExchangeStep>> = {
  code_received: beforeSending,
  exchanging: interrupted,
  verifying: proving,
  in_doubt: settling,
  awaiting_date: settling,
  issued: closed,
  renewed: closed,
  refused: closed,
  mismatched: closed,
  expired: closed,
  superseded: closed,
}

/** An answer of the store is handled before all else, because the store knows what has happened meanwhile. */
const afterWriting = ({ heard, attempt, others, now }: ExchangeFacts): ExchangeStep | undefined => {
  if (heard?.from === 'storing') return doubt('token-changed', 'the stored token changed during the exchange')
  if (heard?.from === 'adopting' || heard?.from === 'rotating') return tokenChanged()
  if (heard?.from !== 'commit') return undefined
  if (heard.answer === 'later-code-out') return waitForLaterCode(attempt, laterDatesOut(attempt, others, now), now)
  // Another code or a stop has closed the cycle: this success changes nothing any more.
  return superseded('proven, but the cycle had been closed meanwhile')
}

const codeExpiresAt = (attempt: Authorisation): DateTime => codeCameAt(attempt).plus(CODE_TTL)

/** Never after the code has expired, whatever the provider asked for: the user is then notified again without delay. */
const requeueAt = (
  now: DateTime,
  attempt: Authorisation,
  answer: Extract<ExchangeHeard, { kind: 'not-processed' | 'circuit-open' }>,
): DateTime => {
  const own = Math.min(REQUEUE_DELAY_SECONDS * 2 ** attempt.pollCount, MAX_REQUEUE_DELAY_SECONDS) * 1000
  const wanted =
    answer.kind === 'circuit-open' ? answer.until : now.plus({ milliseconds: Math.max(own, answer.retryAfterMs ?? 0) })
  const expires = codeExpiresAt(attempt)
  return wanted < expires ? wanted : expires
}

/**
 * A code that was sent after this one may move the expiry once more: the date to keep is the one that `/me` shows then.
 * Waits for the later code's own next poll, but no longer than its date can come late. That may be hours, in which an
 * attempt that was being proven must not block the button.
 */
const waitForLaterCode = ({ status }: Authorisation, later: readonly Authorisation[], now: DateTime): ExchangeStep => {
  const soonest = now.plus(LATER_CODE_DELAY)
  const until = later.reduce((last, { exchangeStartedAt: sentAt, nextActionAt }) => {
    if (sentAt === undefined || nextActionAt === undefined) return last
    const pollAt = DateTime.min(nextActionAt.plus(LATER_CODE_DELAY), sentAt.plus(DATE_SHOWN_WITHIN))
    return pollAt > last ? pollAt : last
  }, soonest)
  const reason = 'a later code of this consent is on its way: its outcome comes first'
  return status === 'verifying' && later.length > 0
    ? { do: 'await-date', until, code: 'not-proven', reason }
    : wait(until, reason)
}
